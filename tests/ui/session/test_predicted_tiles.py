"""What a running prediction brings into the masks, when it is stopped, and when it gives way."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Note, Progress, RequestPreview, SlideDone, Stop, TileDone
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.jobs.protocol import JobFailed, Predict, PredictionFinished, Train, TrainingFinished
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.ui.session.formatting import format_job
from napari_pathseg.ui.session.next_step import next_step

TUMOUR = 2
WHOLE = Region(0, 0, 192, 192)
TILES = list(layout(WHOLE, 96))


@pytest.fixture
def session(learnable):
    save_model(learnable.project, make_bundle("m001"))
    learnable.show_slide("case5")  # without contours; the others are complete
    return learnable


@pytest.fixture
def heard(session):
    heard = []
    session.message.connect(lambda text, details, severity: heard.append(text))
    return heard


def predicted(session, slide, tile, share=0.25):
    """Do what the worker does when it has predicted a tile: everything is Tumour."""
    project = session.project
    record, path = project.slide(slide), project.prediction_path("m001", slide)
    prediction = create_prediction(path, record.mask_shape, project.classes.slot_names)
    found = np.zeros((len(project.classes.slot_names), tile.height, tile.width), np.uint8)
    found[TUMOUR - 1] = 255
    prediction.write(tile, found)
    session.worker.event.emit(TileDone(slide, tile, share))
    session.worker.event.emit(Progress(f"Predicting {slide}", share, 1.0))


def finish(session, slide=None, *, stopped=False):
    if slide is not None:
        session.worker.event.emit(SlideDone(slide, 1.0, 192 * 192, WHOLE))
    session.worker.event.emit(PredictionFinished(stopped=stopped))


def model_pixels(session):
    return int(session.mask.counts[TUMOUR, Provenance.MODEL])


def stroke(session, row=20):
    session.layers.mask.stroke(BrushSegment((row, 20), (row, 60), 5), 1)
    session.layers.mask.apply_pending()


def drawn(session):
    return int(session.mask.counts[1, Provenance.DRAWN :].sum())


def test_each_tile_is_in_the_mask_as_it_comes_and_the_slide_is_one_undo_step(session):
    session.training.predict(["case5"])
    for number, tile in enumerate(TILES, 1):
        predicted(session, "case5", tile, number / 4)
        assert model_pixels(session) == number * 96 * 96
    finish(session, "case5")
    session.layers.mask.undo()
    assert model_pixels(session) == 0
    session.layers.mask.redo()
    assert model_pixels(session) == 192 * 192


def test_undo_during_a_prediction_takes_back_ones_own_stroke(session):
    session.training.predict(["case5"])
    predicted(session, "case5", TILES[0])
    stroke(session)
    predicted(session, "case5", TILES[1])
    assert drawn(session)
    session.layers.mask.undo()
    assert not drawn(session)
    assert model_pixels(session) > 96 * 96
    finish(session, "case5")
    session.layers.mask.undo()
    assert model_pixels(session) == 0


def test_tile_during_a_drag_does_not_cut_the_stroke_in_two(session):
    session.training.predict(["case5"])
    layer = session.layers.mask
    with layer.block_history():
        layer.stroke(BrushSegment((20, 20), (20, 60), 5), 1)
        predicted(session, "case5", TILES[3])
        layer.stroke(BrushSegment((40, 20), (40, 60), 5), 1)
    assert drawn(session) > 800
    layer.undo()
    assert drawn(session) == 0


def test_stopped_prediction_keeps_its_tiles_and_says_how_much(session, heard):
    session.training.predict(["case5"])
    predicted(session, "case5", TILES[0], 0.376)
    session.training.stop()
    assert format_job(session.training.run) == "Predicting with m001: stopping…"
    finish(session, stopped=True)
    assert heard == ["Stopped: 37 % of the slide predicted; what is done is kept."]
    assert format_job(session.training.run) == "Stopped: 37 % of the slide predicted"
    assert not session.training.active
    assert model_pixels(session) == 96 * 96


def test_what_is_unlike_in_a_slide_is_said_once_while_view_after_view_is_predicted(session, heard):
    for view in (True, True, False):
        session.training.predict(["case5"], view=view)
        session.worker.event.emit(Note("Unlike the slides that m001 learnt, blurred: case5.", warning=True))
        finish(session)
    assert heard == ["Unlike the slides that m001 learnt, blurred: case5."] * 2


def test_slide_that_was_predicted_in_part_is_still_to_be_predicted(session):
    session.training.predict(["case5"])
    predicted(session, "case5", TILES[0])
    finish(session, stopped=True)
    session.editor.accept("slide")
    session.save_mask()
    assert next_step(session).text == "m001 has not seen all of 1 slide yet. Predict and review it."


@pytest.mark.parametrize("end", [PredictionFinished(stopped=True), JobFailed("Memory ran out.")])
def test_tiles_of_a_slide_that_is_not_in_view_are_in_its_mask_at_the_end(session, end):
    session.training.predict(["case5"])
    predicted(session, "case5", TILES[0])
    session.show_slide("case0")
    predicted(session, "case5", TILES[1])
    session.worker.event.emit(end)
    assert session.counts("case5")[TUMOUR, Provenance.MODEL] == 2 * 96 * 96
    assert not session.mask.counts[TUMOUR, Provenance.MODEL]


def test_tiles_that_came_while_another_slide_was_in_view_follow_when_the_slide_is_back(session):
    session.training.predict(["case5"])
    session.show_slide("case0")
    for tile in layout(WHOLE, 64):
        predicted(session, "case5", tile)
    session.show_slide("case5")
    predicted(session, "case5", Region(0, 0, 64, 64))
    session.editor.apply_pending()
    assert model_pixels(session) == 192 * 192


def test_slide_that_contours_are_imported_into_is_not_written_and_it_is_said(session, heard):
    session.training.predict(["case5"])
    session.show_slide("case0")
    session.workspace.importing = "case5"
    predicted(session, "case5", TILES[0])
    finish(session, "case5")
    assert session.project.counts("case5")[TUMOUR].sum() == 0
    assert heard[0].startswith("case5 was predicted while contours were imported into it")
    assert heard[0].endswith("Predict it again.")


def test_operation_on_the_mask_comes_before_the_tiles(session):
    def slow(mask):
        yield OperationStep(Region(0, 0, 0, 0), 0.5)
        yield OperationStep(Region(0, 0, 0, 0), 1.0)

    session.training.predict(["case5"])
    session.mask.enqueue(MaskOperation("Working", slow))
    predicted(session, "case5", TILES[0])
    assert session.mask.operations.running is not None
    session.editor.apply_pending()
    predicted(session, "case5", TILES[1])
    assert model_pixels(session) == 2 * 96 * 96


def test_complete_slide_is_compared_with_the_tiles_as_they_come(session):
    session.show_slide("case0")
    before = session.mask.counts.copy()
    session.training.predict(["case0"])
    predicted(session, "case0", TILES[0])
    opinion = session.workspace.opinion
    assert (opinion.read(WHOLE) == TUMOUR).sum() == (opinion.read(Region(0, 0, 96, 96), 1) == TUMOUR).sum() * 4
    predicted(session, "case0", TILES[3])
    assert session.workspace.opinion is opinion
    assert (opinion.read(WHOLE) == TUMOUR).sum() == 2 * 96 * 96
    assert (opinion.read(Region(0, 0, 96, 96), 1)[48:, 48:] == TUMOUR).all()
    assert (session.mask.counts == before).all()


def test_slide_in_view_is_predicted_first_and_of_it_what_is_on_screen(session):
    session.training.predict(["case0", "case5", "case1"])
    command, view = session.worker.sent[-2:]
    assert command.slides == ["case5", "case0", "case1"]
    assert view == RequestPreview("case5", WHOLE)
    session.show_slide("case1")
    session.training.follow_view()
    assert session.worker.sent[-1] == RequestPreview("case1", WHOLE)


@pytest.fixture
def trained(session):
    """The session just after a training, while the view is predicted."""
    session.training.train(TrainConfig())
    session.worker.event.emit(TrainingFinished("m001", 0.9))
    return session


def test_only_the_view_is_predicted_after_a_training_and_everything_can_be_started(trained):
    command = trained.worker.sent[-2]
    assert isinstance(command, Predict)
    assert (command.slides, command.region, command.model) == (["case5"], WHOLE, "m001")
    assert trained.training.active
    assert not trained.training.busy
    assert "Predicting" not in next_step(trained).text


def test_large_view_is_predicted_around_its_centre_after_a_training(session, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.session.training_controller._MAX_UNASKED_SIDE", 100)
    session.training.train(TrainConfig())
    session.worker.event.emit(TrainingFinished("m001", 0.9))
    assert session.worker.sent[-2].region == Region(46, 46, 100, 100)


def test_training_ends_the_prediction_of_the_view_and_keeps_its_tiles(trained, heard):
    predicted(trained, "case5", TILES[0])
    trained.training.train(TrainConfig())
    stop, train, _ = trained.worker.sent[-3:]
    assert stop == Stop(now=True)
    assert isinstance(train, Train)
    predicted(trained, "case5", TILES[1])  # was on its way
    trained.worker.event.emit(PredictionFinished(stopped=True))
    assert trained.training.run.title == "Training"
    assert trained.training.busy
    assert heard == []
    assert model_pixels(trained) == 96 * 96
    with pytest.raises(PathsegError, match="Training is still running"):
        trained.training.predict(["case5"])
    trained.worker.event.emit(TrainingFinished("m001", 0.9))
    assert not trained.training.busy


def test_prediction_that_was_asked_for_is_waited_for(session):
    session.training.predict(["case5"], view=True)
    with pytest.raises(PathsegError, match="Predicting the view with m001 is still running"):
        session.training.train(TrainConfig())
