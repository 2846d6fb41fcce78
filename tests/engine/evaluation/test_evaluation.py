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
from napari_pathseg.projects.test_uses import read_test_uses

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
        more = {"specificity", "nsd", "hd95", "lesion_f1_10", "lesion_f1_50"}
        assert all(set(scores) == {*SCORE_NAMES, *more} for scores in part["scores"].values())
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
        assert {key: again[name][key] for key in expected} == pytest.approx(expected, abs=3e-3)


def test_unlabelled_pixels_in_a_complete_box_count_as_background(predicted_project):
    predicted_project.update_slide("case1", complete=False, boxes=(Region(0, 0, 10, 20),))
    background, tumour = score(predicted_project, role="test")["slides"][1]["confusion"]
    assert background == [100, 100]
    assert tumour == [0, 80 * 80]


def test_borders_lesions_and_areas_agree_with_masks_that_are_read_whole(predicted_project):
    from scipy import ndimage

    truth = truth_of(predicted_project, "case1") == 2
    found = truth.copy()
    found[:10, :10] = True
    edges = [each & ~ndimage.binary_erosion(each, border_value=1) for each in (truth, found)]
    apart = [ndimage.distance_transform_edt(~edge)[other] for edge, other in (edges, edges[::-1])]
    slide = score(predicted_project, role="test")["slides"][1]
    scores = slide["scores"]["Tumour"]
    assert scores["nsd"] == pytest.approx(np.mean(np.concatenate(apart) <= 10))
    assert scores["hd95"] == pytest.approx(max(np.percentile(each, 95) for each in apart))
    assert (slide["hd95_unit"], slide["mask_mpp"]) == ("px", None)
    assert scores["lesion_f1_50"] == pytest.approx(2 * 1 / (1 + 2))
    assert scores["specificity"] == pytest.approx(1 - 100 / (~truth).sum())
    assert slide["areas"]["Tumour"]["found_pixels"] == found.sum()


def test_distances_and_areas_have_units_where_the_pixel_size_is_known(predicted_project):
    pixels = score(predicted_project, role="test")["slides"][1]["scores"]["Tumour"]
    for name in ("case0", "case1"):
        predicted_project.update_slide(name, mpp=0.5)
    answer = score(predicted_project, role="test", tolerance_um=5)
    scores = answer["slides"][1]["scores"]["Tumour"]
    assert scores["hd95"] == pytest.approx(pixels["hd95"] / 2)
    assert scores["nsd"] == pixels["nsd"]
    assert answer["areas"]["unit"] == "mm2"
    assert answer["areas"]["classes"]["Tumour"]["bias"]["mean"] == pytest.approx(50 * 0.25e-6)


def test_unlabelled_pixels_make_no_errors_at_borders_or_of_lesions(predicted_project):
    tumour = truth_of(predicted_project, "case1") == 2
    top = int(np.flatnonzero(tumour.any(axis=1))[0])
    box = Region(top - 10, 0, 192 - top + 10, 192)  # without the false pixels at the top
    predicted_project.update_slide("case1", complete=False, boxes=(box,))
    scores = score(predicted_project, role="test")["slides"][1]["scores"]["Tumour"]
    assert (scores["nsd"], scores["hd95"], scores["lesion_f1_50"]) == (1, 0, None)


def test_scoring_test_slides_is_remembered_and_scoring_others_is_not(predicted_project):
    score(predicted_project, role="test")
    assert [(use["model"], use["slides"]) for use in read_test_uses(predicted_project)] == [
        ("m001", ["case0", "case1"])
    ]
    predicted_project.update_slide("case0", role="val")
    score(predicted_project, role="val")
    assert len(read_test_uses(predicted_project)) == 1


def test_slides_of_one_patient_are_one_patient(predicted_project):
    for name in ("case0", "case1"):
        predicted_project.update_slide(name, patient="Smith")
    answer = score(predicted_project, role="test")
    assert (answer["by_patient"]["patients"], answer["by_patient"]["unknown"]) == (1, [])
    assert any("1 patient is scored" in note for note in answer["notes"])
