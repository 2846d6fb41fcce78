"""What Outline and Review show of the live model."""

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_pathseg.config import LiveConfig, TrainConfig
from napari_pathseg.engine.events import LiveFilled, LiveStatus, LiveTile
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.jobs.protocol import FillLive, StartLive
from napari_pathseg.ui.panels.live import LivePanel, LiveSettings, LiveSwitch
from napari_pathseg.ui.panels.progress import LiveFillBar

WHOLE = Region(0, 0, 192, 192)
READY = LiveStatus(ready=True, fit=1)


def found(region):
    pixels = np.full((2, region.height, region.width), 2, np.uint8)
    pixels[1] = 200
    return pack(pixels)


@pytest.fixture
def session(followed):
    return followed


@pytest.fixture
def make(qtbot, session):
    def make(kind):
        widget = kind(session)
        qtbot.addWidget(widget)
        widget.show()
        return widget

    return make


def test_both_switches_show_one_state_and_the_same_sentence(make, session, worker):
    one, panel = make(LiveSwitch), make(LivePanel)
    other = panel.live
    worker.event.emit(LiveStatus(ready=False, text="Draw some Background, too."))
    assert one.switch.isChecked()
    assert one.sentence.text() == other.sentence.text() == "Draw some Background, too."
    one.switch.click()
    assert not other.switch.isChecked()
    assert not session.live.on
    assert one.sentence.text().startswith("Off")
    other.switch.click()
    assert one.switch.isChecked()


def test_another_sentence_moves_nothing(make, worker):
    panel = make(LivePanel)
    places = []
    for text in ("", "Short.", "A sentence that is much too long for the line in which it is shown. " * 4):
        worker.event.emit(LiveStatus(ready=True, text=text))
        panel.layout().activate()
        places.append((panel.fill_view.y(), panel.sizeHint().height()))
    assert len(set(places)) == 1


def test_sliders_set_the_layer(make, session, worker):
    panel = make(LivePanel)
    panel.opacity.setValue(70)
    worker.event.emit(LiveTile("case5", WHOLE, 1, 1, found(WHOLE)))
    layer = session.layers.live
    assert layer.opacity == pytest.approx(0.7)
    panel.opacity.setValue(20)
    panel.threshold.setValue(90)
    assert (layer.opacity, layer.threshold) == (pytest.approx(0.2), pytest.approx(0.9))
    assert panel.percent.text() == "90 %"


def test_view_and_slide_can_be_filled_once_there_is_a_model_and_no_job_runs(make, session, worker):
    panel = make(LivePanel)
    buttons = (panel.fill_view, panel.fill_slide)
    assert not any(button.isEnabled() for button in buttons)
    worker.event.emit(READY)
    assert all(button.isEnabled() for button in buttons)
    session.training.train(TrainConfig(preset="quick"))
    assert not any(button.isEnabled() for button in buttons)


def test_filling_the_slide_shows_how_much_is_done_and_can_be_cancelled(make, session, worker):
    panel, bar = make(LivePanel), make(LiveFillBar)
    bar.hide()
    worker.event.emit(READY)
    panel.fill_slide.click()
    assert worker.sent[-1] == FillLive("case5", WHOLE)
    half = Region(0, 0, 192, 96)
    worker.event.emit(LiveFilled("case5", half, found(half), 0.5, last=False))
    assert bar.text.text() == "Filling · 50 %"
    assert not panel.fill_slide.isEnabled()
    bar.cancel.click()
    assert worker.sent[-1] == FillLive("case5", EMPTY_REGION)
    assert bar.isHidden()
    assert panel.fill_slide.isEnabled()


def test_settings_start_the_model_again_and_another_project_shows_its_own(make, session, worker, qtbot, tmp_path):
    settings = make(LiveSettings)
    settings.form.fields["memory_gb"].value = 3.0
    qtbot.waitUntil(lambda: session.live.config == LiveConfig(memory_gb=3))
    assert [one.config.memory_gb for one in worker.sent if isinstance(one, StartLive)] == [1, 3]
    folder = session.project.folder
    session.new_project(tmp_path / "other.pathseg")
    assert settings.form.fields["memory_gb"].value == 1
    session.open_project(folder)
    assert settings.form.fields["memory_gb"].value == 3


def test_file_of_weights_can_be_chosen_as_the_encoder(make, session, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "vit.pth"), ""))
    settings = make(LiveSettings)
    assert settings.form.fields["encoder"].value == "project"
    settings.choose_encoder.click()
    qtbot.waitUntil(lambda: session.live.config == LiveConfig(encoder=str(tmp_path / "vit.pth")))


def test_it_cannot_be_filled_into_a_project_that_is_read_only(make, session, worker):
    panel = make(LivePanel)
    session.workspace.taken = "open in another window"
    worker.event.emit(READY)
    assert not panel.fill_view.isEnabled()
