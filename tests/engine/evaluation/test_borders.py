import numpy as np
import pytest
from scipy import ndimage

from napari_pathseg.engine.evaluation.borders import BorderPixels, border_distance, border_of


def border(pixels, most=1 << 20, step=None):
    """Collect the border of the pixels that are True, as a whole or tile by tile."""
    found, edges = BorderPixels(pixels.shape[1], most), border_of(pixels.astype(np.uint8) + 1) & pixels
    step = step or max(pixels.shape)
    for top in range(0, pixels.shape[0], step):
        for left in range(0, pixels.shape[1], step):
            found.add(edges[top : top + step, left : left + step], top, left)
    return found


def by_distance_transform(truth, predicted, mpp, tolerance):
    """Compute the same from distance transforms; the borders are found by erosion."""
    edges = [each & ~ndimage.binary_erosion(each, border_value=1) for each in (truth, predicted)]
    maps = [ndimage.distance_transform_edt(~edge, sampling=mpp) for edge in edges]
    distances = maps[1][edges[0]], maps[0][edges[1]]
    within = sum((each <= tolerance).sum() for each in distances) / sum(map(len, distances))
    return within, max(np.percentile(each, 95) for each in distances)


def blobs(seed, shape=(90, 120), shift=0):
    noise = np.random.default_rng(seed).normal(size=shape)
    return np.roll(ndimage.gaussian_filter(noise, 6), shift, axis=1) > 0.02


@pytest.mark.parametrize("seed", range(4))
def test_borders_agree_with_distance_transforms(seed):
    truth, predicted = blobs(seed), blobs(seed, shift=3) ^ (blobs(seed + 50) & blobs(seed + 90))
    found = border_distance(border(truth), border(predicted, step=32), 0.5, 2.0)
    share, hausdorff = by_distance_transform(truth, predicted, 0.5, 2.0)
    assert found.within / found.pixels == pytest.approx(share)
    assert found.hausdorff == pytest.approx(hausdorff)
    assert 0 < share < 1


def test_square_that_is_moved_by_hand():
    truth, predicted = np.zeros((40, 40), bool), np.zeros((40, 40), bool)
    truth[10:20, 10:20] = True
    predicted[10:20, 14:24] = True
    near = border_distance(border(truth), border(predicted), 2.0, 8.0)
    far = border_distance(border(truth), border(predicted), 2.0, 7.9)
    assert near.pixels == 2 * 36
    assert near.within == near.pixels  # four pixels of 2 um
    assert far.within < far.pixels
    assert near.hausdorff == pytest.approx(8.0)


def test_edges_of_the_slide_and_of_what_is_labelled_are_no_borders():
    labels = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 1]], np.uint8)
    assert np.argwhere(border_of(labels)).tolist() == [[0, 4], [1, 3], [1, 4]]


def test_border_that_only_one_of_them_has_never_agrees():
    square, nothing = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    square[5:10, 5:10] = True
    found = border_distance(border(square), border(nothing), 1.0, 10.0)
    assert (found.within, found.pixels, found.hausdorff) == (0, 16, None)
    neither = border_distance(border(nothing), border(nothing), 1.0, 10.0)
    assert (neither.pixels, neither.hausdorff) == (0, None)


def test_long_border_is_kept_on_a_coarser_grid_that_hardly_moves_it():
    truth, predicted = blobs(1, (400, 400)), blobs(1, (400, 400), shift=9)
    exact = border_distance(border(truth), border(predicted), 1.0, 10.0)
    coarse = border_distance(border(truth, most=exact.pixels // 3), border(predicted), 1.0, 10.0)
    assert (exact.grid, coarse.grid) == (1, 2)
    assert coarse.pixels < 0.7 * exact.pixels
    assert coarse.within / coarse.pixels == pytest.approx(exact.within / exact.pixels, abs=0.05)
    assert coarse.hausdorff == pytest.approx(exact.hausdorff, abs=2)
