import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.engine.scores import Confusion, mean_dice, pool


def confusion(truth, predicted, classes=2):
    counts = Confusion.empty(classes)
    counts.add(np.array(truth, np.uint8), np.array(predicted, np.uint8))
    return counts


def test_scores_of_a_case_counted_by_hand():
    scores = confusion([2, 2, 2, 1, 1, 0], [2, 2, 1, 2, 1, 2]).scores(["Background", "Tumour"])["Tumour"]
    assert scores["dice"] == scores["f1"] == pytest.approx(4 / 6)
    assert scores["iou"] == pytest.approx(2 / 4)
    assert scores["precision"] == scores["recall"] == pytest.approx(2 / 3)


def test_unlabelled_pixels_count_nowhere():
    assert confusion([0, 0, 1], [1, 2, 1]).matrix.sum() == 1


def test_a_class_that_neither_occurs_nor_is_found_scores_one():
    assert confusion([1, 1], [1, 1]).scores(["a", "b"])["b"] == dict.fromkeys(
        ("dice", "iou", "precision", "recall", "f1"), 1.0
    )


def test_a_class_that_is_found_where_there_is_none_scores_zero():
    scores = confusion([1, 1], [1, 2]).scores(["a", "b"])["b"]
    assert (scores["dice"], scores["precision"], scores["recall"]) == (0, 0, 0)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=60))
def test_scores_agree_with_sets_of_pixels(pixels):
    truth, predicted = map(np.array, zip(*pixels, strict=True))
    scores = confusion(truth, predicted, 3).scores(["1", "2", "3"])
    for label in (1, 2, 3):
        t, p = (truth == label), (predicted == label) & (truth > 0)
        if t.any() or p.any():
            assert scores[str(label)]["dice"] == pytest.approx(2 * (t & p).sum() / (t.sum() + p.sum()))
            assert scores[str(label)]["iou"] == pytest.approx((t & p).sum() / (t | p).sum())


def test_pooled_scores_weigh_each_pixel_alike():
    parts = [confusion([2] * 9 + [1], [2] * 10), confusion([2], [1])]
    assert pool(parts, 2).scores(["a", "b"])["b"]["dice"] == pytest.approx(18 / 20)


def test_the_mean_is_over_the_classes_to_find_that_occur():
    assert mean_dice(confusion([1, 2, 2], [1, 2, 2], 3)) == 1
    assert mean_dice(confusion([1, 1, 1, 1], [1, 1, 1, 2], 3)) == pytest.approx(6 / 7)
