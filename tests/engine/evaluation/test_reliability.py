import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.engine.evaluation.reliability import (
    Reliability,
    count_reliability,
    expected_calibration_error,
    reliability_curve,
)
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.ground_truth import GroundTruth

BACKGROUND, TUMOUR, SIDE = 1, 2, 192
WHOLE, TOP = Region(0, 0, SIDE, SIDE), Region(0, 0, 40, SIDE)


def predict(project, slide, model="m001"):
    """Store a prediction that is sure of the labels but at the top, where it is sure of Tumour."""
    tumour = np.where(GroundTruth(project, project.slide(slide)).labels(WHOLE) == TUMOUR, 250, 5).astype(np.uint8)
    tumour[TOP.slices] = 200
    pixels = np.stack([255 - tumour, tumour])
    create_prediction(project.prediction_path(model, slide), (SIDE, SIDE), project.classes.names).write(WHOLE, pixels)


def count(project, model="m001"):
    return [Reliability(), *count_reliability(project, model)][-1]


@pytest.fixture
def scored(project):
    """A project whose slide case4 is held out, labelled and predicted."""
    save_model(project, make_bundle(train=["case0"], val=["case4"]))
    project.update_slide("case4", role="val")
    predict(project, "case4")
    return project


def test_share_that_is_right_grows_with_what_is_asked_for(scored):
    counted = count(scored)
    truth = GroundTruth(scored, scored.slide("case4")).labels(WHOLE)
    wrong = int((truth[TOP.slices] == BACKGROUND).sum())
    assert counted.slides == ["case4"]
    assert counted.share_right(0.5) == pytest.approx(1 - wrong / SIDE**2)
    assert counted.share_right(0.95) == 1.0
    assert counted.share_right(0.5, BACKGROUND) == 1.0
    assert counted.share_right(0.5, TUMOUR) < 0.6


def test_nothing_is_known_without_predicted_held_out_slides(project):
    save_model(project, make_bundle(train=["case0"], val=["case4"]))
    project.update_slide("case4", role="val")
    assert count(project).share_right(0.5) is None
    predict(project, "case0")
    assert count(project).share_right(0.5) is None


def test_slide_that_the_model_has_learnt_does_not_count(scored):
    save_model(scored, make_bundle("m002", parent="m001", train=["case4"]))
    predict(scored, "case4", "m002")
    assert count(scored, "m002").share_right(0.5) is None


def test_held_out_parts_count_and_the_rest_of_their_slide_does_not(project):
    save_model(project, make_bundle(train=["case0"], val=["case0"], held_out={"case0": [[0, 0, 40, SIDE]]}))
    for slide in ("case0", "case1", "case2", "case3", "case4"):
        project.update_slide(slide, role="train")
    predict(project, "case0")
    assert count(project).all.sum() == 40 * SIDE


def test_accepted_labels_are_no_evidence(scored):
    scored.update_slide("case4", complete=False)
    with scored.open_mask("case4") as mask:
        mask.edit(TOP, np.full((40, SIDE), TUMOUR, np.uint8), np.full((40, SIDE), Provenance.ACCEPTED, np.uint8))
    counted = count(scored)
    assert counted.all.sum() > 1000
    assert counted.all[:, :250].sum() == 0


def test_a_few_pixels_say_nothing(scored):
    assert count(scored).share_right(0.999) is None


def test_calibration_error_agrees_with_torchmetrics():
    torch = pytest.importorskip("torch", reason="torchmetrics, the oracle, needs it")
    oracle = pytest.importorskip("torchmetrics.functional.classification", reason="the oracle is not installed")
    rng = np.random.default_rng(0)
    stored = rng.integers(128, 256, 5000)
    stored = stored[stored % 51 != 0]  # on the limit of two bins, where rounding decides
    right = rng.random(len(stored)) < (stored / 255) ** 2
    counts = [np.bincount(values, minlength=256) for values in (stored[right], stored)]
    ece = expected_calibration_error(reliability_curve(*counts))
    shares = torch.tensor(stored / 255)
    expected = oracle.multiclass_calibration_error(
        torch.stack([shares, 1 - shares], dim=1), torch.tensor(~right).long(), 2, n_bins=10, norm="l1"
    )
    assert ece == pytest.approx(float(expected), abs=1e-5)  # computed in float32
    assert ece > 0.05


def test_nothing_counted_has_no_calibration_error():
    assert expected_calibration_error(reliability_curve(np.zeros(256, int), np.zeros(256, int))) is None


def test_bin_of_the_curve_holds_its_upper_limit():
    counts = np.zeros(256, int)
    counts[[0, 51, 52, 255]] = 1
    assert [(each["from"], each["pixels"]) for each in reliability_curve(counts, counts)] == [
        (0.0, 1),
        (0.1, 1),
        (0.2, 1),
        (0.9, 1),
    ]
