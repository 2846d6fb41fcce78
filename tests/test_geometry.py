import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.geometry import EMPTY_REGION, Region, grid_shape, grid_to_level0

boxes = st.builds(Region, st.integers(0, 500), st.integers(0, 500), st.integers(1, 300), st.integers(1, 300))


@given(boxes, st.integers(1, 17))
def test_coarser_box_covers_the_finer_one(box, downsample):
    around = box.coarser(downsample).finer(downsample)
    assert around.intersect(box) == box


@given(boxes, boxes)
def test_intersection_holds_the_pixels_of_both_boxes(first, second):
    shared = first.intersect(second)
    painted = np.zeros((900, 900), np.uint8)
    painted[first.slices] += 1
    painted[second.slices] += 1
    assert (painted == 2).sum() == (0 if shared.empty else shared.height * shared.width)


@given(boxes, boxes)
def test_union_holds_both_boxes(first, second):
    union = first.unite(second)
    assert union.intersect(first) == first
    assert union.intersect(second) == second


def test_empty_box_adds_nothing_to_a_union():
    box = Region(3, 4, 5, 6)
    assert box.unite(EMPTY_REGION) == box == EMPTY_REGION.unite(box)


@given(st.integers(1, 1000), st.integers(1, 1000), st.integers(1, 16))
def test_grid_covers_the_slide_and_extends_less_than_a_pixel_beyond(rows, columns, downsample):
    for size, length in zip(grid_shape((rows, columns), downsample), (rows, columns), strict=True):
        assert 0 <= size * downsample - length < downsample


def test_grid_pixel_lies_at_the_centre_of_what_it_covers():
    assert [grid_to_level0(1, d) for d in (1, 2, 4)] == [1, 2.5, 5.5]
