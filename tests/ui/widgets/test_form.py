import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication

import napari_pathseg.config
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Settings
from napari_pathseg.ui.widgets.form import ChoiceBox, read_form, settings_form

# Settings whose names read well as labels: "Learning rate". All others need a label of their own.
READ_WELL = {
    *("architecture", "encoder", "stain_jitter", "loss", "class_weights", "focal_gamma", "tversky_alpha"),
    *("border_weight", "border_width", "optimizer", "learning_rate", "decoder_learning_rate", "weight_decay"),
    *("schedule", "staircase_factor", "plateau_factor", "plateau_patience", "patience", "cached_tiles"),
    *("validation_tiles", "precision", "devices", "preset", "minutes", "halo", "runtime"),
}
KINDS = sorted(Settings.__subclasses__(), key=lambda kind: kind.__name__)


def changed(kind):
    """Return settings that all differ from their defaults, floats by an odd factor."""
    values = {}
    for field, info in kind.described():
        default = getattr(kind(), field.name)
        if info.choices:
            values[field.name] = info.choices[-1]
        elif isinstance(default, bool):
            values[field.name] = not default
        elif isinstance(default, int):
            values[field.name] = min(int(info.maximum), default + (info.multiple or 7))
        elif isinstance(default, float):
            values[field.name] = min(info.maximum, default * 1.23456789)
    if kind is PredictConfig:
        values["runtime"] = "torch"  # which adapt needs
    return kind(**values)


@pytest.fixture
def form(qtbot):
    form = settings_form(TrainConfig(), expert_only=True)
    qtbot.addWidget(form)
    return form


def test_every_settings_class_is_tested():
    assert {TrainConfig, PredictConfig} <= set(KINDS)
    assert napari_pathseg.config.PredictConfig is PredictConfig


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [lambda kind: kind(), changed], ids=["defaults", "changed"])
def test_form_returns_the_settings_it_shows(qtbot, kind, make):
    settings = make(kind)
    form = settings_form(settings)
    qtbot.addWidget(form)
    assert read_form(form, kind) == settings


def test_small_numbers_are_shown_in_scientific_notation(form, qtbot):
    box = form.fields["learning_rate"].native
    assert box.text() == "0.001"
    box.selectAll()
    qtbot.keyClicks(box, "2e-6")
    assert read_form(form, TrainConfig).learning_rate == pytest.approx(2e-6)


def test_text_cannot_be_typed_into_a_number(form, qtbot):
    box = form.fields["learning_rate"].native
    box.selectAll()
    qtbot.keyClicks(box, "0.0z1")
    assert read_form(form, TrainConfig).learning_rate == pytest.approx(0.01)


def test_field_shows_help_unit_and_limits(form):
    tile = form.fields["tile"]
    assert (tile.native.minimum(), tile.native.maximum()) == (64, 2048)
    assert "surroundings" in tile.native.toolTip()
    assert form.labels["tile"].toolTip() == tile.native.toolTip()
    assert tile.native.text() == "256 px"


@pytest.mark.parametrize("kind", [TrainConfig, PredictConfig])
def test_every_setting_has_a_short_label_of_its_own(kind):
    labels = {field.name: kind.label_of(field.name) for field, _ in kind.described()}
    without = {field.name for field, info in kind.described() if not info.label}
    assert without <= READ_WELL, "give these a `label`, or add them to READ_WELL if their names read well in the form"
    assert len(set(labels.values())) == len(labels)
    assert all(label[0].isupper() and len(label) <= 24 for label in labels.values()), labels


def test_form_shows_the_labels_of_the_settings(form):
    for name, label in form.labels.items():
        assert label.text() == form.fields[name].native.accessibleName() == TrainConfig.label_of(name)
    assert form.labels["flip_rotate"].text() == "Flips and 90° turns"


def test_choices_keep_the_chosen_value_when_they_change(qtbot):
    box = ChoiceBox(label="Model", choices=[("Newest (1)", "newest"), ("One", "m1")])
    qtbot.addWidget(box.native)
    box.show_choices([("Newest (2)", "newest"), ("Two", "m2"), ("One", "m1")])
    assert (box.choices, box.value) == (("newest", "m2", "m1"), "newest")
    box.value = "m2"
    box.show_choices([("One", "m1"), ("Newest (2)", "newest")])
    assert (box.choices, box.value) == (("m1", "newest"), "m1")


def test_every_setting_can_be_reached_with_the_tab_key(form):
    for name, field in form.fields.items():
        assert field.native.focusPolicy() & Qt.FocusPolicy.TabFocus, name


def test_expert_form_omits_the_settings_of_the_panel(form):
    assert not {"minutes", "preset"} & form.fields.keys()
    assert read_form(form, TrainConfig, {"minutes": 7}).minutes == 7
    with pytest.raises(ConfigError, match=r"minutes is -1; it must lie between 0 and 10000."):
        read_form(form, TrainConfig, {"minutes": -1})


def test_settings_are_grouped_as_configured(form):
    groups = list(dict.fromkeys(info.group for _, info in TrainConfig.described() if info.expert))
    assert list(form.groups) == groups
    assert form.fields["jpeg"].native.isVisibleTo(form.groups["Augmentation"].body)


def test_labels_of_all_groups_are_equally_wide(form, qtbot):
    form.show()
    qtbot.waitExposed(form)
    assert len({label.minimumWidth() for label in form.labels.values()}) == 1


def test_group_shows_how_many_settings_were_changed(form):
    form.show_settings(TrainConfig(jpeg=50, blur=1.0, tile=512))
    assert form.groups["Augmentation"].note == "2 changed"
    assert form.groups["Tiles"].note == "1 changed"
    assert form.groups["Loss"].note == ""


def test_wheel_ignores_a_box_without_focus(form, qtbot):
    form.show()
    box = form.fields["batch"].native
    nowhere, still = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    turn = (QPoint(0, 120), QPoint(0, 120), nowhere, still, Qt.ScrollPhase.NoScrollPhase, False)
    QApplication.sendEvent(box, QWheelEvent(QPointF(5, 5), QPointF(5, 5), *turn))
    assert box.value() == TrainConfig().batch


def test_unknown_settings_of_older_versions_are_dropped():
    old = {"tile": 512, "network": "unet", "loss": "bce", "batch": "many", "learning_rate": 1, "minutes": -3}
    assert TrainConfig.known(old) == TrainConfig(tile=512, learning_rate=1)
