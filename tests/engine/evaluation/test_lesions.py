import numpy as np
import pytest
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.measure import label

from napari_pathseg.engine.evaluation.lesions import LesionCounts, LesionTally
from napari_pathseg.geometry import Region, layout


def lesions(truth, predicted, tile=1000):
    box = Region(0, 0, *truth.shape)
    tally = LesionTally(box)
    for region in layout(box, tile):
        tally.add(region, truth[region.slices], predicted[region.slices])
    return tally.counts()


def square(*corners, side=10):
    pixels = np.zeros((100, 100), bool)
    for top, left in corners:
        pixels[top : top + side, left : left + side] = True
    return pixels


def test_lesions_are_found_by_their_overlap():
    truth = square((10, 10), (10, 60), (60, 10))
    predicted = square((10, 12), (10, 67), (80, 80))  # overlaps of 2/3, 3/17 and none
    assert lesions(truth, predicted) == LesionCounts(3, 3, (2, 1))
    assert lesions(truth, predicted).f1(0) == pytest.approx(2 / 3)
    assert lesions(truth, predicted).f1(1) == pytest.approx(1 / 3)


def test_one_large_prediction_does_not_find_several_lesions():
    truth = square((10, 10), (10, 25), (10, 40))
    predicted = np.zeros_like(truth)
    predicted[10:20, 10:50] = True
    assert lesions(truth, predicted) == LesionCounts(3, 1, (1, 0))


def test_no_lesion_is_labelled_or_predicted():
    nothing, one = np.zeros((100, 100), bool), square((10, 10))
    assert lesions(nothing, nothing).f1(0) is None
    assert lesions(nothing, one).f1(0) is None
    assert lesions(nothing, one).predicted == 1
    assert lesions(one, nothing).f1(0) == 0


def test_half_of_the_overlap_is_reached_exactly():
    truth, predicted = square((10, 10)), square((10, 10))
    predicted[10:20, 10:15] = False
    assert lesions(truth, predicted).matched == (1, 1)


@pytest.mark.parametrize("seed", range(3))
def test_lesions_agree_with_labels_of_the_whole_picture_and_the_best_assignment(seed):
    rng = np.random.default_rng(seed)
    truth = ndimage.gaussian_filter(rng.normal(size=(120, 150)), 3) > 0.06
    predicted = np.roll(truth, 2, axis=0) ^ (ndimage.gaussian_filter(rng.normal(size=(120, 150)), 2) > 0.25)
    rows, columns = label(truth, connectivity=2), label(predicted, connectivity=2)
    overlap = np.zeros((rows.max(), columns.max()))
    for row in range(1, rows.max() + 1):
        for column in range(1, columns.max() + 1):
            one, other = rows == row, columns == column
            overlap[row - 1, column - 1] = (one & other).sum() / (one | other).sum()
    found = lesions(truth, predicted, tile=40)
    assert (found.truth, found.predicted) == overlap.shape
    pairs = linear_sum_assignment(overlap >= 0.5, maximize=True)
    assert found.matched[1] == (overlap[pairs] >= 0.5).sum()
    assert 0 < found.matched[1] < found.truth
