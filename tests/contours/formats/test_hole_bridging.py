"""Outlines with holes as one line: any program fills it, and the parts can be had again."""

import numpy as np
import shapely

from napari_pathseg.contours.formats.hole_bridging import join, split

SQUARE = np.array([(0.0, 0), (0, 60), (60, 60), (60, 0)])


def test_the_line_encloses_what_the_outline_encloses_without_its_holes():
    holes = [SQUARE / 6 + 5, SQUARE[::-1] / 6 + 30]
    line, parts = join([SQUARE, *holes])
    assert parts == "4 -4 4"
    assert shapely.Polygon(line).area == shapely.Polygon(SQUARE, holes).area
    assert all(np.array_equal(one, two) for one, two in zip(split(line, parts), [SQUARE, *holes], strict=True))


def test_a_line_that_was_changed_since_stays_whole():
    line, parts = join([SQUARE, SQUARE / 6 + 5])
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
        assert len(split(other, text)) == 1
        assert np.array_equal(split(other, text)[0], other)
