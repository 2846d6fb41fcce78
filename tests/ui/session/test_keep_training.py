import json
import shutil
from dataclasses import asdict

import pytest
from bundle_helpers import make_bundle, save_model
from napari.components import ViewerModel

from napari_pathseg.config import LINEAR, TrainConfig
from napari_pathseg.engine.bundle import NetworkSpec, load_bundle
from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.engine.events import Started
from napari_pathseg.jobs.protocol import JobFailed, Predict, PredictionFinished, Train, TrainingFinished
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.projects.annotation_log import log_begun, log_learnt
from napari_pathseg.projects.versions import ROUND, versions
from napari_pathseg.ui.session.keep_training import ROUND_MINUTES, KeepTraining
from napari_pathseg.ui.session.learns_from import training_summary
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.worker_process import WorkerProcess

TINY = TrainConfig(steps=20, tile=64, batch=2, cached_tiles=8, precision="fp32")


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def kept(learnable, now):
    """A session with a trained model, a clock that stands still, and rounds that are switched on."""
    save_model(learnable.project, make_bundle())
    learnable.show_slide("case0")
    learnable.keep_training = KeepTraining(
        learnable.workspace, learnable.training, learnable.work_log, clock=lambda: now[0]
    )
    learnable.keep_training.switch(True, TrainConfig(minutes=5.0))
    return learnable


def stroke(session, at=(20.0, 20.0)):
    session.layers.mask.stroke(BrushSegment(at, at, 5.0), 2)
    session.layers.mask.apply_pending()


def wait(session, now, seconds):
    now[0] += seconds
    session.keep_training.tick()


def trainings(worker):
    return [command for command in worker.sent if isinstance(command, Train)]


def finish_round(session, worker, model, dice, before=0.8, **fields):
    """Let a round end as the worker does: its model is stored, then the event comes, then the view is predicted."""
    scores = [{"case3": SlideScore([0.9, value], "truth")} for value in (dice, before)]
    parent = trainings(worker)[-1].parent
    bundle = make_bundle(model, parent=parent, base=parent, slide_scores=scores[0], base_scores=scores[1], **fields)
    folder = session.project.folder / "models" / model
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(asdict(bundle)))
    log_begun(session.project, model)
    log_learnt(session.project, model)
    worker.event.emit(Started(f"r{model[1:]}", model, parent, [], []))
    worker.event.emit(TrainingFinished(model, dice))
    if session.training.active:
        worker.event.emit(PredictionFinished())


def test_round_begins_a_moment_after_the_last_stroke_and_goes_on_from_the_current_model(kept, worker, now):
    wait(kept, now, 60)
    assert not trainings(worker)
    stroke(kept)
    wait(kept, now, 1)
    stroke(kept, (60.0, 20.0))
    wait(kept, now, 1)
    assert not trainings(worker)
    wait(kept, now, 2)
    (command,) = trainings(worker)
    assert (command.parent, command.config.minutes) == ("m001", ROUND_MINUTES)
    assert kept.keep_training.sentence == "Round 1: m001 learns 2 new strokes."


def test_round_does_not_begin_while_a_stroke_is_in_the_hand(kept, worker, now):
    with kept.layers.mask.block_history():
        stroke(kept)
        wait(kept, now, 10)
        assert not trainings(worker)
    wait(kept, now, 10)
    assert trainings(worker)


def test_after_a_round_the_view_is_predicted_and_the_next_strokes_begin_another(kept, worker, now):
    stroke(kept)
    wait(kept, now, 3)
    finish_round(kept, worker, "m002", 0.85)
    assert [command.model for command in worker.sent if isinstance(command, Predict)] == ["m002"]
    assert kept.keep_training.sentence == "Round 1: m002 is kept, Dice +0.025. Waits for your next strokes."
    wait(kept, now, 60)
    assert len(trainings(worker)) == 1
    stroke(kept, (60.0, 20.0))
    wait(kept, now, 3)
    assert trainings(worker)[-1].parent == "m002"


def test_strokes_during_a_round_begin_the_next_one(kept, worker, now):
    stroke(kept)
    wait(kept, now, 3)
    stroke(kept, (60.0, 20.0))
    finish_round(kept, worker, "m002", 0.85)
    wait(kept, now, 3)
    assert len(trainings(worker)) == 2


def test_rounds_do_not_flood_the_list_of_models_and_of_masks(kept, worker, now):
    for number in range(2, 8):
        stroke(kept, (20.0 + 10 * number, 20.0))
        wait(kept, now, 3)
        finish_round(kept, worker, f"m00{number}", 0.8 + number / 100)
    assert kept.project.model_ids() == ["m001", "m006", "m007"]
    assert load_bundle(kept.project.folder / "models" / "m006").parent == "m001"
    assert [version.why for version in versions(kept.project, "case0")].count(ROUND) <= 4


@pytest.mark.parametrize("dice", [0.6, 0.795], ids=["worse by more than noise", "a little worse"])
def test_round_that_is_worse_is_deleted_and_not_tried_again_without_new_strokes(kept, worker, now, dice):
    stroke(kept)
    wait(kept, now, 3)
    finish_round(kept, worker, "m002", dice)
    assert kept.project.model_ids() == ["m001"]
    assert kept.project.current_model == "m001"
    assert kept.keep_training.sentence == "Round 1: no gain, so it is not kept. Waits for your next strokes."
    assert training_summary(kept).news.startswith("1 correction on 1 slide since m001")
    wait(kept, now, 60)
    assert len(trainings(worker)) == 1


def test_it_ends_when_three_rounds_bring_less_than_half_a_dice_point(kept, worker, now):
    for number in range(2, 5):
        assert kept.keep_training.on
        stroke(kept, (20.0 + 10 * number, 20.0))
        wait(kept, now, 3)
        finish_round(kept, worker, f"m00{number}", 0.801)
    assert not kept.keep_training.on
    assert "brought less than half a Dice point" in kept.keep_training.sentence


def test_it_ends_without_strokes_for_a_while(kept, now):
    wait(kept, now, 3)
    wait(kept, now, 500)
    assert kept.keep_training.on
    wait(kept, now, 200)
    assert (kept.keep_training.on, kept.keep_training.sentence) == (False, "Ended: no new strokes for 10 minutes.")


def test_stop_and_failure_of_a_round_end_it(kept, worker, now):
    stroke(kept)
    wait(kept, now, 3)
    kept.training.stop()
    assert kept.keep_training.sentence == "Ended: you stopped the round."
    finish_round(kept, worker, "m002", 0.85)
    kept.keep_training.switch(True, TrainConfig())
    stroke(kept, (60.0, 20.0))
    wait(kept, now, 3)
    worker.event.emit(JobFailed("no memory"))
    assert kept.keep_training.sentence == "Ended: the round failed."


def test_quick_look_has_no_rounds(learnable, kept, worker, now):
    save_model(learnable.project, make_bundle("m002", network=NetworkSpec(LINEAR, "tf_efficientnet_lite0", 2)))
    stroke(kept)
    wait(kept, now, 3)
    assert not trainings(worker)
    assert "Live follows each stroke" in kept.keep_training.sentence


def test_another_project_begins_without_it(kept):
    kept.close()
    assert not kept.keep_training.on


def test_models_of_another_project_are_not_taken_for_rounds(kept, worker, now, tmp_path):
    other = tmp_path / "other.pathseg"
    shutil.copytree(kept.project.folder, other, ignore=shutil.ignore_patterns("*lock*"))
    for number in (2, 3):
        stroke(kept, (20.0 * number, 20.0))
        wait(kept, now, 3)
        finish_round(kept, worker, f"m00{number}", 0.8 + number / 100)
    kept.close()
    kept.open_project(other)
    for number in (2, 3):
        save_model(kept.project, make_bundle(f"m00{number}", parent=f"m00{number - 1}"))
    kept.show_slide("case0")
    kept.keep_training.switch(True, TrainConfig(minutes=5.0))
    stroke(kept)
    wait(kept, now, 3)
    finish_round(kept, worker, "m004", 0.9)
    assert kept.project.model_ids() == ["m001", "m002", "m003", "m004"]


@pytest.fixture
def real(qapp, project):
    """A session with a worker process and a first model of a tiny training."""
    worker = WorkerProcess()
    session = Session(ViewerModel(), worker)
    session.open_project(project.folder)
    yield session
    session.close()
    worker.close()


def test_strokes_are_learnt_by_a_real_worker_round_after_round(real, qtbot):
    real.training.train(TINY, None)
    qtbot.waitUntil(lambda: real.project.model_ids() == ["m001"] and not real.training.active)
    real.keep_training.switch(True, TINY)
    for number in (1, 2):
        stroke(real, (20.0, 40.0 * number))
        real.keep_training._last_work -= 60
        real.keep_training.tick()
        assert real.training.run.number == number
        qtbot.waitUntil(lambda: "Waits" in real.keep_training.sentence and not real.training.active)
    assert len(real.project.model_ids()) <= 3
    assert real.project.current_model in real.project.model_ids()
