import os
import time

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.jobs.protocol import JobFailed, TrainingFinished
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.job_state import JobKind, JobState

TUMOUR = 2


@pytest.fixture
def opened(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files[:2])
    return dock


def slow(mask):
    """Fill the mask step by step, slowly enough to show progress."""
    boxes = list(layout(Region(0, 0, *mask.shape), mask.shape[0] // 8))
    for number, box in enumerate(boxes, 1):
        time.sleep(0.02)
        size = (box.height, box.width)
        changed = mask.edit(box, np.full(size, TUMOUR, np.uint8), np.full(size, Provenance.ACCEPTED, np.uint8))
        yield OperationStep(changed, number / len(boxes))


def tumour(dock):
    return int(dock.session.mask.committed_counts[TUMOUR].sum())


def shown(dock):
    """Return the classes that are on screen."""
    return np.asarray(dock.session.layers.mask._slice.image.raw) % 128


def refused(mask):
    """Fail after one step."""
    yield OperationStep(
        mask.edit(Region(0, 0, 9, 9), np.full((9, 9), TUMOUR, np.uint8), np.full((9, 9), 4, np.uint8)), 0.5
    )
    raise ProjectError("The disk is full. Free it.")


def test_long_operation_shows_progress_and_is_one_undo_step(opened, qtbot):
    mask = opened.session.mask
    opened.session.editor.run(MaskOperation("Filling", slow))
    qtbot.waitUntil(opened.operation_progress.isVisible)
    assert opened.operation_progress.text.text().startswith("Filling · ")
    assert 0 < opened.operation_progress.bar.value() < 1000
    opened.session.layers.mask.stroke(BrushSegment((20, 20), (20, 60), 5), 1)
    assert mask.operations.running is not None
    qtbot.waitUntil(lambda: not mask.has_pending)
    qtbot.waitUntil(opened.operation_progress.isHidden)
    assert mask.read(Region(20, 20, 1, 1))[0][0, 0] == 1
    opened.annotate.undo_step()
    assert tumour(opened) == mask.shape[0] * mask.shape[1]
    opened.annotate.undo_step()
    qtbot.waitUntil(lambda: not mask.has_pending)
    assert tumour(opened) == 0


def test_slow_stroke_shows_progress_and_updates_areas(opened, qtbot, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.session.idle_processor._TIME_BUDGET_S", 0)
    monkeypatch.setattr("napari_pathseg.ui.panels.progress._SHOW_AFTER_MS", 0)
    changed, mask = [], opened.session.mask
    opened.session.mask_changed.connect(lambda: changed.append(mask.has_pending))
    paint = mask._paint
    monkeypatch.setattr(mask, "_paint", lambda *chunk: (time.sleep(0.05), paint(*chunk)))
    for row in range(0, 250, 10):
        opened.session.layers.mask.stroke(BrushSegment((row, 10), (row, 250), 3), TUMOUR)
    qtbot.waitUntil(opened.operation_progress.isVisible)
    assert opened.operation_progress.text.text().startswith("Painting · ")
    assert opened.operation_progress.cancel.isHidden()
    qtbot.waitUntil(lambda: not mask.has_pending)
    qtbot.waitUntil(opened.operation_progress.isHidden)
    assert True in changed


def test_cancelled_operation_leaves_the_mask_unchanged(opened, qtbot):
    opened.session.editor.run(MaskOperation("Filling", slow))
    qtbot.waitUntil(opened.operation_progress.isVisible)
    assert tumour(opened)
    qtbot.mouseClick(opened.operation_progress.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not opened.session.mask.has_pending)
    assert tumour(opened) == 0
    qtbot.waitUntil(opened.operation_progress.isHidden)


def test_pending_operation_is_applied_before_the_mask_is_used(opened, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 60)
    opened.session.editor.run(MaskOperation("Filling", slow))
    opened.session.save_mask()
    assert tumour(opened) == opened.session.mask.shape[0] * opened.session.mask.shape[1]
    assert not opened.session.mask.has_pending
    assert (shown(opened) == TUMOUR).all()


def test_what_needs_the_whole_mask_says_which_long_operation_is_going_on(opened, qtbot, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 0.1)
    opened.session.editor.run(MaskOperation("Filling", slow))
    with pytest.raises(ProjectError, match=r"^Filling \(\d+%\) is going on\. Wait or cancel it, then try again\.$"):
        opened.session.save_mask()
    qtbot.waitUntil(lambda: not opened.session.mask.has_pending)
    opened.session.save_mask()


def test_next_slide_is_shown_as_soon_as_a_long_operation_has_ended(opened, qtbot, monkeypatch, notifications):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 0.1)
    session, pixels = opened.session, opened.session.mask.shape[0] * opened.session.mask.shape[1]
    session.editor.run(MaskOperation("Filling", slow))
    opened.slides.step(1)
    assert session.slide.id == "case0"
    assert notifications[-1].startswith("case1 is shown as soon as Filling (")
    qtbot.waitUntil(lambda: session.slide.id == "case1")
    assert session.counts("case0")[TUMOUR].sum() == pixels


def test_another_project_is_not_opened_into_a_long_operation(opened, qtbot, monkeypatch, tmp_path):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 0.1)
    session = opened.session
    other, here = Project.create(tmp_path / "other.pathseg").folder, session.project.folder
    session.editor.run(MaskOperation("Filling", slow))
    with pytest.raises(ProjectError, match=r"^Filling \(\d+%\) is going on\. Wait or cancel it, then open another"):
        session.open_project(other)
    with pytest.raises(ProjectError, match="then make a new project"):
        session.new_project(tmp_path / "new.pathseg")
    assert not (tmp_path / "new.pathseg").exists()
    assert session.project.folder == here
    qtbot.waitUntil(lambda: not session.mask.has_pending)
    session.open_project(other)
    assert session.project.folder == other


def test_window_closes_as_soon_as_a_long_operation_has_ended(opened, qtbot, monkeypatch, notifications):
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 0.1)
    project, window = opened.session.project, opened.window()
    pixels = opened.session.mask.shape[0] * opened.session.mask.shape[1]
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)  # the fixture closes it again
    opened.session.editor.run(MaskOperation("Filling", slow))
    assert not window.close()
    assert window.isVisible()
    assert notifications[-1].startswith("The window closes as soon as Filling (")
    qtbot.waitUntil(opened.operation_progress.isVisible)
    qtbot.waitUntil(lambda: not window.isVisible())
    assert opened.session.project is None
    assert project.counts("case0")[TUMOUR].sum() == pixels


def test_failed_operation_is_reported_and_later_ones_still_run(opened, qtbot, notifications):
    opened.session.mask.enqueue(MaskOperation("Refused", refused))
    opened.session.layers.mask.stroke(BrushSegment((100, 100), (100, 100), 5), 1)
    qtbot.waitUntil(lambda: not opened.session.mask.has_pending)
    assert notifications == ["The disk is full. Free it."]
    assert shown(opened)[4, 4] == TUMOUR
    assert opened.session.mask.read(Region(100, 100, 1, 1))[0] == 1
    opened.annotate.undo_step()
    opened.annotate.undo_step()
    assert tumour(opened) == 0


def test_operation_failing_on_close_leaves_nothing_open(opened, notifications):
    project, mask = opened.session.project, opened.session.mask
    mask.enqueue(MaskOperation("Refused", refused))
    opened.session.layers.mask.stroke(BrushSegment((100, 100), (100, 100), 5), 1)
    opened.shutdown()
    assert opened.session.project is None
    assert not project.lock.held
    with project.write_lock(), project.open_mask("case0") as mask:
        assert mask.read(Region(100, 100, 1, 1))[0] == 1


def test_slide_that_cannot_be_saved_stays_in_view(opened, monkeypatch, notifications):
    opened.session.layers.mask.stroke(BrushSegment((100, 100), (100, 100), 5), TUMOUR)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        opened.slides.show_slide("case1")
    assert "No space left" in notifications[-1]
    assert opened.session.slide.id == "case0"
    opened.session.layers.mask.stroke(BrushSegment((50, 50), (50, 50), 5), TUMOUR)
    opened.slides.show_slide("case1")
    assert opened.session.slide.id == "case1"
    assert opened.session.require_project().counts("case0")[TUMOUR].sum() > 100


def test_completing_a_slide_cannot_be_cancelled_halfway(opened):
    found = np.full(opened.session.mask.shape, TUMOUR, np.uint8)
    opened.session.refresh_mask(fill_from_model(opened.session.mask, Region(0, 0, *found.shape), found))
    begun = []
    opened.session.mask.enqueue = begun.append
    opened.session.editor.set_complete(True)
    opened.session.layers.mask.apply_pending()
    assert [operation.can_be_cancelled for operation in begun] == [False]


def test_job_progress_shows_the_running_job_and_hides_on_close(opened, qtbot):
    opened.session.training.run = JobState(JobKind.PREDICT, model="m001", fraction=0.5, seconds_left=65)
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(opened.job_progress.isVisible)
    assert opened.job_progress.text.text() == "Predicting with m001 · 1:05 left"
    assert opened.job_progress.bar.value() == 500
    opened.session.close()
    qtbot.waitUntil(lambda: not opened.job_progress.isVisible())


def test_job_progress_distinguishes_failed_from_finished(opened, qtbot):
    running = JobState(JobKind.TRAIN, model="m001", fraction=0.5)
    endings = (TrainingFinished("m001", 0.9), "Training m001: done"), (JobFailed("No."), "Training m001: failed")
    for event, text in endings:
        opened.session.training.run = running.after(event)
        opened.session.training.run_changed.emit()
        qtbot.waitUntil(lambda text=text: opened.job_progress.text.text() == text)
