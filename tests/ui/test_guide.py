"""The tour and the help, in a real window with real mouse and keys."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.engine.events import LiveStatus, LiveTile
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import OfferedPlace, PlacesFound, PredictionFinished, TrainingFinished
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.roles import VAL
from napari_pathseg.ui.panels.help import PLACES
from napari_pathseg.ui.sample_files import sample_folder
from napari_pathseg.ui.session.job_state import JobKind

SHIFT, ALT = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier
BACKGROUND, TUMOUR, SIDE = 1, 2, 256
WHOLE = Region(0, 0, SIDE, SIDE)


@pytest.fixture
def touring(opened, mouse, mask_folder):
    """The window on a project whose other slides have contours, with the tour at its first step."""
    (mask_folder / "case0.png").unlink()
    opened.slides.file_drop.add_files([mask_folder])
    QApplication.processEvents()
    opened.session.show_slide("case0")
    opened.guide.start()
    return opened


def click(widget):
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)


def line(dock):
    """Return what the next-step line says."""
    dock.header._show_step()
    return dock.header.text.text()


def draw(dock, mouse, label, *places):
    mouse.key({BACKGROUND: Qt.Key.Key_1, TUMOUR: Qt.Key.Key_2}[label], ALT)
    mouse.key(Qt.Key.Key_B, SHIFT)
    mouse.drag(*places)
    dock.session.editor.apply_pending()


def answer_live(dock):
    dock.session.live.redraw_wanted.connect(lambda _: dock.session.live.redraw())
    dock.worker.event.emit(LiveStatus(ready=True, fit=1))
    pixels = np.full((2, SIDE, SIDE), TUMOUR, np.uint8)
    dock.worker.event.emit(LiveTile("case0", WHOLE, 1, 1, pack(pixels)))


def finish_training(dock, model, **fields):
    assert dock.session.training.run.kind == JobKind.TRAIN
    save_model(dock.session.project, make_bundle(model, **fields))
    dock.worker.event.emit(TrainingFinished(model, 0.9))
    QApplication.processEvents()


def see_prediction(dock):
    session = dock.session
    session.refresh_mask(fill_from_model(session.mask, WHOLE, np.full((SIDE, SIDE), TUMOUR, np.uint8)))
    dock.worker.event.emit(PredictionFinished())


def test_tour_goes_round_the_loop_and_waits_until_each_step_was_done(touring, mouse, qtbot, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 60.0)
    assert line(touring).startswith("Tour 1/6: Draw some Tumour")
    draw(touring, mouse, TUMOUR, (100, 100), (100, 150))
    assert line(touring).startswith("Tour 1/6:")
    draw(touring, mouse, BACKGROUND, (220, 40), (220, 200))
    assert line(touring).startswith("Tour 2/6: Hatched: what Live learnt")
    answer_live(touring)
    assert line(touring).startswith("Tour 2/6:")
    mouse.key(Qt.Key.Key_O, SHIFT)
    assert line(touring).startswith("Tour 2/6:")
    mouse.key(Qt.Key.Key_O, SHIFT)
    assert line(touring).startswith("Tour 3/6: Train a network")
    click(touring.header.button)
    assert line(touring).startswith("Tour 3/6: A model is training")
    finish_training(touring, "m001")
    assert line(touring).startswith("Tour 4/6: Light areas are what it found")
    see_prediction(touring)
    touring.sections["review"].set_open(False)
    assert line(touring).startswith("Tour 4/6:")
    click(touring.header.button)
    assert touring.sections["review"].is_open
    assert line(touring).startswith("Tour 5/6: N: next place")
    click(touring.header.button)
    touring.worker.event.emit(PlacesFound([OfferedPlace("case0", Region(0, 0, 64, 64), "unsure", None)] * 1))
    mouse.key(Qt.Key.Key_N)
    assert line(touring).startswith("Tour 5/6:")
    mouse.key(Qt.Key.Key_A)
    assert line(touring).startswith("Tour 6/6: Paint over mistakes")
    touring.session.training.end_search()  # the one that follows the last decision
    touring.worker.event.emit(PlacesFound([]))
    click(touring.header.button)
    scores = [{"case1": SlideScore([dice, dice], "labels")} for dice in (0.8, 0.9)]
    finish_training(touring, "m002", parent="m001", base="m001", base_scores=scores[0], slide_scores=scores[1])
    touring.worker.event.emit(PredictionFinished())
    assert line(touring).startswith("Tour 6/6:")
    qtbot.waitUntil(lambda: touring.train.version_choice.keep.isVisible())
    click(touring.train.version_choice.keep)
    assert line(touring).startswith("That is the loop")
    click(touring.header.button)
    assert not touring.guide.active
    assert not line(touring).startswith("Tour")


def test_tour_is_left_by_one_click_and_goes_on_where_it_was_also_after_the_project_was_closed(touring, mouse):
    draw(touring, mouse, TUMOUR, (100, 100), (100, 150))
    draw(touring, mouse, BACKGROUND, (220, 40), (220, 200))
    assert line(touring).startswith("Tour 2/6:")
    click(touring.header.leave)
    assert not line(touring).startswith("Tour")
    folder = touring.session.project.folder
    touring.session.close()
    touring.session.open_project(folder)
    entry = next(action for action in help_entries(touring) if action.text().startswith("Go on with the tour"))
    assert entry.text() == "Go on with the tour (2 of 6)"
    entry.trigger()
    assert line(touring).startswith("Tour 2/6:")


def help_entries(dock):
    dock.help.choices.aboutToShow.emit()
    return dock.help.choices.actions()


def test_empty_window_offers_the_tour_on_sample_slides(dock, tmp_path, monkeypatch, qtbot):
    if not (sample_folder().parent / "setup.cfg").is_file():
        pytest.skip("the sample slides of the checkout are not here")
    monkeypatch.setattr("napari_pathseg.ui.tour.cache_folder", lambda: tmp_path / "cache")
    click(dock.slides.tour)
    qtbot.waitUntil(lambda: dock.guide.active)
    assert line(dock).startswith("Tour 1/6:")
    project = Project.open(tmp_path / "cache" / "tour.pathseg")
    assert list(project.slides) == ["slide_01", "slide_02", "slide_03"]
    assert dock.session.slide.id == "slide_01"
    assert (project.slide("slide_02").role, project.counts("slide_01").any()) == (VAL, False)
    dock.session.close()
    dock.start_tour()
    qtbot.waitUntil(lambda: dock.guide.active)
    assert not (tmp_path / "cache" / "tour-2.pathseg").exists()


def shown_first(dock):
    """Return the paragraph at the top of the help."""
    QApplication.processEvents()
    return dock.help.page.text.cursorForPosition(QPoint(20, 6)).block().text()


@pytest.mark.parametrize("section", [name for name in PLACES if name])
def test_f1_opens_the_help_where_the_open_section_is_described(opened, section, mouse, qtbot):
    for each in opened.sections.values():
        each.set_open(False)
    opened.sections[section].set_open(True)
    opened.window().activateWindow()
    qtbot.waitUntil(opened.window().isActiveWindow)
    mouse.key(Qt.Key.Key_F1)
    qtbot.waitUntil(lambda: opened.help.page is not None and opened.help.page.isVisible())
    assert shown_first(opened).startswith(PLACES[section])
    opened.help.page.close()


def test_help_without_an_open_section_begins_with_the_five_minutes(dock):
    for each in dock.sections.values():
        each.set_open(False)
    dock.help.show_help()
    assert shown_first(dock).startswith(PLACES[""])
    dock.help.page.close()
