"""Superpixels keep to the edges of tissue, and a stroke takes exactly those it touches."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import find_boundaries

from napari_pathseg.interactive.superpixels import superpixels, touched


def recall(labels, mask, tolerance=2):
    """Return the share of a mask's outline that lies within `tolerance` pixels of a border of superpixels."""
    away = ndimage.distance_transform_edt(~find_boundaries(labels, mode="thick"))
    return (away[find_boundaries(mask, mode="inner")] <= tolerance).mean()


def squares(shape, size):
    rows, columns = np.indices(shape) // size
    return (rows * shape[1] + columns + 1).astype(np.int32)


@pytest.mark.parametrize("grey", [False, True])
def test_superpixels_keep_to_the_border_of_a_drawn_shape(grey):
    inside = np.hypot(*np.ogrid[-150:150, -200:200]) <= 90
    picture = np.where(inside[..., None], (120, 80, 160), (230, 190, 215)).astype(np.uint8)
    labels = superpixels(picture[..., 0] if grey else picture, 20)
    assert recall(labels, inside) >= 0.97


@pytest.mark.shared_data
def test_superpixels_keep_to_the_outlines_of_real_glands_far_better_than_squares_do(real_glands):
    ours = [recall(superpixels(picture, 20), mask) for picture, mask in real_glands[:5]]
    plain = [recall(squares(mask.shape, 20), mask) for _, mask in real_glands[:5]]
    assert np.mean(ours) >= 0.8
    assert np.mean(ours) >= 1.5 * np.mean(plain)


@pytest.mark.parametrize("size", [12, 30])
def test_superpixels_have_about_the_size_that_is_asked_for_and_are_connected(gland, size):
    labels = superpixels(gland[0], size)
    assert labels.dtype == np.int32
    assert labels.shape == gland[1].shape
    assert labels.min() == 1
    assert 0.5 < labels.size / labels.max() / size**2 < 2
    pieces = sum(ndimage.label(labels == number)[1] for number in np.unique(labels))
    assert pieces == len(np.unique(labels))


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 9), (60, 70, 3)])
def test_a_window_without_anything_in_it_is_cut_all_the_same(shape):
    labels = superpixels(np.full(shape, 243, np.uint8), 20)
    assert labels.shape == shape[:2]
    assert labels.min() >= 1


def distances(shape, points):
    """Return each pixel's distance to a line through points, found by brute force."""
    pixels = np.indices(shape).reshape(2, -1).T.astype(float)
    least = np.full(len(pixels), np.inf)
    for a, b in pairwise(points) if len(points) > 1 else [(points[0], points[0])]:
        way = b - a
        share = np.clip((pixels - a) @ way / max(way @ way, 1e-300), 0, 1)
        least = np.minimum(least, np.hypot(*(pixels - a - share[:, None] * way).T))
    return least.reshape(shape)


coordinates = st.integers(-40, 160).map(lambda quarters: quarters / 4)  # distances that are equal or clearly not
strokes = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(strokes, st.sampled_from([0.8, 1.3, 3.7, 9.2]), st.integers(0, 99))
def test_a_stroke_takes_all_of_each_superpixel_it_touches_and_of_no_other(stroke, radius, seed):
    labels = np.random.default_rng(seed).integers(1, 300, (30, 35)).astype(np.int32)
    points = np.array(stroke, np.float64)
    away = distances(labels.shape, points)
    if (np.abs(away - radius) < 1e-9).any():
        return  # on the very rim rounding decides
    expected = np.isin(labels, np.unique(labels[away <= radius]))
    assert np.array_equal(touched(labels, points, radius), expected)


def test_the_thinnest_stroke_touches_what_is_under_the_cursor_alone():
    labels = squares((40, 40), 10)
    assert np.array_equal(touched(labels, np.array([[12.0, 25.0]]), 0), labels == labels[12, 25])
    crossing = touched(labels, np.array([[5.0, 0.0], [5.0, 39.0]]), 0)
    assert np.array_equal(crossing, np.indices((40, 40))[0] < 10)


@pytest.mark.parametrize(
    "points", [np.empty((0, 2)), np.array([[-50.0, 10.0]]), np.array([[90.0, 90.0], [95.0, 95.0]])]
)
def test_a_stroke_outside_the_window_touches_nothing(points):
    assert not touched(squares((40, 40), 10), points, 5).any()
