"""Superpixels follow the edges of tissue, and a stroke selects exactly those it touches."""

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
    distance = ndimage.distance_transform_edt(~find_boundaries(labels, mode="thick"))
    return (distance[find_boundaries(mask, mode="inner")] <= tolerance).mean()


def squares(shape, size):
    rows, columns = np.indices(shape) // size
    return (rows * shape[1] + columns + 1).astype(np.int32)


@pytest.mark.parametrize("grey", [False, True])
def test_superpixels_follow_the_border_of_a_drawn_shape(grey):
    inside = np.hypot(*np.ogrid[-150:150, -200:200]) <= 90
    image = np.where(inside[..., None], (120, 80, 160), (230, 190, 215)).astype(np.uint8)
    labels = superpixels(image[..., 0] if grey else image, 20)
    assert recall(labels, inside) >= 0.97


@pytest.mark.shared_data
def test_superpixels_follow_real_glands_far_better_than_squares(real_glands):
    ours = [recall(superpixels(image, 20), mask) for image, mask in real_glands[:5]]
    plain = [recall(squares(mask.shape, 20), mask) for _, mask in real_glands[:5]]
    assert np.mean(ours) >= 0.8
    assert np.mean(ours) >= 1.5 * np.mean(plain)


@pytest.mark.parametrize("size", [12, 30])
def test_superpixels_are_connected_and_about_as_large_as_requested(gland, size):
    labels = superpixels(gland[0], size)
    assert labels.dtype == np.int32
    assert labels.shape == gland[1].shape
    assert labels.min() == 1
    assert 0.5 < labels.size / labels.max() / size**2 < 2
    components = sum(ndimage.label(labels == number)[1] for number in np.unique(labels))
    assert components == len(np.unique(labels))


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 9), (60, 70, 3)])
def test_superpixels_divide_an_empty_image_too(shape):
    labels = superpixels(np.full(shape, 243, np.uint8), 20)
    assert labels.shape == shape[:2]
    assert labels.min() >= 1


def distances(shape, points):
    """Return each pixel's distance to a line through points, found by brute force."""
    pixels = np.indices(shape).reshape(2, -1).T.astype(float)
    nearest = np.full(len(pixels), np.inf)
    for a, b in pairwise(points) if len(points) > 1 else [(points[0], points[0])]:
        line = b - a
        along = np.clip((pixels - a) @ line / max(line @ line, 1e-300), 0, 1)
        nearest = np.minimum(nearest, np.hypot(*(pixels - a - along[:, None] * line).T))
    return nearest.reshape(shape)


coordinates = st.integers(-40, 160).map(lambda quarters: quarters / 4)  # distances that are equal or clearly not
strokes = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(strokes, st.sampled_from([0.8, 1.3, 3.7, 9.2]), st.integers(0, 99))
def test_stroke_selects_the_whole_of_each_superpixel_it_touches(stroke, radius, seed):
    labels = np.random.default_rng(seed).integers(1, 300, (30, 35)).astype(np.int32)
    points = np.array(stroke, np.float64)
    distance = distances(labels.shape, points)
    if (np.abs(distance - radius) < 1e-9).any():
        return  # rounding decides on the very rim
    expected = np.isin(labels, np.unique(labels[distance <= radius]))
    assert np.array_equal(touched(labels, points, radius), expected)


def test_thinnest_stroke_touches_only_what_is_under_the_cursor():
    labels = squares((40, 40), 10)
    assert np.array_equal(touched(labels, np.array([[12.0, 25.0]]), 0), labels == labels[12, 25])
    crossing = touched(labels, np.array([[5.0, 0.0], [5.0, 39.0]]), 0)
    assert np.array_equal(crossing, np.indices((40, 40))[0] < 10)


@pytest.mark.parametrize(
    "points", [np.empty((0, 2)), np.array([[-50.0, 10.0]]), np.array([[90.0, 90.0], [95.0, 95.0]])]
)
def test_stroke_outside_the_image_touches_nothing(points):
    assert not touched(squares((40, 40), 10), points, 5).any()
