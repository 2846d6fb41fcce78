import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from bundle_helpers import make_bundle

from napari_pathseg.engine.evaluation.evaluation import score, score_job
from napari_pathseg.engine.evaluation.metrics import SCORE_NAMES
from napari_pathseg.engine.events import Stop
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import training_labels
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.model_weights import weights_mtime
from napari_pathseg.projects.project import Project

WHOLE = Region(0, 0, 192, 192)
INSTANCE_METRICS = {"v_rand", "rand_split", "rand_merge", "v_info", "info_split", "info_merge"}


def add_model(project):
    """Add a model with the classes of the project and empty weights."""
    folder = project.folder / "models/m001"
    folder.mkdir()
    bundle = make_bundle(classes=[{"name": spec.name, "color": spec.color} for spec in project.classes])
    (folder / "bundle.json").write_text(json.dumps(asdict(bundle)))
    (folder / "weights.safetensors").write_bytes(b"")


def truth_of(project, slide):
    record = project.slide(slide)
    with project.open_mask(slide) as mask:
        return training_labels(*mask.read(Region(0, 0, *record.mask_shape)), True)


def predict_as(project, slide, classes):
    """Write a prediction of a whole slide with these classes."""
    prediction = create_prediction(project.prediction_path("m001", slide), classes.shape, project.classes.names)
    prediction.write(
        Region(0, 0, *classes.shape), np.stack([classes == 1, classes == 2]).astype(np.uint8) * np.uint8(255)
    )
    prediction.finish(weights_mtime(project, "m001"))


@pytest.fixture
def predicted_project(project):
    """A project whose model predicts case0 and case1 correctly, except for 100 pixels of case1."""
    add_model(project)
    for slide in ("case0", "case1"):
        project.update_slide(slide, role="test")
        classes = truth_of(project, slide)
        if slide == "case1":
            assert (classes[:10, :10] == 1).all()
            classes[:10, :10] = 2
        predict_as(project, slide, classes)
    return project


def test_score_returns_its_documented_fields(predicted_project):
    answer = score(predicted_project, role="test")
    assert (answer["model"], answer["role"], answer["classes"]) == ("m001", "test", ["Background", "Tumour"])
    assert [part["slide"] for part in answer["slides"]] == ["case0", "case1"]
    for part in (answer, *answer["slides"]):
        assert all(set(scores) == set(SCORE_NAMES) for scores in part["scores"].values())
        assert set(part["objects"]) == {"Tumour"}
        assert set(part["objects"]["Tumour"]) == INSTANCE_METRICS
    assert json.loads(json.dumps(answer)) == answer


def test_misclassified_pixels_are_counted_pooled_and_by_slide(predicted_project):
    answer = score(predicted_project, role="test")
    pixels = 192 * 192
    assert answer["pixel_error"] == pytest.approx(100 / (2 * pixels))
    assert [part["pixel_error"] for part in answer["slides"]] == pytest.approx([0, 100 / pixels])


def test_confusion_rows_are_true_classes(predicted_project):
    (background, tumour) = score(predicted_project, role="test")["slides"][1]["confusion"]
    assert background == [192 * 192 - 80 * 80 - 100, 100]
    assert tumour == [0, 80 * 80]


def test_false_instance_elsewhere_leaves_the_instance_metrics_alone(predicted_project):
    assert score(predicted_project, role="test")["slides"][1]["objects"]["Tumour"]["v_rand"] == 1


def test_instance_metrics_are_averaged_over_slides(predicted_project):
    halved = truth_of(predicted_project, "case1")
    rows = np.flatnonzero((halved == 2).any(axis=1))
    halved[rows[39:41]] = 1
    predict_as(predicted_project, "case1", halved)
    answer = score(predicted_project, role="test")
    split = answer["slides"][1]["objects"]["Tumour"]["v_rand"]
    assert 0.6 < split < 0.7  # 2/3 for two equal halves
    assert answer["objects"]["Tumour"]["v_rand"] == pytest.approx((1 + split) / 2)


def test_incomplete_slide_has_no_instance_metrics(predicted_project):
    predicted_project.update_slide("case0", complete=False)
    answer = score(predicted_project, role="test")
    assert answer["slides"][0]["objects"] == {"Tumour": None}
    assert answer["objects"]["Tumour"] == answer["slides"][1]["objects"]["Tumour"]


def test_incomplete_slide_is_scored_on_its_labelled_pixels(predicted_project):
    predicted_project.update_slide("case0", complete=False)
    assert np.sum(score(predicted_project, role="test")["slides"][0]["confusion"]) == 80 * 80


def test_class_absent_from_all_slides_is_not_an_error(project, slides, tmp_path):
    negative = Project.create(tmp_path / "n.pathseg")
    add_slides(negative, slides[:1], AddOptions(negative=True, role="test"))
    add_model(negative)
    predict_as(negative, "case0", np.ones((192, 192), np.uint8))
    answer = score(negative, role="test")
    assert answer["scores"]["Tumour"]["dice"] is None
    assert answer["objects"] == {"Tumour": None}


def test_huge_slide_is_scored_by_pixels_alone(predicted_project):
    record = replace(predicted_project.slide("case0"), id="huge", shape=(4097, 4096), complete=True, role="val")
    predicted_project.slides["huge"] = record
    predict_as(predicted_project, "huge", np.ones((4097, 4096), np.uint8))
    answer = score(predicted_project, role="val")
    assert answer["pixel_error"] == 0
    assert answer["objects"] == {"Tumour": None}


def test_scoring_stops_between_slides(predicted_project):
    job = score_job(predicted_project, "test", None)
    next(job)
    with pytest.raises(NothingToLearnError, match="Scoring m001 was stopped"):
        job.send(Stop())


def test_score_agrees_with_the_scores_of_the_training(trained):
    project, _, bundle = trained
    again = score(project, "val", bundle.id)["scores"]
    for name, expected in bundle.scores.items():  # in the precision that is faster now, which may round a few pixels
        assert again[name] == pytest.approx(expected, abs=3e-3)


def test_unlabelled_pixels_in_a_complete_box_count_as_background(predicted_project):
    predicted_project.update_slide("case1", complete=False, boxes=(Region(0, 0, 10, 20),))
    background, tumour = score(predicted_project, role="test")["slides"][1]["confusion"]
    assert background == [100, 100]
    assert tumour == [0, 80 * 80]
