import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.geometry import Region
from napari_pathseg.masks.shapes import BitmapShape, BrushSegment, PolygonShape, shape_from

SIDE = 96
WHOLE = Region(0, 0, SIDE, SIDE)
HALF_DIAGONAL = 0.7072  # of a pixel, rounded up

places = st.tuples(st.integers(-160, 600), st.integers(-160, 600)).map(lambda at: (at[0] / 4, at[1] / 4))
pulls = st.builds(BrushSegment, places, places, st.sampled_from([0.5, 1.0, 7.3, 30.0, 200.0]))
rings = st.lists(places, min_size=3, max_size=6).map(lambda points: np.array(points, float) + 0.01)
outlines = st.lists(rings, min_size=1, max_size=2).map(PolygonShape)
areas = st.builds(
    lambda seed, top, left, downsample: BitmapShape(
        np.random.default_rng(seed).random((9, 13)) < 0.5, Region(top, left, 9, 13), downsample
    ),
    st.integers(0, 99),
    st.integers(-5, 40),
    st.integers(-5, 40),
    st.sampled_from([1, 2, 8]),
)
shapes = st.one_of(pulls, outlines, areas)
regions = st.builds(Region, st.integers(0, 90), st.integers(0, 90), st.integers(1, 60), st.integers(1, 60))


def covered(shape, region, downsample=1):
    flags = shape.flags(region, downsample)
    return np.zeros((region.height, region.width), bool) if flags is None else flags


@given(places, places, st.sampled_from([0.5, 3.3, 20.0]))
def test_brush_segment_covers_the_pixels_near_its_line(start, end, radius):
    found = covered(BrushSegment(start, end, radius), WHOLE)
    line = np.subtract(end, start)
    pixels = np.stack(np.mgrid[:SIDE, :SIDE], axis=-1) - np.array(start)
    along = np.clip(pixels @ line / max(line @ line, 1e-12), 0, 1)
    distance = np.linalg.norm(pixels - along[..., None] * line, axis=-1)
    reach = max(radius, HALF_DIAGONAL)
    assert found[distance < reach - 1e-3].all()
    assert not found[distance > reach + 1e-3].any()


def test_thinnest_brush_segment_is_a_line_without_gaps():
    found = covered(BrushSegment((3.2, 5.7), (80.9, 60.1), 0.5), WHOLE)
    rows = np.arange(4, 80)
    assert found[rows].any(axis=1).all()
    columns = [np.flatnonzero(found[row]) for row in rows]
    assert all(
        upper.min() - 1 <= lower.max() and lower.min() - 1 <= upper.max()
        for upper, lower in itertools.pairwise(columns)
    )


def test_polygon_covers_what_a_contour_with_a_hole_does():
    outer = np.array([[5, 5], [5, 70], [80, 90], [60, 3]], float) + 0.25
    hole = np.array([[20, 20], [40, 50], [50, 20]], float) + 0.25
    mask = rasterize([Contour(outer, (hole,), label=1)], (SIDE, SIDE))
    assert (covered(PolygonShape([outer, hole]), WHOLE) == mask).all()
    assert not covered(PolygonShape([outer, hole]), Region(25, 22, 5, 5)).any()


def test_bitmap_of_a_coarser_level_covers_whole_blocks():
    found = np.array([[True, False], [False, True]])
    flags = covered(BitmapShape(found, Region(3, 5, 2, 2), 4), WHOLE)
    assert flags[12:16, 20:24].all()
    assert flags[16:20, 24:28].all()
    assert flags.sum() == 32


@given(shapes, regions)
def test_shape_gives_the_same_pixels_box_by_box(shape, region):
    region = region.clip((SIDE, SIDE))
    assert (covered(shape, region) == covered(shape, WHOLE)[region.slices]).all()


@given(shapes)
def test_shape_covers_nothing_outside_its_box(shape):
    around = Region(-300, -300, 900, 900)
    flags = covered(shape, around).copy()
    inside = shape.box.intersect(around).shift(300, 300)
    flags[inside.slices] = False
    assert not flags.any()


@given(shapes, regions, st.sampled_from([1, 2, 4, 8]))
def test_covers_agrees_with_the_pixels(shape, region, downsample):
    known, flags = shape.covers(region, downsample), covered(shape, region, downsample)
    assert known is None or (flags.all() if known else not flags.any())


@pytest.mark.parametrize(("row", "known"), [(100, True), (400, None), (900, False)])
def test_large_brush_knows_boxes_inside_and_outside_it(row, known):
    assert BrushSegment((100, 100), (100, 600), 300).covers(Region(row, 300, 50, 50)) is known


@pytest.mark.parametrize("downsample", [1, 4])
@pytest.mark.parametrize("corner", [(0, 0), (0, 49), (49, 0), (49, 49)])
def test_brush_over_one_corner_of_a_box_counts(corner, downsample):
    row, column = (at * downsample + (downsample - 1) / 2 for at in corner)
    beyond = [(at - 24.5 * downsample) * 3 for at in (row, column)]  # along the diagonal
    start = (row + beyond[0], column + beyond[1])
    pull = BrushSegment(start, start, float(np.hypot(*beyond)) + 0.01)
    assert covered(pull, Region(0, 0, 50, 50), downsample).sum() == 1
    assert pull.covers(Region(0, 0, 50, 50), downsample) is None


# It crosses itself: between two of its edges is a slit so narrow that no centre of a full-size pixel is in it.
SLIT = PolygonShape([np.array([(0, 0), (21, 0), (0, 24), (17.25, 0), (0, 23)], float) + 0.01])


def edges(polygon):
    for ring in polygon.rings:
        yield from zip(ring, np.roll(ring, -1, axis=0), strict=True)


def is_inside(polygon, points):
    """Return whether an upward ray from each point crosses an odd number of edges."""
    inside = np.zeros(points.shape[:-1], bool)
    for start, end in edges(polygon):
        if start[1] != end[1]:
            row = start[0] + (points[..., 1] - start[1]) / (end[1] - start[1]) * (end[0] - start[0])
            inside ^= ((start[1] <= points[..., 1]) != (end[1] <= points[..., 1])) & (row < points[..., 0])
    return inside


def distance_to_edges(polygon, points):
    nearest = np.full(points.shape[:-1], np.inf)
    for start, end in edges(polygon):
        line = end - start
        along = np.clip((points - start) @ line / max(line @ line, 1e-12), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - along[..., None] * line, axis=-1))
    return nearest


def coarse_centres(downsample):
    side = SIDE // downsample
    return np.stack(np.mgrid[:side, :side], axis=-1) * downsample + (downsample - 1) / 2


@given(outlines, st.sampled_from([1, 2, 4, 8]))
@example(SLIT, 2)
def test_polygon_covers_the_pixel_centres_inside_it_at_each_level(polygon, downsample):
    centres = coarse_centres(downsample)
    is_clear = distance_to_edges(polygon, centres) > 1e-6
    found = covered(polygon, WHOLE.coarser(downsample), downsample)
    assert (found == is_inside(polygon, centres))[is_clear].all()


@given(outlines, st.sampled_from([2, 4, 8]))
@example(SLIT, 2)
def test_polygon_at_a_coarser_level_differs_only_at_its_edges(polygon, downsample):
    """Where no edge passes between the centre of a coarse pixel and the fine ones next to it, they agree."""
    fine, coarse = covered(polygon, WHOLE), covered(polygon, WHOLE.coarser(downsample), downsample)
    is_clear = distance_to_edges(polygon, coarse_centres(downsample)) > HALF_DIAGONAL
    for offset in itertools.product((downsample // 2 - 1, downsample // 2), repeat=2):
        nearest = fine[offset[0] :: downsample, offset[1] :: downsample]
        assert (coarse == nearest)[is_clear].all()


def test_slit_narrower_than_a_pixel_shows_only_at_the_coarser_level():
    assert covered(SLIT, Region(11, 5, 4, 4)).all()
    assert not covered(SLIT, Region(6, 3, 1, 1), downsample=2).any()


@given(st.one_of(pulls, areas), st.sampled_from([2, 4, 8]))
@settings(max_examples=60)
def test_brush_and_bitmap_at_a_coarser_level_differ_only_at_their_rim(shape, downsample):
    """A coarse pixel is covered, or not, as all fine pixels around it are."""
    fine = covered(shape, Region(-16, -16, SIDE + 32, SIDE + 32))
    coarse = covered(shape, WHOLE.coarser(downsample), downsample)
    for (row, column), is_covered in np.ndenumerate(coarse):
        top, left = row * downsample + 16, column * downsample + 16
        around = fine[top - 1 : top + downsample + 1, left - 1 : left + downsample + 1]
        if around.all():
            assert is_covered
        reach = fine[top - 8 : top + downsample + 8, left - 8 : left + downsample + 8]
        assert not is_covered or reach.any()


@given(shapes)
def test_shape_round_trips_through_bytes(shape):
    again = shape_from(shape.to_bytes())
    assert type(again) is type(shape)
    assert again.box == shape.box
    assert (covered(again, WHOLE) == covered(shape, WHOLE)).all()


@pytest.mark.parametrize("content", [b"", b"x", b"zzz"])
def test_bytes_of_something_else_are_not_a_shape(content):
    with pytest.raises(ValueError, match="unknown shape"):
        shape_from(content)


def test_bitmap_of_which_pixels_are_missing_is_not_a_shape():
    few = BitmapShape(np.ones((8, 8), bool), Region(0, 0, 8, 8), 1).to_bytes()
    assert b"[0, 0, 8, 8, 1]" in few
    with pytest.raises(ValueError, match="missing"):
        shape_from(few.replace(b"[0, 0, 8, 8, 1]", b"[0, 0, 8, 9, 1]"))


def test_scribble_takes_few_bytes():
    assert len(BrushSegment((1, 2), (3, 4), 5).to_bytes()) < 50
    assert len(BitmapShape(np.ones((1000, 1000), bool), Region(0, 0, 1000, 1000), 4).to_bytes()) < 1000
