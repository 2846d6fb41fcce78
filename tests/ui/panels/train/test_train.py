import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from bundle_helpers import make_bundle
from PIL import Image
from qtpy.QtCore import Qt

from napari_pathseg.config import LINEAR, TrainConfig
from napari_pathseg.engine.events import Note, Progress, Started, Stop, Validated, ValidationSamplesReady
from napari_pathseg.jobs.protocol import Train
from napari_pathseg.projects.project_state import TrainingChoices
from napari_pathseg.ui.panels.train.train import TrainPanel

MODEL = make_bundle("m002")


@pytest.fixture
def panel(qtbot, learnable):
    panel = TrainPanel(learnable)
    qtbot.addWidget(panel)
    panel.show()
    return panel


@pytest.fixture
def messages(learnable):
    messages = []
    learnable.message.connect(lambda *words: messages.append(words))
    return messages


def choices_of(box):
    return [box.native.itemText(index) for index in range(box.native.count())]


def config_of(command):
    return command.config


def start(worker, **others):
    worker.event.emit(Started("r001", "m001", None, [], []))


def progress(**others):
    shared = {"fraction": 0.5, "seconds": 9, "seconds_left": 9, "step": 3, "loss": 0.8, "rate": 3.2e-4}
    return Progress("Training", **shared | others)


def validated(seconds=5.0):
    return Validated(3, seconds, 0.8, {"Background": 0.95, "Tumour": 0.87}, 0.87, best=True, rate=3.2e-4)


def broken_run(project, name="r001", **config):
    folder = project.folder / "runs" / name
    folder.mkdir(parents=True)
    stored = {"parent": None, "network": asdict(make_bundle().network), "classes": [], "train": [], "val": []}
    (folder / "config.json").write_text(json.dumps({**stored, "config": TrainConfig(**config).to_json()}))


# -- presets and estimate


def test_buttons_set_the_preset(panel, worker, qtbot):
    assert panel.config().preset == "normal"
    for preset in ("live", "normal", "thorough"):
        qtbot.mouseClick(panel.presets.buttons[preset], Qt.MouseButton.LeftButton)
        assert panel.config().preset == preset
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    assert config_of(worker.sent[0]).preset == "thorough"


def test_time_box_shows_the_presets_time_until_one_is_set(panel):
    box, buttons = panel.presets.minutes, panel.presets.buttons
    texts = []
    for preset in ("live", "normal", "thorough"):
        buttons[preset].click()
        texts.append(box.native.text())
    assert texts == ["30 s", "2 min", "until it stops improving"]
    box.value = 7.5
    assert box.native.text() == "7.5 min"
    assert panel.config().minutes == 7.5


def test_presets_can_be_chosen_with_the_keyboard(panel, qtbot):
    for button in panel.presets.buttons.values():
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus
        assert button.toolTip()
    qtbot.keyClick(panel.presets.buttons["live"], Qt.Key.Key_Space)
    assert panel.config().preset == "live"


def test_curves_are_drawn_over_elapsed_seconds(panel, worker, learnable):
    panel.presets.buttons["live"].click()
    panel.button.click()
    worker.event.emit(progress())
    assert learnable.training.run.losses == ((9, 0.8),)


def test_estimate_is_shown_before_a_training(panel, qtbot):
    qtbot.waitUntil(lambda: panel.estimate.text().startswith("About 2 min, "))
    panel.presets.minutes.value = 5
    qtbot.waitUntil(lambda: panel.estimate.text().startswith("About 5 min, "))
    panel.button.click()
    qtbot.waitUntil(lambda: panel.estimate.text() == "")


def test_strokes_with_the_mouse_are_counted_in_what_the_next_training_learns(opened, mouse, qtbot):
    opened.sections["train"].set_open(True)
    opened.annotate.choose("brush")
    mouse.drag((100.0, 100.0), (100.0, 130.0))
    mouse.drag((120.0, 100.0), (120.0, 130.0))
    qtbot.waitUntil(lambda: opened.train.news.text() == "2 strokes on 1 slide, nothing unreviewed.")
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: opened.train.news.text() == "1 stroke on 1 slide, nothing unreviewed.")


# -- progress


def test_curves_have_class_colours_and_show_the_learning_rate(panel, worker, learnable, qtbot):
    panel.button.click()
    start(worker)
    for message in (progress(), validated(), validated(9.0)):
        worker.event.emit(message)
    qtbot.waitUntil(lambda: "learning rate 3.2e-4" in panel.curves.rate.toolTip())
    colors = {spec.name: spec.color for spec in learnable.require_project().classes}
    curves = panel.curves._class_curves
    assert {name: curve.opts["pen"].color().name() for name, curve in curves.items()} == colors
    assert list(curves["Tumour"].getData()[0]) == [5, 9]
    assert "Tumour&nbsp;0.87" in panel.curves.legend.text()


def test_accuracy_and_validation_loss_are_drawn_beside_dice_and_loss(panel, worker, qtbot):
    panel.button.click()
    start(worker)
    for seconds, accuracy, loss in ((5, 0.8, 0.6), (9, 0.9, 0.4)):
        worker.event.emit(replace(validated(seconds), accuracy=accuracy, validation_loss=loss))
    qtbot.waitUntil(lambda: "accuracy&nbsp;0.90" in panel.curves.legend.text())
    assert [list(axis) for axis in panel.curves._accuracy_curve.getData()] == [[5, 9], [0.8, 0.9]]
    assert [list(axis) for axis in panel.curves._validation_loss_curve.getData()] == [[5, 9], [0.6, 0.4]]


def test_plots_end_within_the_narrow_panel(panel, worker, qtbot):
    panel.resize(340, 900)
    panel.button.click()
    start(worker)
    worker.event.emit(validated())
    qtbot.waitUntil(panel.curves.isVisible)
    for plot in (panel.curves.loss, panel.curves.dice):
        qtbot.waitUntil(lambda plot=plot: plot.viewport().width() < 200)
        title, curves = plot.getPlotItem().titleLabel, plot.getViewBox()
        assert title.mapRectToScene(title.itemRect()).right() <= plot.viewport().width()
        assert curves.sceneBoundingRect().right() <= plot.viewport().width()


def test_training_that_was_scored_once_shows_its_scores_as_dots(panel, worker, qtbot):
    panel.button.click()
    start(worker)
    worker.event.emit(replace(validated(), accuracy=0.9, validation_loss=0.4))
    view = panel.curves
    qtbot.waitUntil(lambda: "accuracy" in view.legend.text())
    curves = [view._accuracy_curve, view._mean_curve, view._validation_loss_curve, *view._class_curves.values()]
    assert len(curves) == 5
    assert all(len(curve.scatter.points()) == 1 for curve in curves)


def test_validation_patches_appear_and_are_reloaded(panel, worker, tmp_path, qtbot):
    path = tmp_path / "examples.png"
    panel.resize(360, 800)
    panel.button.click()
    start(worker)
    assert not panel.samples.has_data
    view = panel.samples.image_view
    qtbot.waitUntil(lambda: 300 < view.width() <= 360 and view.height() == round(view.width() * 4 / 3))
    height = view.height()
    for grey in (40, 200):
        Image.fromarray(np.full((40, 30, 3), grey, np.uint8)).save(path)
        worker.event.emit(ValidationSamplesReady(str(path)))
        qtbot.waitUntil(lambda grey=grey: panel.samples.image_view.image.pixelColor(5, 5).red() == grey)
    assert panel.samples_section.isVisible()
    assert view.height() == height  # their place was reserved


def test_patches_fill_the_panel_width_and_keep_their_aspect(panel, worker, tmp_path, qtbot):
    Image.fromarray(np.zeros((800, 600, 3), np.uint8)).save(tmp_path / "examples.png")
    panel.resize(360, 800)
    panel.button.click()
    worker.event.emit(ValidationSamplesReady(str(tmp_path / "examples.png")))
    view = panel.samples.image_view
    qtbot.waitUntil(lambda: 300 < view.width() <= 360 and view.height() == round(view.width() * 4 / 3))


def test_training_warnings_are_shown_as_warnings(panel, worker, messages):
    panel.button.click()
    worker.event.emit(Note("Memory ran out.", warning=True))
    worker.event.emit(Note("It ended early."))
    assert messages == [("Memory ran out.", "", "warning"), ("It ended early.", "", "info")]


def test_button_stops_the_training_and_waits_for_its_end(panel, worker, qtbot):
    panel.button.click()
    assert panel.button.text() == "Stop"
    panel.button.click()
    assert worker.sent[-1] == Stop()
    qtbot.waitUntil(lambda: not panel.button.isEnabled())


def test_curves_disappear_with_their_project(panel, worker, learnable, tmp_path, qtbot):
    panel.button.click()
    worker.event.emit(progress())
    qtbot.waitUntil(panel.curves.isVisible)
    learnable.new_project(tmp_path / "other.pathseg")
    qtbot.waitUntil(lambda: not panel.curves.isVisible())


# -- interrupted trainings


def test_interrupted_training_is_offered_and_resumed(learnable, worker, qtbot):
    broken_run(learnable.require_project(), minutes=3)
    panel = TrainPanel(learnable)
    qtbot.addWidget(panel)
    texts = choices_of(panel.parent_model)
    assert texts == ["Resume m001 (interrupted)", "From scratch"]
    assert panel.parent_model.current_choice == "From scratch"
    panel.parent_model.value = "r001"
    panel.button.click()
    assert isinstance(worker.sent[0], Train)
    assert worker.sent[0].resume == "r001"
    assert learnable.training.run.minutes == 3


def test_button_resumes_the_training_after_the_worker_died(panel, worker, learnable, messages, qtbot):
    panel.button.click()
    broken_run(learnable.require_project())
    start(worker)
    worker.died.emit("killed")
    assert re.search("its process ended.*Press the button again to continue", messages[-1][0])
    qtbot.waitUntil(lambda: panel.parent_model.current_choice == "Resume m001 (interrupted)")
    panel.button.click()
    assert [command.resume for command in worker.sent if isinstance(command, Train)] == [None, "r001"]


def test_interrupted_training_older_than_a_model_is_not_offered(learnable, qtbot):
    broken_run(learnable.require_project(), "r001")
    model = learnable.require_project().folder / "models" / "m002"
    model.mkdir(parents=True)
    (model / "bundle.json").write_text(json.dumps(asdict(MODEL)))
    panel = TrainPanel(learnable)
    qtbot.addWidget(panel)
    texts = choices_of(panel.parent_model)
    assert texts == ["Newest model (m002)", "From scratch"]


def test_quick_look_starts_from_no_model_and_none_from_it(panel, learnable, qtbot):
    for name, architecture in (("m001", "unet"), ("m002", LINEAR)):
        model = learnable.require_project().folder / "models" / name
        model.mkdir(parents=True)
        network = replace(MODEL.network, architecture=architecture)
        (model / "bundle.json").write_text(json.dumps(asdict(replace(MODEL, id=name, network=network))))
    learnable.project_changed.emit()
    assert choices_of(panel.parent_model) == ["Newest model (m001)", "From scratch"]
    assert panel.parent_model.enabled
    panel.presets.buttons["live"].click()
    assert not panel.parent_model.enabled
    assert panel.parent_model.tooltip == "A quick look learns from all outlines, each time."
    qtbot.waitUntil(lambda: re.match(r"About \d+ s, ", panel.estimate.text()))


# -- settings


def test_panel_reads_settings_of_an_older_version(panel, learnable):
    folder = learnable.require_project().folder
    kept = {"minutes": 7.5, "tile": 512, "network": "unet-small", "loss": "bce"}
    with learnable.require_project().edit_state() as state:
        state.training_choices = TrainingChoices(kept)
    learnable.close()
    learnable.open_project(folder)
    assert panel.config() == TrainConfig(minutes=7.5, tile=512)


def test_last_training_settings_are_restored_with_the_project(panel, learnable):
    folder = learnable.require_project().folder
    panel.presets.buttons["live"].click()
    panel.settings.form.fields["jpeg"].value = 60
    panel.button.click()
    learnable.close()
    assert panel.config() == TrainConfig()
    learnable.open_project(folder)
    assert panel.config() == TrainConfig(preset="live", jpeg=60)


def test_reset_restores_the_defaults(panel):
    assert not panel.settings.reset.isEnabled()
    panel.settings.form.fields["batch"].value = 9
    assert panel.settings.reset.isEnabled()
    panel.settings.reset.click()
    assert panel.config() == TrainConfig()
    assert not panel.settings.reset.isEnabled()


def test_weights_file_can_be_chosen(panel, monkeypatch, tmp_path):
    from qtpy.QtWidgets import QFileDialog

    chosen = str(tmp_path / "a.safetensors")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (chosen, ""))
    panel.settings.choose_weights.click()
    assert panel.config().weights == chosen


def test_training_settings_are_restored_with_the_project(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files)
    folder = dock.session.project.folder
    with dock.session.require_project().edit_state() as state:
        state.training_choices = TrainingChoices({"minutes": 7.5, "tile": 512})
    dock.session.close()
    dock.session.open_project(folder)
    assert dock.train.presets.minutes.value == 7.5
    assert dock.train.config().tile == 512
