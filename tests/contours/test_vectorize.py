"""Masks are vectorized to contours that rasterize to the same masks."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.contours.vectorize import vectorize

masks = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def polygon(contour: Contour) -> shapely.Polygon:
    return shapely.Polygon(contour.exterior, contour.holes)


@settings(max_examples=150, deadline=None)
@given(masks, st.integers(1, 7))
def test_outlines_of_a_mask_rasterize_to_the_same_mask(mask, downsample):
    contours = [contour for label in (1, 2, 3) for contour in vectorize(mask, label, downsample)]
    assert np.array_equal(rasterize(contours, mask.shape, downsample), mask)


@settings(max_examples=40, deadline=None)
@given(arrays(np.uint8, (50, 70), elements=st.integers(0, 2), fill=st.just(0)), st.sampled_from([1, 2, 4]))
def test_distant_regions_rasterize_to_the_same_mask(mask, downsample):
    contours = [contour for label in (1, 2) for contour in vectorize(mask, label, downsample, offset=(3, 5))]
    whole = np.zeros((53, 75), np.uint8)
    whole[3:, 5:] = mask
    assert np.array_equal(rasterize(contours, whole.shape, downsample), whole)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_outlines_are_valid_and_classes_do_not_overlap(mask):
    one, two = ([polygon(contour) for contour in vectorize(mask, label)] for label in (1, 2))
    assert all(shapely.is_valid(shape) for shape in one + two)
    assert shapely.union_all(one).intersection(shapely.union_all(two)).area == 0


def test_holes_belong_to_their_outline_and_islands_are_outlines():
    mask = np.zeros((30, 30), np.uint8)
    mask[2:28, 2:28] = 2
    mask[5:25, 5:25] = 0
    mask[10:15, 10:15] = 2
    outer, island = sorted(vectorize(mask, 2), key=lambda contour: -len(contour.holes))
    assert (len(outer.holes), len(island.holes)) == (1, 0)
    assert outer.label == island.label == 2
    assert polygon(outer).covers(polygon(island)) is False


def test_outlines_of_part_of_a_mask_are_in_slide_coordinates():
    mask = np.zeros((40, 60), np.uint8)
    mask[20:30, 35:50] = 2
    [contour] = vectorize(mask[15:, 30:], 2, downsample=4, offset=(15, 30))
    assert np.array_equal(rasterize([contour], mask.shape, 4), mask)
    assert contour.exterior.min(axis=0) == pytest.approx([79.5, 139.5])
    assert len(contour.exterior) == 8  # straight sides have no points on them


def test_absent_class_has_no_outline():
    assert vectorize(np.ones((5, 5), np.uint8), 2) == []


def wavy(shape, cells, seed):
    """A mask of two classes that touch along smooth borders, with holes and islands."""
    rng = np.random.default_rng(seed)
    field = np.kron(rng.normal(size=(cells, cells)), np.ones((shape[0] // cells, shape[1] // cells)))
    for axis in (0, 1):
        kernel = np.exp(-(np.linspace(-2, 2, 2 * shape[0] // cells) ** 2))
        field = np.apply_along_axis(np.convolve, axis, field, kernel / kernel.sum(), "same")
    return np.digitize(field, [-0.1, 0.3]).astype(np.uint8)


@pytest.mark.parametrize("smooth", [1.0, 3.0, 6.0])
def test_smoothed_outlines_stay_close_and_keep_holes_and_islands(smooth):
    mask = wavy((200, 200), 10, 4)
    exact, smoothed = vectorize(mask, 1, 2), vectorize(mask, 1, 2, smooth=smooth)
    assert len(exact) == len(smoothed) > 3
    for before, after in zip(exact, smoothed, strict=True):
        assert len(before.holes) == len(after.holes)
        assert shapely.is_valid(polygon(after))
        for one, two in zip(before.rings, after.rings, strict=True):
            distance = shapely.hausdorff_distance(shapely.LinearRing(one), shapely.LinearRing(two), densify=0.1)
            assert distance <= smooth * 2 / 2 + 1e-6  # half of it, in level-0 pixels
    shapes = [polygon(contour) for contour in smoothed]
    assert sum(shape.area for shape in shapes) == pytest.approx(shapely.union_all(shapes).area)


def test_smoothed_outlines_have_no_pixel_steps():
    rows, columns = np.mgrid[:120, :120]
    disc = (np.hypot(rows - 60, columns - 60) < 50).astype(np.uint8)
    [exact], [smooth] = vectorize(disc, 1), vectorize(disc, 1, smooth=3)
    length, area = polygon(smooth).length, polygon(smooth).area
    assert polygon(exact).length > 1.04 * 2 * np.pi * 50
    assert length == pytest.approx(2 * np.pi * 50, rel=0.01)
    assert area == pytest.approx(np.pi * 50**2, rel=0.01)
    assert len(smooth.exterior) < len(exact.exterior)


def test_smoothed_neighbours_differ_by_at_most_the_smoothing():
    mask = wavy((200, 200), 10, 7)
    one, two = (shapely.union_all([polygon(c) for c in vectorize(mask, label, smooth=2)]) for label in (1, 2))
    border = shapely.union_all([polygon(c) for c in vectorize(mask, 1)]).boundary
    assert border.buffer(1 + 1e-6).covers(one.intersection(two))


@pytest.mark.parametrize("smooth", [0.5, 4.0, 50.0])
def test_region_too_small_to_be_smoothed_stays(smooth):
    mask = np.zeros((30, 30), np.uint8)
    mask[3:27, 3:27] = 1
    mask[10, 10] = mask[20:22, 5:24] = 0
    mask[0, 0] = 1
    assert sorted(len(contour.holes) for contour in vectorize(mask, 1, smooth=smooth)) == [0, 2]


def test_outlines_of_a_large_mask_are_found_quickly(at_most_loops):
    mask = np.zeros((4096, 4096), np.uint8)
    rows, columns = np.mgrid[-25:26, -25:26]
    blob = np.hypot(rows, columns) < 20 + 5 * np.sin(5 * np.arctan2(rows, columns))
    for top, left in zip(*np.unravel_index(np.arange(0, 2500, 5), (50, 50)), strict=True):
        mask[top * 80 + 5 : top * 80 + 56, left * 80 + 5 : left * 80 + 56][blob] = 2
    with at_most_loops(20):  # 0.2 s
        contours = vectorize(mask, 2)
    assert len(contours) == 500
    assert np.array_equal(rasterize(contours, mask.shape), mask)
