"""Excluded areas become holes of the outlines around them, and only there."""

import numpy as np
import pytest
import shapely

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.exclusion_areas import Area, subtract_areas
from napari_pathseg.errors import AnnotationError


def box(top, left, bottom, right):
    return np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float)


def areas(*rings):
    return [Area(ring, f"case.xml, area {number}") for number, ring in enumerate(rings, 1)]


def test_each_area_is_a_hole_of_the_smallest_outline_around_it_beside_those_it_has():
    contours = [Contour(box(0, 0, 90, 90), (box(80, 80, 85, 85),)), Contour(box(10, 10, 50, 50))]
    cut, outside = subtract_areas(
        contours, areas(box(60, 60, 70, 70), box(20, 20, 30, 30), box(200, 0, 210, 9)), "case.xml"
    )
    assert [len(contour.holes) for contour in cut] == [2, 1]
    assert outside == [2]


def test_an_island_in_an_excluded_area_stays_whole():
    contours = [Contour(box(0, 0, 50, 50)), Contour(box(20, 20, 30, 30))]
    cut, _ = subtract_areas(contours, areas(box(10, 10, 40, 40)), "case.xml")
    assert [len(contour.holes) for contour in cut] == [1, 0]


def test_areas_that_cross_a_line_are_clipped_to_it_even_if_they_cross_themselves():
    bow_tie = np.array([(-10.0, 10), (20, 40), (20, 10), (-10, 40)])
    [cut], _ = subtract_areas([Contour(box(0, 0, 50, 50))], areas(bow_tie), "case.xml")
    rings = [shapely.Polygon(hole) for hole in cut.holes]
    assert all(shapely.box(0, 0, 50, 50).covers(ring) for ring in rings)
    inside = shapely.intersection(shapely.make_valid(shapely.Polygon(bow_tie)), shapely.box(0, 0, 50, 50))
    assert sum(ring.area for ring in rings) == pytest.approx(inside.area)


def test_too_many_areas_in_outlines_are_refused():
    rings = [box(at, at, 4000 - at, 4000 - at) for at in range(1500)]
    with pytest.raises(AnnotationError, match="case.xml: too many of its excluded areas lie in its 1,500 outlines"):
        subtract_areas([Contour(ring) for ring in rings], areas(*rings), "case.xml")


def test_too_many_areas_across_the_lines_of_outlines_are_refused_before_they_are_clipped():
    stripes = [Contour(box(0, at, 4000, at + 1)) for at in range(300)]
    across = [box(at, -9, at + 1, 4000) for at in range(300)]
    with pytest.raises(AnnotationError, match="case.xml: too many of its excluded areas lie in its 300 outlines"):
        subtract_areas(stripes, areas(*across), "case.xml")


def test_an_area_of_many_points_in_an_outline_of_many_is_soon_found(at_most_loops):
    angles = np.linspace(0, 2 * np.pi, 100_000, endpoint=False)
    circle = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    with at_most_loops(100):  # 0.3 s
        [cut], _ = subtract_areas([Contour(9000 * circle)], areas(8000 * circle), "case.xml")
        assert len(cut.holes[0]) == 100_000
