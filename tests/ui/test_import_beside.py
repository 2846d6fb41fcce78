"""Importing many files: the window answers meanwhile, clicks reach it, and stopping and closing are safe."""

import threading
import time

import numpy as np
import pytest
from PIL import Image
from qtpy.QtCore import QPoint, Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QFileDialog, QProgressDialog

from napari_pathseg.geometry import Region
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.projects.importing import add_slides as adding
from napari_pathseg.projects.importing.contour_import import DEFAULT_IMPORT_OPTIONS
from napari_pathseg.projects.importing.import_preview import inspect_file
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session import import_controller as controller
from napari_pathseg.ui.session.background import run_now
from napari_pathseg.ui.session.import_controller import ImportTask, importing
from napari_pathseg.ui.session.job_state import JobKind, JobState

pytestmark = pytest.mark.usefixtures("beside")
MANY = 24


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "tiles"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(MANY):
        Image.fromarray(rng.integers(150, 230, (200, 300, 3)).astype(np.uint8)).save(folder / f"tile{number:02}.jpg")
    return sorted(folder.iterdir())


@pytest.fixture
def slow(monkeypatch):
    """Let each slide take 50 ms to read, as a slow disk does."""
    read = adding._Planner.plan

    def plan(self, path, page):
        time.sleep(0.05)
        return read(self, path, page)

    monkeypatch.setattr(adding._Planner, "plan", plan)


@pytest.fixture
def beats(dock):
    """The times at which the window answered."""
    found, timer = [], QTimer(dock)
    timer.timeout.connect(lambda: found.append(time.perf_counter()))
    timer.start(10)
    return found


def no_dialogs():
    return not [one for one in QApplication.topLevelWidgets() if isinstance(one, QProgressDialog) and one.isVisible()]


def drop(dock, files):
    dock.slides.file_drop.add_files(files)


def test_clicks_during_an_import_of_many_slides_reach_the_window(opened, many, slow, beats, qtbot, monkeypatch, mouse):
    session = opened.session
    more, asked = [many[-1]], []
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: (asked.append(1), ([str(more[0])], ""))[1])
    drop(opened, many[:-1])
    assert session.background.active
    clicks = 0
    while session.background.active and clicks < 200:
        clicks += 1
        QTest.mouseClick(
            opened.slides.list.viewport(), Qt.MouseButton.LeftButton, pos=opened.slides.list.rect().center()
        )
        if clicks == 3:
            opened.slides.add_button.click()
        if clicks % 5 == 0:
            opened.slides.step(1)
        mouse.drag((100 + clicks % 20, 100), (120, 130))
        assert no_dialogs()
        QTest.qWait(5)
    assert asked
    qtbot.waitUntil(lambda: not session.background.active)
    assert len(session.project.slides) == 4 + MANY
    assert len(Project.open(session.project.folder).slides) == 4 + MANY
    assert max(np.diff(beats)) < 2  # seconds; that was 7 for ten slides
    assert clicks > 3  # more on a calm computer


def test_progress_is_in_the_dock_with_a_time_left_and_stop(opened, many, slow, qtbot):
    drop(opened, many)
    bar = opened.background_progress
    qtbot.waitUntil(bar.isVisible)
    qtbot.waitUntil(lambda: "left" in bar.text.text())
    assert bar.text.text().endswith(f" left · Adding {MANY} slides")
    bar.stop.click()
    qtbot.waitUntil(lambda: not opened.session.background.active)
    assert not bar.isVisible()
    assert len(opened.session.project.slides) == 4  # all of them or none


def test_a_project_closed_during_an_import_is_as_it_was(opened, many, slow):
    folder = opened.session.project.folder
    drop(opened, many)
    opened.session.close()
    assert not opened.session.background.active
    assert len(Project.open(folder).slides) == 4


def test_a_window_closed_during_an_import_closes_and_loses_nothing(opened, many, slow, mouse):
    folder = opened.session.project.folder
    opened.annotate.choose("brush")
    mouse.drag((60, 60), (60, 90))
    drop(opened, many)
    opened.shutdown()
    project = Project.open(folder)
    assert len(project.slides) == 4
    assert project.counts("case0")[2].any()


def tasks_for(session, mask_folder, names):
    files = [inspect_file(mask_folder / f"{name}.png", session.project, (name,)).file for name in names]
    return [ImportTask(file, name, DEFAULT_IMPORT_OPTIONS, True) for file, name in zip(files, names, strict=True)]


def test_an_import_into_the_slide_in_view_waits_for_a_long_operation_there_and_the_window_goes_on(
    opened, mask_folder, qtbot, monkeypatch
):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 0.1)
    session, steps, results = opened.session, 20, []

    def slow(mask):
        for number in range(steps):
            time.sleep(0.05)
            yield OperationStep(Region(0, 0, 0, 0), number / steps)

    session.editor.run(MaskOperation("Filling", slow))
    session.background.start(importing(session, tasks_for(session, mask_folder, ["case0"])), results.append, print)
    assert session.editor.running
    assert session.background.title == "Waiting for the end of: Filling"
    assert not session.read_only
    qtbot.waitUntil(lambda: bool(results))
    assert results[0].imported == ["case0"]
    assert session.counts("case0")[2].any()


def test_an_undone_import_says_so_and_what_is_left(opened, mask_folder, mouse, notifications):
    session = opened.session
    run_now(importing(session, tasks_for(session, mask_folder, ["case0"])))
    imported = int(session.counts("case0")[2].sum())
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not session.counts("case0")[2].any()
    assert notifications == [
        "Undone: imported outlines. Redo brings them back. case0 is still complete: all that is left is Background."
    ]
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert session.counts("case0")[2].sum() == imported
    opened.annotate.choose("brush")
    mouse.drag((60, 60), (60, 90))
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert len(notifications) == 1


def test_the_slide_in_view_can_be_looked_at_and_not_painted_while_contours_are_imported(
    opened, mask_folder, qtbot, mouse, monkeypatch
):
    session, seen = opened.session, []
    write, tried = controller.import_file, threading.Event()

    def slowly(*arguments, **options):
        tried.wait(240)
        return write(*arguments, **options)

    monkeypatch.setattr(controller, "import_file", slowly)
    opened.annotate.choose("brush")
    names = [f"case{number}" for number in range(4)]
    session.background.start(importing(session, tasks_for(session, mask_folder, names)), seen.append, seen.append)
    while session.background.active:
        if session.workspace.importing == "case0" and not tried.is_set():  # a later drag may outlast the import
            assert session.read_only
            assert not session.workspace.taken
            mouse.drag((20, 20), (20, 60))
            tried.set()
        QTest.qWait(20)
    assert tried.is_set()
    assert seen[0].imported == names
    assert not session.read_only
    assert session.mask.writable
    assert not session.mask.counts[2, 4].any()  # nothing was drawn
    mouse.drag((20, 20), (20, 60))
    assert session.mask.counts[2, 4].any()


def test_the_header_does_not_ask_for_slides_that_are_being_added(dock, many, slow, qtbot):
    drop(dock, many)
    qtbot.waitUntil(lambda: dock.session.project is not None)
    assert dock.header.text.text() == "Slides are being added."
    assert not dock.header.button.isVisible()
    dock.session.background.cancel()
    qtbot.waitUntil(lambda: not dock.session.background.active)
    qtbot.waitUntil(lambda: dock.header.text.text() != "Slides are being added.")
    assert dock.header.button.isVisible()


def test_progress_that_is_alone_has_the_whole_width_and_its_button_stays_when_a_job_begins(opened, many, slow, qtbot):
    bar, job = opened.background_progress, opened.job_progress
    drop(opened, many)
    qtbot.waitUntil(bar.isVisible)
    assert bar.width() > 0.9 * opened.area.width()
    place, height = bar.stop.mapToGlobal(QPoint(0, 0)), opened.area.height()
    opened.session.training.run = JobState(JobKind.PREDICT, model="m001", fraction=0.5, seconds_left=65)
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(job.isVisible)
    qtbot.waitUntil(lambda: bar.width() < 0.6 * opened.area.width())
    assert job.geometry().right() < bar.geometry().left()
    assert (bar.stop.mapToGlobal(QPoint(0, 0)), opened.area.height()) == (place, height)
    beside = job.stop.mapToGlobal(QPoint(0, 0))
    opened.session.background.cancel()
    qtbot.waitUntil(lambda: job.width() > 0.9 * opened.area.width())
    assert job.stop.mapToGlobal(QPoint(0, 0)) == beside
