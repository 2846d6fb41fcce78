import os

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import weights_mtime
from napari_pathseg.engine.evaluation.evaluation import score
from napari_pathseg.engine.events import SlideDone, Stop, run
from napari_pathseg.engine.inference.predict import fill_masks, predict, predict_images
from napari_pathseg.errors import NothingToLearnError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits

WHOLE = Region(0, 0, 192, 192)


@pytest.fixture(scope="module")
def predicted(trained):
    """The prediction of the test slide, after it was merged into the mask."""
    project, _, bundle = trained
    done = run(predict(project, PredictConfig(role="test")))
    fill_masks(project, bundle.id, done)
    return project.find_prediction(bundle.id, "case5")


def dark(project, slide):
    with project.open_slide(slide) as opened:
        return opened.read(WHOLE).mean(axis=-1) < 150


def test_prediction_finds_the_dark_square(trained, predicted):
    project, _, _ = trained
    found, truth = predicted.read(WHOLE) == 2, dark(project, "case5")
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8


def test_prediction_of_a_slide_covers_every_pixel(trained, predicted):
    project, _, bundle = trained
    probabilities = np.asarray(predicted.probabilities)
    assert predicted.is_whole(weights_mtime(project, bundle.id))
    assert set(np.unique(predicted.read(WHOLE))) <= {1, 2}
    assert np.abs(probabilities.sum(axis=0).astype(int) - 255).max() <= 1


def test_mask_receives_predictions_with_model_provenance(trained, predicted):
    project, _, _ = trained
    counts = project.counts("case5")
    assert counts[1:, Provenance.MODEL].sum() == 192 * 192
    assert counts[:, Provenance.ACCEPTED :].sum() == 0


def test_complete_slide_is_not_filled(trained):
    project, _, bundle = trained
    before = project.counts("case0")
    fill_masks(project, bundle.id, run(predict(project, slides=["case0"])))
    assert (project.counts("case0") == before).all()


def test_small_tiles_agree_with_large_ones(trained):
    project, _, bundle = trained
    run(predict(project, PredictConfig(tile=512), slides=["case1"]))
    whole = project.find_prediction(bundle.id, "case1").read(WHOLE)
    run(predict(project, PredictConfig(tile=64, halo=64), slides=["case1"]))
    tiled = project.find_prediction(bundle.id, "case1").read(WHOLE)
    assert (whole != tiled).mean() < 0.01


def test_region_is_predicted_alone(trained):
    project, _, bundle = trained
    (done,) = run(predict(project, slides=["case2"], region=Region(50, 60, 30, 40)))
    prediction = project.find_prediction(bundle.id, "case2")
    assert done.pixels == 30 * 40
    assert (prediction.read(WHOLE) > 0).sum() == 30 * 40
    assert not prediction.is_whole(weights_mtime(project, bundle.id))


def test_region_fills_only_itself_in_the_mask(trained, predicted):
    project, _, bundle = trained
    with project.write_lock(), project.open_mask("case5") as mask:
        mask.run(edits.reject(WHOLE))
    fill_masks(project, bundle.id, run(predict(project, slides=["case5"], region=Region(50, 60, 30, 40))))
    assert project.counts("case5")[1:].sum() == 30 * 40


def test_prediction_is_outdated_once_the_weights_change(trained):
    project, _, bundle = trained
    score(project, role="val")
    (slide,) = (entry.id for entry in project.slides_with_role("val"))
    prediction = project.find_prediction(bundle.id, slide)
    weights = project.folder / "models" / bundle.id / "weights.safetensors"
    os.utime(weights)
    assert not prediction.is_whole(weights_mtime(project, bundle.id))


def test_stop_ends_prediction_between_tiles(trained):
    project, _, _ = trained
    job = predict(project, PredictConfig(tile=64), slides=["case3"])
    next(job)
    with pytest.raises(StopIteration) as end:
        job.send(Stop())
    assert end.value.value == []


def test_stop_between_slides_keeps_the_finished_ones(trained):
    project, _, _ = trained
    job = predict(project, slides=["case3", "case4"])
    while not isinstance(next(job), SlideDone):
        pass
    with pytest.raises(StopIteration) as end:
        job.send(Stop())
    assert [done.slide for done in end.value.value] == ["case3"]


def test_scores_compare_with_the_annotation(trained):
    project, _, _ = trained
    answer = score(project, role="val")
    assert answer["scores"]["Tumour"]["dice"] > 0.8
    assert [part["slide"] for part in answer["slides"]] == [e.id for e in project.slides_with_role("val")]


def test_slide_without_contours_cannot_be_scored(trained, predicted):
    project, _, _ = trained
    with pytest.raises(NothingToLearnError, match="No slide of the role test .* has a contour to score against"):
        score(project, role="test")


def test_region_outside_the_slide_is_refused_with_the_slide_size(trained):
    project, _, _ = trained
    with pytest.raises(ProjectError, match="lies outside case0, which has 192 x 192 pixels"):
        run(predict(project, slides=["case0"], region=Region(500, 0, 10, 10)))


def test_bundle_predicts_images_without_a_project(trained, tmp_path):
    project, _, bundle = trained
    image = project.find_file(project.slide("case5"))
    (path,) = run(predict_images(project.folder / "models" / bundle.id, [image], tmp_path / "out"))
    found, truth = np.asarray(Image.open(path)) == 2, dark(project, "case5")
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.8
