"""What a training learns after a prediction: nothing of a model's but what was accepted, and of that all."""

import shutil

import numpy as np
import pytest

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.events import run
from napari_pathseg.engine.inference.predict import fill_masks, predict
from napari_pathseg.engine.training.plan import pixels_by_class
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.confidence import accept_confident
from napari_pathseg.masks.edits import clear
from napari_pathseg.projects.project import Project

CONFIG = TrainConfig(tile=64, steps=4)
SIDE = 192
WHOLE = Region(0, 0, SIDE, SIDE)


@pytest.fixture
def predicted(trained, tmp_path):
    """A copy of the trained project in which case5, a training slide without a label, was predicted."""
    source, _, bundle = trained
    shutil.copytree(source.folder, tmp_path / "copy.pathseg")
    project = Project.open(tmp_path / "copy.pathseg")
    project.update_slide("case5", role="train")
    with project.open_mask("case5") as mask:
        mask.run(clear(WHOLE, None))
    fill_masks(project, bundle.id, run(predict(project, PredictConfig(), slides=["case5"])))
    assert project.counts("case5")[1:, Provenance.MODEL].sum() == SIDE**2
    return project, project.find_prediction(bundle.id, "case5")


def learnt(project, name="case5"):
    """Return the labels of a slide as the training reads them, tile by tile; 0 where it learns nothing."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    with PatchDataset(project, [project.slide(name)], CONFIG, cache=False) as dataset:
        for slide, region in dataset.labelled_regions(64, 1 << 40, np.random.default_rng(0)):
            labels[region.slices] = slide.labels(region)
    return labels


def test_prediction_without_an_edit_adds_no_pixel_to_what_is_learnt(predicted):
    project, _ = predicted
    records = [project.slide(name) for name in ("case0", "case1", "case2", "case3")]
    before = pixels_by_class(project, records)
    fill_masks(project, "m001", run(predict(project, PredictConfig(), slides=list(project.slides))))
    assert pixels_by_class(project, [*records, project.slide("case5")]) == before
    assert not learnt(project).any()


def test_predictions_alone_are_nothing_to_learn_from(predicted):
    project, _ = predicted
    for name in project.slides:
        project.update_slide(name, complete=False, role="train")
        with project.open_mask(name) as mask:
            mask.run(clear(WHOLE, None))
    fill_masks(project, "m001", run(predict(project, PredictConfig(), slides=list(project.slides))))
    with pytest.raises(NothingToLearnError):
        run(train(project, CONFIG))


def test_training_learns_exactly_what_was_accepted_by_confidence(predicted):
    project, prediction = predicted
    surest = np.asarray(prediction.probabilities).max(axis=0)
    share = float(np.quantile(surest, 0.4)) / 255
    sure = surest >= np.ceil(255 * share - 1e-9)
    assert 0 < sure.sum() < SIDE**2
    with project.open_mask("case5") as mask:
        mask.run(accept_confident(WHOLE, prediction, (share, None)))
    assert np.array_equal(learnt(project), np.where(sure, prediction.read(WHOLE), 0))
    wanted = [int((prediction.read(WHOLE)[sure] == label).sum()) for label in (1, 2)]
    assert pixels_by_class(project, [project.slide("case5")]) == wanted
    with project.open_mask("case5") as mask:
        mask.undo()
    assert not learnt(project).any()
