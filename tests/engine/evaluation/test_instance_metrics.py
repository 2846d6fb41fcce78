from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import variation_of_information

from napari_pathseg.engine.evaluation.instance_metrics import (
    InstanceMetrics,
    compare,
    instance_metrics,
    mean_instance_metrics,
    thin_borders,
)

MEMBRANES = Path(__file__).parents[3].parent / "shared/data/membranes_isbi2012/train-labels.tif"
PARTITIONS = hnp.arrays(np.int32, (6, 8), elements=st.integers(0, 4))


def picture(*rows):
    """Return a picture with objects where the rows have a #."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def cells():
    """Return the cells of the first slice of the challenge, True inside."""
    if not MEMBRANES.exists():
        pytest.skip("the slices of the ISBI 2012 challenge are not here")
    return tifffile.imread(MEMBRANES, key=0) > 0


def entropy(labels):
    """Return the entropy of numbers in bits."""
    shares = np.unique(labels, return_counts=True)[1] / labels.size
    return 0.0 if len(shares) == 1 else -np.sum(shares * np.log2(shares))


def test_a_merge_of_two_equal_objects_counted_by_hand():
    truth, merged = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])
    scores = compare(truth, merged)
    # p = (1/2, 1/2): sum p^2 = 1/2, sum s^2 = 1, sum t^2 = 1/2
    assert (scores.rand_split, scores.rand_merge, scores.v_rand) == pytest.approx((1, 1 / 2, 2 / 3))
    # H(S) = 0, so nothing is known of T
    assert (scores.info_split, scores.info_merge, scores.v_info) == pytest.approx((1, 0, 0))


def test_a_split_into_two_equal_objects_counted_by_hand():
    scores = compare(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]]))
    assert (scores.rand_split, scores.rand_merge, scores.v_rand) == pytest.approx((1 / 2, 1, 2 / 3))
    assert (scores.info_split, scores.info_merge, scores.v_info) == pytest.approx((0, 1, 0))


def test_one_merge_among_four_objects_counted_by_hand():
    scores = compare(np.array([[1, 2, 3, 4]]), np.array([[1, 1, 2, 3]]))
    # sum p^2 = 4/16, sum s^2 = 6/16, sum t^2 = 4/16; H(S) = 1.5 bit, H(T) = 2 bit, I = 1.5 bit
    assert (scores.rand_split, scores.rand_merge, scores.v_rand) == pytest.approx((1, 4 / 6, 8 / 10))
    assert (scores.info_split, scores.info_merge, scores.v_info) == pytest.approx((1, 3 / 4, 3 / 3.5))


def test_border_pixels_on_the_foreground_are_objects_of_their_own():
    assert compare(np.array([[1, 1, 1]]), np.array([[1, 0, 1]])) == compare(
        np.array([[1, 1, 1]]), np.array([[1, 2, 1]])
    )


def test_the_background_of_the_truth_counts_nowhere():
    truth = np.array([[1, 1, 0, 2, 2]])
    assert compare(truth, np.array([[1, 1, 7, 2, 2]])) == compare(truth, np.array([[1, 1, 2, 2, 2]]))


@settings(deadline=None)
@given(PARTITIONS, PARTITIONS)
def test_information_agrees_with_scikit_image(truth, predicted):
    truth[0, 0] = 1
    predicted = predicted + 1  # its variation of information knows no border pixels
    h_s, h_t = (entropy(labels[truth > 0]) for labels in (predicted, truth))
    shared = (h_s + h_t - sum(variation_of_information(truth, predicted, ignore_labels=(0,)))) / 2
    scores = compare(truth, predicted)
    assert scores.info_split == pytest.approx(shared / h_s if h_s else 1)
    assert scores.info_merge == pytest.approx(shared / h_t if h_t else 1)
    assert scores.v_info == pytest.approx(2 * shared / (h_s + h_t) if h_s + h_t else 1)


@settings(deadline=None)
@given(PARTITIONS, PARTITIONS)
def test_rand_agrees_with_all_pairs_of_pixels(truth, predicted):
    truth[0, 0] = 1
    t, s = truth[truth > 0], predicted[truth > 0].copy()
    s[s == 0] = 100 + np.arange((s == 0).sum())
    same_t, same_s = t[:, None] == t, s[:, None] == s
    both = (same_t & same_s).sum()
    scores = compare(truth, predicted)
    assert scores.rand_split == pytest.approx(both / same_t.sum())
    assert scores.rand_merge == pytest.approx(both / same_s.sum())
    assert scores.v_rand == pytest.approx(2 * both / (same_t.sum() + same_s.sum()))


@settings(deadline=None)
@given(PARTITIONS, PARTITIONS, st.permutations(range(1, 5)))
def test_the_numbers_of_objects_mean_nothing(truth, predicted, order):
    truth[0, 0] = 1
    renamed = np.array([0, *order])
    expected = compare(truth, predicted).to_json()
    assert compare(renamed[truth], renamed[predicted]).to_json() == pytest.approx(expected)


def test_what_is_right_scores_one():
    assert set(instance_metrics(cells(), cells()).to_json().values()) == {1.0}


def test_thick_borders_cost_nothing():
    truth = picture("###.###", "###.###", "###.###")
    thick = picture("##...##", "##...##", "##...##")
    assert set(instance_metrics(truth, thick).to_json().values()) == {1.0}


def test_thinning_leaves_lines_of_one_pixel_between_the_objects():
    thinned = thin_borders(picture(*["###....##"] * 5, *["........."] * 5, *["#########"] * 3))
    assert set(np.unique(thinned)) == {0, 1, 2, 3}
    assert ((thinned[:4] == 0).sum(axis=1) == 1).all()
    assert ((thinned == 0).sum(axis=0) <= 5).all()
    for rows in (thinned, thinned.T):
        touching = (rows[:, 1:] != rows[:, :-1]) & (rows[:, 1:] > 0) & (rows[:, :-1] > 0)
        assert not touching.any()


def test_a_gap_in_a_membrane_merges_two_cells():
    truth = picture("###.###", "###.###", "###.###")
    gap = picture("###.###", "#######", "###.###")
    scores = instance_metrics(truth, gap)
    assert scores.rand_merge == pytest.approx(1 / 2)
    assert scores.rand_split == 1


def test_more_merges_score_lower():
    truth, scores = np.ones((5, 23), bool), []
    truth[:, 5::6] = False
    for gaps in range(4):
        predicted = truth.copy()
        predicted[2, 5 : 6 * gaps : 6] = True
        scores.append(instance_metrics(truth, predicted))
    assert [s.v_rand for s in scores] == sorted((s.v_rand for s in scores), reverse=True)
    assert [s.v_info for s in scores] == sorted((s.v_info for s in scores), reverse=True)
    assert scores[0].v_rand == 1 > scores[1].v_rand > scores[2].v_rand > scores[3].v_rand


def test_a_truth_without_objects_has_no_scores():
    assert instance_metrics(np.zeros((4, 4), bool), np.ones((4, 4), bool)) is None


def test_a_prediction_without_objects_is_all_split():
    scores = instance_metrics(np.ones((4, 4), bool), np.zeros((4, 4), bool))
    assert scores.rand_split == pytest.approx(1 / 16)
    assert scores.rand_merge == 1


def test_the_mean_leaves_out_slides_without_objects():
    one, half = InstanceMetrics(1, 1, 1, 1, 1, 1), InstanceMetrics(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert mean_instance_metrics([one, None, half]).v_rand == 0.75
    assert mean_instance_metrics([None]) is None
