"""Holes survive as bridges of one ring, and as excluded areas of the outlines around them."""

import numpy as np
import pytest
import shapely

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.holes import ExcludedArea, bridge_holes, split_bridged, subtract_excluded
from napari_pathseg.errors import AnnotationError

SQUARE = np.array([(0.0, 0), (0, 60), (60, 60), (60, 0)])


def box(top, left, bottom, right):
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float)


def areas(*rings):
    return [ExcludedArea(ring, f"case.xml, area {number}") for number, ring in enumerate(rings, 1)]


def test_area_becomes_another_hole_of_the_smallest_outline_around_it():
    contours = [Contour(box(0, 0, 90, 90), (box(80, 80, 85, 85),)), Contour(box(10, 10, 50, 50))]
    cut, outside = subtract_excluded(
        contours, areas(box(60, 60, 70, 70), box(20, 20, 30, 30), box(200, 0, 210, 9)), "case.xml"
    )
    assert [len(contour.holes) for contour in cut] == [2, 1]
    assert outside == [2]


def test_island_in_an_excluded_area_stays_whole():
    contours = [Contour(box(0, 0, 50, 50)), Contour(box(20, 20, 30, 30))]
    cut, _ = subtract_excluded(contours, areas(box(10, 10, 40, 40)), "case.xml")
    assert [len(contour.holes) for contour in cut] == [1, 0]


def test_areas_across_an_outline_are_clipped_to_it():
    bow_tie = np.array([(-10.0, 10), (20, 40), (20, 10), (-10, 40)])
    [cut], _ = subtract_excluded([Contour(box(0, 0, 50, 50))], areas(bow_tie), "case.xml")
    rings = [shapely.Polygon(hole) for hole in cut.holes]
    assert all(shapely.box(0, 0, 50, 50).covers(ring) for ring in rings)
    inside = shapely.intersection(shapely.make_valid(shapely.Polygon(bow_tie)), shapely.box(0, 0, 50, 50))
    assert sum(ring.area for ring in rings) == pytest.approx(inside.area)


def test_too_many_areas_inside_outlines_are_refused():
    rings = [box(at, at, 4000 - at, 4000 - at) for at in range(1500)]
    with pytest.raises(AnnotationError, match="case.xml: too many of its excluded areas lie in its 1,500 outlines"):
        subtract_excluded([Contour(ring) for ring in rings], areas(*rings), "case.xml")


def test_too_many_areas_across_outlines_are_refused_before_clipping():
    stripes = [Contour(box(0, at, 4000, at + 1)) for at in range(300)]
    across = [box(at, -9, at + 1, 4000) for at in range(300)]
    with pytest.raises(AnnotationError, match="case.xml: too many of its excluded areas lie in its 300 outlines"):
        subtract_excluded(stripes, areas(*across), "case.xml")


def test_large_area_in_a_large_outline_is_found_quickly(at_most_loops):
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    circle = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    with at_most_loops(100):  # 0.3 s
        [cut], _ = subtract_excluded([Contour(9000 * circle)], areas(8000 * circle), "case.xml")
        assert len(cut.holes[0]) == 100_000


def test_bridged_ring_encloses_the_outline_without_its_holes():
    holes = [SQUARE / 6 + 5, SQUARE[::-1] / 6 + 30]
    line, parts = bridge_holes([SQUARE, *holes])
    assert parts == "4 -4 4"
    assert shapely.Polygon(line).area == shapely.Polygon(SQUARE, holes).area
    assert all(np.array_equal(one, two) for one, two in zip(split_bridged(line, parts), [SQUARE, *holes], strict=True))


def test_bridged_ring_that_was_edited_stays_whole():
    line, parts = bridge_holes([SQUARE, SQUARE / 6 + 5])
    for other, text in (
        (line[:-1], parts),
        (line, ""),
        (line, "4 x"),
        (line, "-4 4"),
        (line, "4 4 4"),
        (line, "10 -2"),
        (line, "8 0"),
        (line, "4 " * 100_000),
    ):
        assert len(split_bridged(other, text)) == 1
        assert np.array_equal(split_bridged(other, text)[0], other)
