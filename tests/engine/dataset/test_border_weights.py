import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk

from napari_pathseg.engine.dataset.border_weights import border_weights


def cells(side, number, seed=0):
    """Return round cells of two classes on Background; some of them touch."""
    rng = np.random.default_rng(seed)
    labels = np.ones((side, side), np.uint8)
    for row, column in rng.integers(0, side, (number, 2)):
        rows, columns = disk((row, column), rng.integers(8, 24), shape=labels.shape)
        if (labels[rows, columns] == 1).mean() > 0.98:
            labels[rows, columns] = rng.integers(2, 4)
    return labels


def brute_force(labels, weight, width, reach=3.0):
    """Return equation 2 of the U-Net paper, with a distance map for each object."""
    distances = [np.full(labels.shape, np.inf), np.full(labels.shape, np.inf)]
    for value in range(2, labels.max(initial=1) + 1):
        objects, number = ndimage.label(labels == value)
        distances += [ndimage.distance_transform_edt(objects != index) for index in range(1, number + 1)]
    first, second = np.sort(np.stack(distances), axis=0)[:2]
    extra = weight * np.exp(-((first + second) ** 2) / (2 * width**2))
    return 1 + np.where((labels == 1) & (second <= reach * width), extra, 0)


@pytest.mark.parametrize("width", [1.0, 2.5, 5.0, 8.0])
def test_border_weights_are_those_of_the_paper(width):
    labels = cells(200, 60)
    assert np.allclose(border_weights(labels, 10, width), brute_force(labels, 10, width), atol=1e-5)


def test_reach_leaves_out_little_more_than_one_percent():
    labels = cells(200, 20)
    omitted = brute_force(labels, 10, 5, reach=np.inf) - border_weights(labels, 10, 5)
    assert 0.01 < omitted.max() < 10 * np.exp(-4.5)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.floats(0.01, 0.6),
    st.floats(1, 6),
)
def test_border_weights_of_any_mask_equal_brute_force(seed, shape, density, width):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random(shape) < density, rng.integers(0, 4, shape), 1).astype(np.uint8)
    found = border_weights(labels, 7, width)
    assert found.dtype == np.float32
    assert np.allclose(found, brute_force(labels, 7, width), atol=1e-5)


def test_large_mask_has_no_seams_between_blocks():
    labels = np.pad(cells(300, 100), ((420, 10), (380, 70)), constant_values=1)
    assert labels.shape == (730, 750)
    assert np.allclose(border_weights(labels, 10, 5), brute_force(labels, 10, 5), atol=1e-5)


def test_gap_of_one_pixel_between_two_cells_weighs_most():
    labels = np.full((21, 21), 2, np.uint8)
    labels[:, 10] = 1
    weights = border_weights(labels, 10, 5)
    assert weights[:, 10] == pytest.approx(1 + 10 * np.exp(-(2**2) / 50))
    labels[:, 10] = 2
    assert (border_weights(labels, 10, 5) == 1).all()


def test_oblique_line_separates_two_objects():
    labels = np.full((20, 20), 2, np.uint8)
    np.fill_diagonal(labels, 1)
    assert (border_weights(labels, 10, 5).diagonal() > 9).all()


def test_extra_weight_is_for_background_only():
    labels = np.full((9, 9), 2, np.uint8)
    labels[:, 4] = 1
    labels[3, 4] = 0
    weights = border_weights(labels, 10, 5)
    assert (weights[labels != 1] == 1).all()
    assert (weights[labels == 1] > 9).all()


def test_touching_classes_are_two_objects():
    labels = np.ones((30, 30), np.uint8)
    labels[10:20, 5:15], labels[10:20, 15:25] = 2, 3
    weights = border_weights(labels, 10, 5)
    assert weights[9, 15] > 9
    assert weights[9, 5] < 2


@pytest.mark.parametrize("value", [0, 1, 2])
def test_mask_with_fewer_than_two_objects_has_equal_weights(value):
    labels = np.full((40, 40), value, np.uint8)
    assert (border_weights(labels, 10, 5) == 1).all()
    labels[5:9, 5:9] = 2
    assert (border_weights(labels, 10, 5) == 1).all()


def test_weight_of_zero_gives_equal_weights():
    labels = np.ones((64, 64), np.uint8)
    labels[5:20, 5:20] = labels[5:20, 22:40] = 2
    assert (border_weights(labels, 0, 5) == 1).all()
