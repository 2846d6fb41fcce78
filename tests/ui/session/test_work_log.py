import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.config import TrainConfig
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import JobFailed
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.projects.annotation_log import log_begun, log_learnt, read_rounds
from napari_pathseg.ui.session.learns_from import LearnsFrom, training_summary
from napari_pathseg.ui.session.work_log import WorkLog


@pytest.fixture
def drawn(learnable):
    """A session with a partly annotated slide in view."""
    learnable.show_slide("case0")
    return learnable


def stroke(session, at=(20.0, 20.0), radius=5.0):
    session.layers.mask.stroke(BrushSegment(at, at, radius), 2)
    session.layers.mask.apply_pending()


def news(session):
    return training_summary(session).news


def test_train_says_how_many_strokes_a_first_training_learns_from(drawn):
    assert news(drawn) == "No strokes, nothing unreviewed."
    stroke(drawn)
    stroke(drawn, (60.0, 20.0))
    assert news(drawn) == "2 strokes on 1 slide, nothing unreviewed."


def test_undone_strokes_are_no_corrections_until_they_are_redone(drawn):
    stroke(drawn)
    stroke(drawn, (60.0, 20.0))
    drawn.layers.mask.undo()
    assert news(drawn).startswith("1 stroke on 1 slide")
    drawn.layers.mask.redo()
    assert news(drawn).startswith("2 strokes")
    drawn.layers.mask.undo()
    stroke(drawn, (100.0, 20.0))
    assert news(drawn).startswith("2 strokes")


def test_undoing_the_accepting_of_a_view_leaves_the_strokes_before_it(drawn):
    drawn.project.update_slide("case5", role="train")
    drawn.show_slide("case5")
    fill_from_model(drawn.mask, Region(100, 100, 50, 50), np.full((50, 50), 2, np.uint8))
    drawn.mask.end_undo_group()
    stroke(drawn)
    drawn.editor.accept()
    drawn.layers.mask.undo()
    assert news(drawn).startswith("1 stroke on 1 slide")
    drawn.layers.mask.undo()
    assert news(drawn).startswith("No strokes")


def test_strokes_on_other_slides_are_counted_and_those_on_held_out_ones_are_not(drawn):
    kept = training_summary(drawn).held_out[0]
    stroke(drawn)
    drawn.show_slide(kept)
    stroke(drawn)
    learnt = next(slide for slide in training_summary(drawn).slides if slide != "case0")
    drawn.show_slide(learnt)
    stroke(drawn)
    assert news(drawn).startswith("2 strokes on 2 slides")


def test_what_was_accepted_and_what_waits_for_review_is_said(learnable):
    learnable.show_slide("case5")
    learnable.project.update_slide("case5", role="train")
    learnable.show_slide("case5")
    fill_from_model(learnable.mask, Region(0, 0, 100, 100), np.full((100, 100), 2, np.uint8))
    assert "0.01 Mpx unreviewed on 1 slide" in news(learnable)
    learnable.editor.accept()
    assert news(learnable) == "No strokes, 0.01 Mpx accepted, nothing unreviewed."


def test_sentence_that_follows_strokes_is_the_one_that_reads_all_slides(drawn):
    kept = LearnsFrom(drawn)
    kept.summary()
    stroke(drawn)
    assert kept.summary(only_view_changed=True) == training_summary(drawn)
    drawn.show_slide("case1")
    stroke(drawn)
    assert kept.summary(only_view_changed=True) == training_summary(drawn)


def test_strokes_are_remembered_when_the_project_is_opened_again(drawn):
    stroke(drawn)
    folder = drawn.project.folder
    drawn.close()
    drawn.open_project(folder)
    assert news(drawn).startswith("1 stroke on 1 slide")


def test_training_learns_the_strokes_and_one_that_fails_leaves_them_new(drawn, worker):
    stroke(drawn)
    drawn.training.train(TrainConfig())
    log_begun(drawn.project, "m001")  # as the worker does
    assert news(drawn).startswith("No strokes")
    worker.event.emit(JobFailed("no memory"))
    assert news(drawn).startswith("1 stroke on 1 slide")
    drawn.training.train(TrainConfig())
    log_begun(drawn.project, "m002")
    stroke(drawn, (100.0, 20.0))
    log_learnt(drawn.project, "m002")
    drawn.work_log.save()
    assert read_rounds(drawn.project)[0].total.strokes == 1
    assert read_rounds(drawn.project)[1].total.strokes == 1


def test_corrections_are_those_that_the_current_model_has_not_learnt(drawn):
    for number, model in enumerate(("m001", "m002")):
        stroke(drawn, (20.0 + 40 * number, 20.0))
        drawn.work_log.begin_round()
        log_begun(drawn.project, model)
        save_model(drawn.project, make_bundle(model))
        log_learnt(drawn.project, model)
    drawn.work_log.read_again()
    stroke(drawn, (100.0, 20.0))
    assert news(drawn).startswith("1 correction on 1 slide since m002,")
    drawn.models.make_current("m001")
    assert news(drawn).startswith("2 corrections on 1 slide since m001,")


def test_what_a_model_fills_is_no_work(drawn):
    drawn.show_slide("case5")
    fill_from_model(drawn.mask, Region(0, 0, 50, 50), np.full((50, 50), 2, np.uint8))
    drawn.workspace.mask_changed.emit()
    assert not drawn.work_log.work()


def test_time_counts_while_somebody_works_and_not_while_they_are_away(drawn):
    now = [0.0]
    log = WorkLog(drawn.workspace, clock=lambda: now[0])
    log._on_project()
    for second in (5, 12, 500, 510):
        now[0] = second
        stroke(drawn, (float(second % 150), 30.0))
    (work,) = log.work().values()
    assert work.seconds == 5 + 7 + 10
    assert work.strokes == 4
    assert work.pixels > 0
