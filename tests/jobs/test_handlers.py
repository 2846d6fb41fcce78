import numpy as np
import pytest
from PIL import Image

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.events import run
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.jobs.preview import preview_job
from napari_pathseg.projects.project import Project

SMALL = TrainConfig(tile=64)


def samples(project, config, seed):
    return np.asarray(Image.open(run(preview_job(project, config, seed))))


def test_a_seed_shows_the_same_samples_and_another_one_others(project):
    first, again, other = (samples(project, SMALL, seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_without_variation_all_samples_are_the_tile_itself(project):
    picture = samples(project, SMALL.replace(flip_rotate=False, geometric_p=0.0, degrade_p=0.0, stain_jitter=0.0), 0)
    assert (picture[:160, :160] == picture[-160:, -160:]).all()


def test_drawing_samples_gives_no_slide_a_role(project):
    before = [entry.role for entry in project.slides.values()]
    run(preview_job(project, SMALL, 0))
    assert [entry.role for entry in Project.open(project.folder).slides.values()] == before


def test_without_contours_it_says_what_is_missing(tmp_path):
    with pytest.raises(NothingToLearnError, match="No slide of a.pathseg has a contour"):
        run(preview_job(Project.create(tmp_path / "a.pathseg"), SMALL, 0))
