"""SVG's basic shapes and transforms as numbers: what an element's attributes draw.

Everything is ``(x, y)`` as the file counts it.  A ValueError says what an attribute has and
how to mend it; the reader adds the file and the element.
"""

import math
import re
from collections.abc import Callable
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.annotation import Points
from napari_pathseg.data.formats.svg_path import Spend, ellipse, numbers, subpaths

_TRANSFORM = re.compile(r"\s*,?\s*(matrix|translate|scale|rotate|skewX|skewY)\s*\(([^()]*)\)")


def transform(text: str) -> npt.NDArray[np.float64]:
    """Return a transform attribute as a 3 x 3 matrix."""
    if rest := _TRANSFORM.sub("", text).strip():
        raise ValueError(f'its transform has "{rest[:20]}"; it cannot be read. Correct or remove it.')
    result = np.eye(3)
    for kind, arguments in _TRANSFORM.findall(text):
        values = numbers(arguments).tolist()
        try:
            result = result @ _TRANSFORMS[kind](*values)
        except TypeError as error:
            raise ValueError(f"its {kind} has {len(values)} numbers. Correct or remove it.") from error
    return result


def _affine(a: float, b: float, c: float, d: float, e: float, f: float) -> npt.NDArray[np.float64]:
    return np.array([[a, c, e], [b, d, f], [0, 0, 1]])


def _scale(x: float, y: float | None = None) -> npt.NDArray[np.float64]:
    return _affine(x, 0, 0, x if y is None else y, 0, 0)


def _translate(x: float, y: float = 0) -> npt.NDArray[np.float64]:
    return _affine(1, 0, 0, 1, x, y)


def _rotate(degrees: float, x: float = 0, y: float = 0) -> npt.NDArray[np.float64]:
    angle = math.radians(degrees)
    turn = _affine(math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle), 0, 0)
    return _translate(x, y) @ turn @ _translate(-x, -y)


def _skew_x(degrees: float) -> npt.NDArray[np.float64]:
    return _affine(1, 0, math.tan(math.radians(degrees)), 1, 0, 0)


def _skew_y(degrees: float) -> npt.NDArray[np.float64]:
    return _affine(1, math.tan(math.radians(degrees)), 0, 1, 0, 0)


def _length(element: Element, name: str, default: float = 0.0) -> float:
    """Return an attribute in pixels."""
    text = element.get(name, "").strip().removesuffix("px")
    values = numbers(text) if text and text != "auto" else np.array([default])
    if len(values) != 1 or not math.isfinite(values[0]):
        raise ValueError(f'its {name} is "{text[:20]}"; it must be one number of pixels. Correct it.')
    return float(values[0])


def _positive(element: Element, name: str) -> float:
    length = _length(element, name)
    if length <= 0:
        raise ValueError(f"its {name} is {length:g}; it must be above 0. Correct or delete it.")
    return length


def _points(element: Element, tolerance: float, spend: Spend) -> list[Points]:
    values = numbers(element.get("points", ""), spend)
    if len(values) % 2:
        raise ValueError(f"has {len(values)} numbers; points are pairs of x and y. Complete or delete it.")
    return [values.reshape(-1, 2)]


def _path(element: Element, tolerance: float, spend: Spend) -> list[Points]:
    return subpaths(element.get("d", ""), tolerance, spend) or [np.empty((0, 2))]


def _circle(element: Element, tolerance: float, spend: Spend) -> list[Points]:
    radius = _positive(element, "r")
    center = _length(element, "cx"), _length(element, "cy")
    return [ellipse(center, (radius, radius), (0, 2 * math.pi), tolerance, spend)[:-1]]


def _ellipse(element: Element, tolerance: float, spend: Spend) -> list[Points]:
    radii = _positive(element, "rx"), _positive(element, "ry")
    center = _length(element, "cx"), _length(element, "cy")
    return [ellipse(center, radii, (0, 2 * math.pi), tolerance, spend)[:-1]]


def _rect(element: Element, tolerance: float, spend: Spend) -> list[Points]:
    x, y = _length(element, "x"), _length(element, "y")
    width, height = _positive(element, "width"), _positive(element, "height")
    rx = min(_length(element, "rx", _length(element, "ry")), width / 2)
    ry = min(_length(element, "ry", _length(element, "rx")), height / 2)
    if min(rx, ry) <= 0:
        return [np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])]
    left, top, right, bottom = x + rx, y + ry, x + width - rx, y + height - ry
    corners = [(right, bottom), (left, bottom), (left, top), (right, top)]
    quarter = math.pi / 2
    arcs = (
        ellipse(corner, (rx, ry), (quarter * index, quarter * (index + 1)), tolerance, spend)
        for index, corner in enumerate(corners)
    )
    return [np.concatenate(list(arcs))]


Shape = Callable[[Element, float, Spend], list[Points]]
SHAPES: dict[str, Shape] = {
    "polygon": _points,
    "polyline": _points,
    "path": _path,
    "rect": _rect,
    "circle": _circle,
    "ellipse": _ellipse,
}
_TRANSFORMS: dict[str, Callable[..., npt.NDArray[np.float64]]] = {
    "matrix": _affine,
    "translate": _translate,
    "scale": _scale,
    "rotate": _rotate,
    "skewX": _skew_x,
    "skewY": _skew_y,
}
