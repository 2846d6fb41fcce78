import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.metrics import variation_of_information

from napari_pathseg.engine.evaluation.instance_metrics import (
    InstanceMetrics,
    compare_partitions,
    instance_metrics,
    mean_instance_metrics,
    thin_borders,
)

PARTITIONS = hnp.arrays(np.int32, (6, 8), elements=st.integers(0, 4))


def binary_mask(*rows):
    """Return a mask that is True where the rows have a #."""
    return np.array([[letter == "#" for letter in row] for row in rows])


def entropy(labels):
    """Return the entropy of numbers in bits."""
    shares = np.unique(labels, return_counts=True)[1] / labels.size
    return 0.0 if len(shares) == 1 else -np.sum(shares * np.log2(shares))


def test_scores_of_two_merged_instances_match_a_hand_count():
    truth, merged = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]])
    scores = compare_partitions(truth, merged)
    # p = (1/2, 1/2): sum p^2 = 1/2, sum s^2 = 1, sum t^2 = 1/2
    assert (scores.rand_split, scores.rand_merge, scores.v_rand) == pytest.approx((1, 1 / 2, 2 / 3))
    # H(S) = 0, so S carries no information on T
    assert (scores.info_split, scores.info_merge, scores.v_info) == pytest.approx((1, 0, 0))


def test_scores_of_one_split_instance_match_a_hand_count():
    scores = compare_partitions(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 2, 2]]))
    assert (scores.rand_split, scores.rand_merge, scores.v_rand) == pytest.approx((1 / 2, 1, 2 / 3))
    assert (scores.info_split, scores.info_merge, scores.v_info) == pytest.approx((0, 1, 0))


def test_scores_of_one_merge_among_four_match_a_hand_count():
    scores = compare_partitions(np.array([[1, 2, 3, 4]]), np.array([[1, 1, 2, 3]]))
    # sum p^2 = 4/16, sum s^2 = 6/16, sum t^2 = 4/16; H(S) = 1.5 bit, H(T) = 2 bit, I = 1.5 bit
    assert (scores.rand_split, scores.rand_merge, scores.v_rand) == pytest.approx((1, 4 / 6, 8 / 10))
    assert (scores.info_split, scores.info_merge, scores.v_info) == pytest.approx((1, 3 / 4, 3 / 3.5))


def test_border_pixels_on_the_foreground_are_separate_instances():
    assert compare_partitions(np.array([[1, 1, 1]]), np.array([[1, 0, 1]])) == compare_partitions(
        np.array([[1, 1, 1]]), np.array([[1, 2, 1]])
    )


def test_background_of_the_truth_is_ignored():
    truth = np.array([[1, 1, 0, 2, 2]])
    assert compare_partitions(truth, np.array([[1, 1, 7, 2, 2]])) == compare_partitions(
        truth, np.array([[1, 1, 2, 2, 2]])
    )


@settings(deadline=None)
@given(PARTITIONS, PARTITIONS)
def test_information_scores_agree_with_scikit_image(truth, predicted):
    truth[0, 0] = 1
    predicted = predicted + 1  # because its variation of information has no border pixels
    h_s, h_t = (entropy(labels[truth > 0]) for labels in (predicted, truth))
    shared = (h_s + h_t - sum(variation_of_information(truth, predicted, ignore_labels=(0,)))) / 2
    scores = compare_partitions(truth, predicted)
    assert scores.info_split == pytest.approx(shared / h_s if h_s else 1)
    assert scores.info_merge == pytest.approx(shared / h_t if h_t else 1)
    assert scores.v_info == pytest.approx(2 * shared / (h_s + h_t) if h_s + h_t else 1)


@settings(deadline=None)
@given(PARTITIONS, PARTITIONS)
def test_rand_scores_agree_with_a_count_of_pixel_pairs(truth, predicted):
    truth[0, 0] = 1
    t, s = truth[truth > 0], predicted[truth > 0].copy()
    s[s == 0] = 100 + np.arange((s == 0).sum())
    same_t, same_s = t[:, None] == t, s[:, None] == s
    both = (same_t & same_s).sum()
    scores = compare_partitions(truth, predicted)
    assert scores.rand_split == pytest.approx(both / same_t.sum())
    assert scores.rand_merge == pytest.approx(both / same_s.sum())
    assert scores.v_rand == pytest.approx(2 * both / (same_t.sum() + same_s.sum()))


@settings(deadline=None)
@given(PARTITIONS, PARTITIONS, st.permutations(range(1, 5)))
def test_instance_numbers_do_not_matter(truth, predicted, order):
    truth[0, 0] = 1
    renamed = np.array([0, *order])
    expected = compare_partitions(truth, predicted).to_json()
    assert compare_partitions(renamed[truth], renamed[predicted]).to_json() == pytest.approx(expected)


@pytest.mark.shared_data
def test_perfect_prediction_scores_one(shared):
    cells = tifffile.imread(shared / "data/membranes_isbi2012/train-labels.tif", key=0) > 0
    assert set(instance_metrics(cells, cells).to_json().values()) == {1.0}


def test_thick_borders_do_not_lower_the_scores():
    truth = binary_mask("###.###", "###.###", "###.###")
    thick = binary_mask("##...##", "##...##", "##...##")
    assert set(instance_metrics(truth, thick).to_json().values()) == {1.0}


def test_thinning_leaves_one_pixel_lines_between_instances():
    thinned = thin_borders(binary_mask(*["###....##"] * 5, *["........."] * 5, *["#########"] * 3))
    assert set(np.unique(thinned)) == {0, 1, 2, 3}
    assert ((thinned[:4] == 0).sum(axis=1) == 1).all()
    assert ((thinned == 0).sum(axis=0) <= 5).all()
    for rows in (thinned, thinned.T):
        touching = (rows[:, 1:] != rows[:, :-1]) & (rows[:, 1:] > 0) & (rows[:, :-1] > 0)
        assert not touching.any()


def test_gap_in_a_membrane_lowers_the_merge_score():
    truth = binary_mask("###.###", "###.###", "###.###")
    gap = binary_mask("###.###", "#######", "###.###")
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


def test_truth_without_instances_has_no_metrics():
    assert instance_metrics(np.zeros((4, 4), bool), np.ones((4, 4), bool)) is None


def test_empty_prediction_counts_as_fully_split():
    scores = instance_metrics(np.ones((4, 4), bool), np.zeros((4, 4), bool))
    assert scores.rand_split == pytest.approx(1 / 16)
    assert scores.rand_merge == 1


def test_mean_skips_slides_without_metrics():
    one, half = InstanceMetrics(1, 1, 1, 1, 1, 1), InstanceMetrics(0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert mean_instance_metrics([one, None, half]).v_rand == 0.75
    assert mean_instance_metrics([None]) is None
