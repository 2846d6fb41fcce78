import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.slides.resampling import area_resample

IMAGE = np.random.default_rng(0).integers(0, 256, (61, 47, 3)).astype(np.uint8)


def by_area(corner, factor, shape):
    """Return the means over boxes of `factor` x `factor`, with a weight for each pair of pixel and grid pixel."""
    total = IMAGE.astype(float)
    for axis in (0, 1):
        starts = corner[axis] + factor * np.arange(shape[axis])[:, None]
        pixels = np.arange(IMAGE.shape[axis])
        weights = np.clip(np.minimum(pixels + 1, starts + factor) - np.maximum(pixels, starts), 0, None)
        total = np.moveaxis(np.tensordot(weights / weights.sum(axis=1, keepdims=True), total, (1, axis)), 0, axis)
    return total


@settings(max_examples=150, deadline=None)
@given(
    st.floats(1, 9),
    st.tuples(st.floats(0, 20), st.floats(0, 20)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_grid_pixel_is_the_mean_by_area(factor, corner, shape):
    shape = tuple(
        max(1, min(count, int((size - start) / factor)))
        for count, size, start in zip(shape, IMAGE.shape, corner, strict=False)
    )
    pixels = area_resample(lambda box: IMAGE[box.slices], IMAGE.shape[:2], corner, factor, shape)
    assert pixels.shape == (*shape, 3)
    assert np.abs(pixels - by_area(corner, factor, shape)).max() <= 0.51


@settings(max_examples=50, deadline=None)
@given(st.floats(0.3, 9), st.integers(0, 255))
def test_uniform_colour_stays_unchanged(factor, value):
    plain = np.full((50, 50), value, np.uint8)
    shape = (max(1, int(50 / factor)),) * 2
    pixels = area_resample(lambda box: plain[box.slices], (50, 50), (0.0, 0.0), factor, shape)
    assert (pixels == value).all()


@pytest.mark.parametrize("factor", [1.5, 2.7, 3, 40])
def test_grid_pixel_across_the_edge_averages_what_is_inside(factor):
    grey = IMAGE[..., 0]
    rows, columns = (int(-(-size // factor)) for size in grey.shape)
    corner = (rows - 1) * factor, (columns - 1) * factor
    pixels = area_resample(lambda box: grey[box.slices], grey.shape, corner, factor, (1, 1))
    top, left = (int(start) for start in corner)
    inside = grey[top:, left:]
    down, across = (np.ones(size) for size in inside.shape)
    down[0], across[0] = top + 1 - corner[0], left + 1 - corner[1]
    assert abs(int(pixels[0, 0]) - np.average(inside, weights=np.outer(down, across))) <= 1
