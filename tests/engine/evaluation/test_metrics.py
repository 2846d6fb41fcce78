import json
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.engine.evaluation.metrics import Confusion, collapsed_class, mean_dice, pool

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=60)


def confusion(truth, predicted, classes=2):
    counts = Confusion.empty(classes)
    counts.add(np.array(truth, np.uint8), np.array(predicted, np.uint8))
    return counts


def test_scores_match_a_hand_count():
    scores = confusion([2, 2, 2, 1, 1, 0], [2, 2, 1, 2, 1, 2]).scores(["Background", "Tumour"])["Tumour"]
    assert scores["dice"] == scores["f1"] == pytest.approx(4 / 6)
    assert scores["iou"] == pytest.approx(2 / 4)
    assert scores["precision"] == scores["recall"] == pytest.approx(2 / 3)


def test_unlabelled_pixels_are_not_counted():
    assert confusion([0, 0, 1], [1, 2, 1]).matrix.sum() == 1


@pytest.mark.parametrize("predicted", [1, 2])
def test_absent_class_has_no_scores_whether_it_is_predicted_or_not(predicted):
    scores = confusion([1, 1], [1, predicted]).scores(["a", "b"])["b"]
    assert scores == dict.fromkeys(("dice", "iou", "precision", "recall", "f1"))


def test_class_that_is_never_found_scores_zero():
    scores = confusion([1, 2], [1, 1]).scores(["a", "b"])["b"]
    assert (scores["dice"], scores["precision"], scores["recall"]) == (0, 0, 0)


@given(PAIRS)
def test_scores_agree_with_sets_of_pixels(pixels):
    truth, predicted = map(np.array, zip(*pixels, strict=True))
    scores = confusion(truth, predicted, 3).scores(["1", "2", "3"])
    for label in (1, 2, 3):
        t, p = (truth == label), (predicted == label) & (truth > 0)
        if not t.any():
            assert scores[str(label)]["dice"] is None
        else:
            assert scores[str(label)]["dice"] == pytest.approx(2 * (t & p).sum() / (t.sum() + p.sum()))
            assert scores[str(label)]["iou"] == pytest.approx((t & p).sum() / (t | p).sum())


def test_pooled_scores_weight_all_pixels_equally():
    parts = [confusion([2] * 9 + [1], [2] * 10), confusion([2], [1])]
    assert pool(parts, 2).scores(["a", "b"])["b"]["dice"] == pytest.approx(18 / 20)


def test_mean_dice_covers_all_classes_that_occur_and_no_other():
    assert mean_dice(confusion([1, 2, 2], [1, 2, 2], 3)) == 1
    assert mean_dice(confusion([1, 1, 1, 1], [1, 1, 1, 2], 3)) == pytest.approx(6 / 7)
    everything_is_tumour = confusion([1] * 20 + [2] * 80, [2] * 100)
    assert mean_dice(everything_is_tumour) == pytest.approx(160 / 180 / 2)


def test_collapse_is_one_class_nearly_everywhere_while_no_other_is_found():
    names = ["Background", "Tumour"]
    assert collapsed_class(confusion([1] * 20 + [2] * 80, [2] * 100), names) == "Tumour"
    assert collapsed_class(confusion([1] * 200 + [2] * 800, [2] * 998 + [1] * 2), names) == "Tumour"
    assert collapsed_class(confusion([1] * 20 + [2] * 80, [1] * 5 + [2] * 95), names) == ""
    assert collapsed_class(confusion([2] * 9, [2] * 9), names) == ""


def test_true_and_false_positives_and_negatives_are_counted_by_class():
    (background, tumour) = confusion([2, 2, 2, 1, 1, 0], [2, 2, 1, 2, 1, 2]).counts()
    assert astuple(tumour) == (2, 1, 1, 1)
    assert astuple(background) == (1, 1, 1, 2)


def test_pixel_error_is_the_fraction_misclassified():
    counts = confusion([2, 2, 2, 1, 1, 0], [2, 2, 1, 2, 1, 2])
    assert counts.pixel_error == pytest.approx(2 / 5)
    assert counts.pixel_accuracy == pytest.approx(3 / 5)
    assert Confusion.empty(2).pixel_error == 0


def test_confusion_matrix_converts_to_plain_lists():
    rows = confusion([2, 2, 2, 1, 1, 0], [2, 2, 1, 2, 1, 2]).to_lists()
    assert json.dumps(rows) == "[[1, 1], [1, 2]]"


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="torchmetrics, the oracle, needs it")


@pytest.fixture(scope="module")
def metrics(torch):
    pytest.importorskip("torchmetrics.functional.segmentation", reason="the oracle is not installed")
    return pytest.importorskip("torchmetrics.functional")


@settings(deadline=None)
@given(pixels=PAIRS)
def test_scores_agree_with_torchmetrics(torch, metrics, pixels):
    metrics = metrics.classification
    truth, predicted = (np.array(values) for values in zip(*pixels, strict=True))
    ours = confusion(truth, predicted, 3)
    prediction, target = torch.tensor(predicted) - 1, torch.tensor(truth) - 1
    options = {"num_classes": 3, "ignore_index": -1}
    matrix = metrics.multiclass_confusion_matrix(prediction, target, **options)
    assert ours.to_lists() == matrix.tolist()
    true = matrix.sum(dim=1).tolist()
    for name, metric in (
        ("f1", metrics.multiclass_f1_score),
        ("iou", metrics.multiclass_jaccard_index),
        ("precision", metrics.multiclass_precision),
        ("recall", metrics.multiclass_recall),
    ):
        expected = metric(prediction, target, average="none", **options).tolist()
        for index, scores in enumerate(ours.scores(["1", "2", "3"]).values()):
            if true[index]:  # elsewhere there is none
                assert scores[name] == pytest.approx(expected[index], abs=1e-6)
    if sum(true):
        accuracy = metrics.multiclass_accuracy(prediction, target, average="micro", **options)
        assert ours.pixel_accuracy == pytest.approx(float(accuracy), abs=1e-6)


@settings(deadline=None)
@given(pixels=PAIRS)
def test_dice_agrees_with_torchmetrics(torch, metrics, pixels):
    known = [(true, found) for true, found in pixels if true]
    if not known:
        return
    truth, predicted = (torch.tensor(values)[None] - 1 for values in zip(*known, strict=True))
    expected = metrics.segmentation.dice_score(predicted, truth, 3, average="none", input_format="index")[0].tolist()
    ours = confusion(truth[0].numpy() + 1, predicted[0].numpy() + 1, 3)
    for index, scores in enumerate(ours.scores(["1", "2", "3"]).values()):
        if ours.present[index]:
            assert scores["dice"] == pytest.approx(expected[index], abs=1e-6)
