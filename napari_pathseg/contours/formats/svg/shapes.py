"""Turn SVG shapes into points ``(x, y)`` in user units.

A ValueError says what is wrong with an attribute and how to correct it; the parser adds the file and
the element.
"""

import math
from collections.abc import Callable
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.contour import Points
from napari_pathseg.contours.formats.curves import Consume, ellipse
from napari_pathseg.contours.formats.svg.path import numbers, subpaths
from napari_pathseg.contours.formats.svg.units import LengthContext


def _positive(element: Element, name: str, lengths: LengthContext) -> float:
    length = lengths.length(element, name)
    if length <= 0:
        raise ValueError(f"its {name} is {length:g}; it must be above 0. Correct or delete it.")
    return length


def _points(element: Element, lengths: LengthContext, tolerance: float, consume: Consume) -> list[Points]:
    values = numbers(element.get("points", ""), consume)
    if len(values) % 2:
        raise ValueError(f"has {len(values)} numbers; points are pairs of x and y. Complete or delete it.")
    return [values.reshape(-1, 2)]


def _path(element: Element, lengths: LengthContext, tolerance: float, consume: Consume) -> list[Points]:
    return subpaths(element.get("d", ""), tolerance, consume) or [np.empty((0, 2))]


def _circle(element: Element, lengths: LengthContext, tolerance: float, consume: Consume) -> list[Points]:
    radius = _positive(element, "r", lengths)
    return [_round(element, lengths, (radius, radius), tolerance, consume)]


def _ellipse(element: Element, lengths: LengthContext, tolerance: float, consume: Consume) -> list[Points]:
    radii = _positive(element, "rx", lengths), _positive(element, "ry", lengths)
    return [_round(element, lengths, radii, tolerance, consume)]


def _round(
    element: Element, lengths: LengthContext, radii: tuple[float, float], tolerance: float, consume: Consume
) -> Points:
    center = lengths.length(element, "cx"), lengths.length(element, "cy")
    return ellipse(center, radii, (0, 2 * math.pi), tolerance, consume)[:-1]


def _rect(element: Element, lengths: LengthContext, tolerance: float, consume: Consume) -> list[Points]:
    x, y = lengths.length(element, "x"), lengths.length(element, "y")
    width, height = _positive(element, "width", lengths), _positive(element, "height", lengths)
    rx = min(lengths.length(element, "rx", lengths.length(element, "ry")), width / 2)
    ry = min(lengths.length(element, "ry", lengths.length(element, "rx")), height / 2)
    if min(rx, ry) <= 0:
        consume(4)
        return [np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])]
    left, top, right, bottom = x + rx, y + ry, x + width - rx, y + height - ry
    corners = [(right, bottom), (left, bottom), (left, top), (right, top)]
    quarter = math.pi / 2
    arcs = (
        ellipse(corner, (rx, ry), (quarter * index, quarter * (index + 1)), tolerance, consume)
        for index, corner in enumerate(corners)
    )
    return [np.concatenate(list(arcs))]


Shape = Callable[[Element, LengthContext, float, Consume], list[Points]]
SHAPES: dict[str, Shape] = {
    "polygon": _points,
    "polyline": _points,
    "path": _path,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
}
