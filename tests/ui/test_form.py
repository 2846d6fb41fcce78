import pytest

import napari_pathseg.config
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.errors import ConfigError
from napari_pathseg.settings import Settings
from napari_pathseg.ui.form import read_form, settings_form

KINDS = sorted(Settings.__subclasses__(), key=lambda kind: kind.__name__)


def changed(kind):
    """Return settings of which every number differs from its default, by an odd amount where that is allowed."""
    values = {}
    for field, limits in kind.described():
        default = getattr(kind(), field.name)
        if limits.choices:
            values[field.name] = limits.choices[-1]
        elif isinstance(default, int):
            values[field.name] = min(int(limits.maximum), default + (limits.multiple or 7))
        elif isinstance(default, float):
            values[field.name] = min(limits.maximum, default * 1.23456789)
    return kind(**values)


def test_every_settings_class_is_tried():
    assert {TrainConfig, PredictConfig} <= set(KINDS)
    assert napari_pathseg.config.Settings is Settings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [lambda kind: kind(), changed], ids=["defaults", "changed"])
def test_a_form_gives_back_the_settings_it_shows(qtbot, kind, make):
    settings = make(kind)
    form = settings_form(settings)
    qtbot.addWidget(form.native)
    assert read_form(form, kind) == settings


def test_small_numbers_are_seen_and_can_be_changed(qtbot):
    form = settings_form(TrainConfig())
    qtbot.addWidget(form.native)
    assert "0.0005" in form.learning_rate.native.text()
    form.learning_rate.value = 2e-6
    assert read_form(form, TrainConfig).learning_rate == pytest.approx(2e-6)


def test_a_form_shows_help_unit_and_limits(qtbot):
    form = settings_form(TrainConfig())
    qtbot.addWidget(form.native)
    assert form.tile.min == 64
    assert form.tile.max == 2048
    assert "surroundings" in form.tile.tooltip
    assert "(px)" in form.tile.label


def test_the_expert_form_leaves_out_what_the_panel_asks_itself(qtbot):
    form = settings_form(TrainConfig(minutes=3), expert_only=True)
    qtbot.addWidget(form.native)
    assert "minutes" not in [widget.name for widget in form]
    assert read_form(form, TrainConfig, {"minutes": 7}).minutes == 7
    with pytest.raises(ConfigError, match=r"minutes is 0; it must lie between 0.05 and 10000."):
        read_form(form, TrainConfig, {"minutes": 0})
