import numpy as np
import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.evaluation.before_after import before_after
from napari_pathseg.engine.events import Started, Stop, run
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import NothingToLearnError, ProjectError
from napari_pathseg.jobs.training import train
from napari_pathseg.projects.annotation_log import Work, log_work, read_rounds

SHORT = TrainConfig(steps=4, tile=64, batch=2, cached_tiles=4)


def stop_at_once(event):
    return Stop() if isinstance(event, Started) else None


def test_better_of_a_new_model_and_the_one_before_is_current(project):
    run(train(project, SHORT.replace(steps=60), None))
    assert project.current_model == "m001"
    notes = []
    worse = run(train(project, SHORT.replace(steps=1), None), lambda event: notes.append(event))
    assert before_after(project, worse).worse
    assert project.model_ids() == ["m001", "m002"]
    assert project.current_model == "m001"
    assert notes[-1].text.endswith("so m001 stays the current model.")


def test_model_holds_what_it_mixes_up_on_each_held_out_slide(project):
    bundle = load_bundle(project.folder / "models" / run(train(project, SHORT, None)).id)
    assert bundle.slide_scores.keys() == set(bundle.val)
    pixels = sum(np.array(score.confusion) for score in bundle.slide_scores.values())
    hits, both = pixels.diagonal(), pixels.sum(axis=0) + pixels.sum(axis=1)
    dice = [2 * hit / total for hit, total, occurs in zip(hits, both, pixels.sum(axis=1), strict=True) if occurs]
    assert np.mean(dice) == pytest.approx(bundle.mean_dice)


def test_work_that_is_noted_while_data_are_read_is_of_the_next_round(project):
    early, late = Work(1, 1.0, 10, 0.1), Work(2, 2.0, 20, 0.2)
    log_work(project, "case0", early)

    def work_on(event):
        if isinstance(event, Started):
            log_work(project, "case0", late)

    run(train(project, SHORT, None), work_on)
    assert [one.work for one in read_rounds(project)] == [{"case0": early}, {"case0": late}]


@pytest.mark.parametrize("tensorboard", [False, True])
def test_training_stopped_before_its_first_step_leaves_nothing(project, tensorboard):
    before = sorted(project.folder.rglob("*"))
    job = train(project, SHORT.replace(tensorboard=tensorboard), None)
    with pytest.raises(NothingToLearnError, match="stopped before its first step"):
        run(job, stop_at_once)
    assert project.model_ids() == []
    assert sorted(project.folder.rglob("*")) == before
    with pytest.raises(ProjectError, match="no training yet, so there is nothing to resume"):
        find_resumable_run(project)


def test_resumed_run_stopped_before_its_first_step_is_not_offered_again(project):
    killed = train(project, SHORT, None)
    next(killed)
    killed.close()
    assert find_resumable_run(project).name == "r001"
    with pytest.raises(NothingToLearnError, match="stopped before its first step"):
        run(train(project, resume=""), stop_at_once)
    with pytest.raises(ProjectError, match="no training yet, so there is nothing to resume"):
        find_resumable_run(project)
