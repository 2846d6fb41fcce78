import pytest

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import Started, Stop, run
from napari_pathseg.engine.training.interrupted import find_resumable_run
from napari_pathseg.errors import NothingToLearnError, ProjectError
from napari_pathseg.jobs.training import train

SHORT = TrainConfig(steps=4, tile=64, batch=2, cached_tiles=4)


def stop_at_once(event):
    return Stop() if isinstance(event, Started) else None


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
