"""Masks become contours from which the same masks are painted."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_pathseg.data.annotation import Contour
from napari_pathseg.data.outline import outline
from napari_pathseg.data.rasterize import rasterize

masks = arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def polygon(contour: Contour) -> shapely.Polygon:
    return shapely.Polygon(contour.exterior, contour.holes)


@settings(max_examples=150, deadline=None)
@given(masks, st.integers(1, 7))
def test_the_outlines_of_a_mask_paint_the_same_mask(mask, downsample):
    contours = [contour for label in (1, 2, 3) for contour in outline(mask, label, downsample)]
    assert np.array_equal(rasterize(contours, mask.shape, downsample), mask)


@settings(max_examples=60, deadline=None)
@given(masks)
def test_outlines_are_sound_and_those_of_two_classes_never_overlap(mask):
    one, two = ([polygon(contour) for contour in outline(mask, label)] for label in (1, 2))
    assert all(shapely.is_valid(shape) for shape in one + two)
    assert shapely.union_all(one).intersection(shapely.union_all(two)).area == 0


def test_holes_belong_to_the_outline_around_them_and_islands_are_outlines():
    mask = np.zeros((30, 30), np.uint8)
    mask[2:28, 2:28] = 2
    mask[5:25, 5:25] = 0
    mask[10:15, 10:15] = 2
    outer, island = sorted(outline(mask, 2), key=lambda contour: -len(contour.holes))
    assert (len(outer.holes), len(island.holes)) == (1, 0)
    assert outer.label == island.label == 2
    assert polygon(outer).covers(polygon(island)) is False


def test_a_part_of_a_mask_gives_outlines_in_the_whole_slide():
    mask = np.zeros((40, 60), np.uint8)
    mask[20:30, 35:50] = 2
    [contour] = outline(mask[15:, 30:], 2, downsample=4, offset=(15, 30))
    assert np.array_equal(rasterize([contour], mask.shape, 4), mask)
    assert contour.exterior.min(axis=0) == pytest.approx([79.5, 139.5])
    assert len(contour.exterior) == 8  # straight sides have no points on them


def test_a_class_that_is_not_there_has_no_outline():
    assert outline(np.ones((5, 5), np.uint8), 2) == []
