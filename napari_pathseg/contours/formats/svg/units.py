"""Lengths with units, and the mapping from SVG user units to slide pixels.

How a document is scaled, in this order, unless the slide's image lies in it
(:mod:`~napari_pathseg.contours.formats.svg.backdrop`):

1. Without a viewBox one user unit is one slide pixel, whatever width and height say.
2. A viewBox of the slide's size (where that is known) is in slide pixels: annotation tools write
   the slide's size there, and any display size into width and height, such as ``100%`` or ``800``.
3. Width and height without a unit or in px are slide pixels, and the viewBox is fitted into them
   according to preserveAspectRatio.
4. With width and height in other units (``100%``, ``210mm``, ``512pt``), which are sizes on a page
   or screen, one unit of the viewBox is one slide pixel.

The corner of the viewBox is the corner of the slide's first pixel.  A drawing of another size than the
slide, but of its proportions, was made on a copy of it, and is refused unless the user says how to
place it (`svg_image_shape`).  Inside the document, units are those of CSS, 96 px per inch
(SVG 1.1, chapter 7; https://www.w3.org/TR/SVG11/coords.html).
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.svg.path import NUMBER, numbers

Matrix = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, top, width, height
_PIXELS = {"": 1.0, "px": 1.0, "pt": 96 / 72, "pc": 16.0, "in": 96.0, "cm": 96 / 2.54, "mm": 96 / 25.4, "Q": 96 / 101.6}
_LENGTH = re.compile(rf"\s*({NUMBER})\s*(px|pt|pc|in|cm|mm|Q|em|rem|ex|%)?\s*")
_TRANSFORM = re.compile(r"(matrix|translate|scale|rotate|skewX|skewY)\s*+\(([^()]*+)\)")
_MOST_TRANSFORMS = 1000  # in one list
_FONT_SIZE = 16.0  # pixels; the default of browsers


class LengthContext(NamedTuple):
    """The nearest viewport's size and the font size, in user units, to resolve relative lengths."""

    width: float | None = None
    height: float | None = None
    font_size: float = _FONT_SIZE

    def length(self, element: Element, name: str, default: float = 0.0) -> float:
        """Return an attribute in user units."""
        text = element.get(name, "").strip()
        return default if text in ("", "auto") else self.in_user_units(text, name)

    def in_user_units(self, text: str, name: str) -> float:
        """Parse the value `text` of the attribute `name`; return it in user units."""
        found = _LENGTH.fullmatch(text)
        if found is None:
            raise ValueError(f'its {name} is "{text[:20]}"; it must be one length, as in 5, 5px or 5mm. Correct it.')
        value, unit = float(numbers(found[1])[0]), found[2] or ""
        if unit == "%":
            return value / 100 * self._full_length(name)
        if unit in ("em", "rem", "ex"):  # ex: half an em, as for fonts without one
            return value * self.font_size / (2 if unit == "ex" else 1)
        return value * _PIXELS[unit]

    def _full_length(self, name: str) -> float:
        """Return 100 % of an attribute, in user units."""
        if self.width is None or self.height is None:
            raise ValueError(
                f"its {name} is a percentage, but the size of the drawing is unknown. Add a viewBox, or use a number."
            )
        if name in ("x", "width", "cx", "rx"):
            return self.width
        if name in ("y", "height", "cy", "ry"):
            return self.height
        return math.hypot(self.width, self.height) / math.sqrt(2)


def root_viewport(root: Element, geometry: SlideGeometry) -> tuple[Matrix, LengthContext]:
    """Return the matrix from user units to slide pixels, both measured from the corner, and the length context."""
    box = view_box(root)
    width, height = (_pixels(root.get(name, "")) for name in ("width", "height"))
    if box is None:
        rows, columns = geometry.shape or (None, None)
        return np.eye(3), LengthContext(width or columns, height or rows)
    return fit_viewbox(root, box, (0, 0, *_drawn_size(root, box, geometry))), LengthContext(*box[2:])


def drawing_size(root: Element, geometry: SlideGeometry) -> tuple[float, float] | None:
    """Return the height and width of the drawing in slide pixels, None without them or if it does not begin at 0."""
    box = view_box(root)
    if box is None:
        height, width = (_pixels(root.get(name, "")) for name in ("height", "width"))
        return None if height is None or width is None else (height, width)
    across, down = _drawn_size(root, box, geometry)
    return (down, across) if box[:2] == (0, 0) else None


def _drawn_size(root: Element, box: Box, geometry: SlideGeometry) -> tuple[float, float]:
    """Return the width and height in slide pixels that a viewBox is fitted into."""
    width, height = (_pixels(root.get(name, "")) for name in ("width", "height"))
    across, down = box[2:]
    if geometry.shape is None or max(abs(down - geometry.shape[0]), abs(across - geometry.shape[1])) >= 1:
        if width and height:
            return width, height
        if width and not root.get("height"):
            return width, width * down / across
        if height and not root.get("width"):
            return height * across / down, height
    return across, down


def _pixels(text: str) -> float | None:
    """Return a length in pixels, or None if it has another unit or is no length."""
    found = _LENGTH.fullmatch(text)
    if found is None or found[2] not in (None, "px"):
        return None
    value = float(found[1])
    return value if 0 < value < math.inf else None


def inner_viewport(element: Element, outer: LengthContext, size: dict[str, str]) -> tuple[Matrix, LengthContext]:
    """Return the viewport of a nested svg or symbol; `size` overrides its own."""
    sized = Element("", {**element.attrib, **size})
    is_symbol = element.tag.endswith("symbol")
    x, y = (0.0, 0.0) if is_symbol else (outer.length(sized, "x"), outer.length(sized, "y"))
    box = view_box(element)
    sides = []
    for name, whole in (("width", outer.width), ("height", outer.height)):
        own = None if box is None else box[2 if name == "width" else 3]
        sides.append(outer.length(sized, name) if sized.get(name) not in (None, "auto") else whole or own)
    width, height = sides
    matrix = translate(x, y)
    if box is None:
        return matrix, outer._replace(width=width, height=height)
    if width is None or height is None or width <= 0 or height <= 0:
        width, height = box[2:]
    return matrix @ fit_viewbox(element, box, (0, 0, width, height)), outer._replace(width=box[2], height=box[3])


def view_box(element: Element) -> Box | None:
    """Return left, top, width and height of a viewBox, or None if it is missing."""
    text = element.get("viewBox", "").strip()
    if not text or text == "none":
        return None
    values = numbers(text[:1000]).tolist()
    if len(values) != 4 or min(values[2:]) <= 0:
        raise ValueError(f'its viewBox is "{text[:40]}"; it must be four numbers, the last two above 0. Correct it.')
    return values[0], values[1], values[2], values[3]


def fit_viewbox(element: Element, box: Box, port: Box) -> Matrix:
    """Return the matrix that fits a viewBox into a viewport according to preserveAspectRatio."""
    words = element.get("preserveAspectRatio", "").split()
    words = [word for word in words if word != "defer"] or ["xMidYMid"]
    scales = np.array([port[2] / box[2], port[3] / box[3]])
    if words[0] != "none":
        scales[:] = scales.max() if words[1:] == ["slice"] else scales.min()
    share = [
        0.0 if f"{axis}Min" in words[0] or words[0] == "none" else 1.0 if f"{axis}Max" in words[0] else 0.5
        for axis in "xY"
    ]
    room = np.array(port[2:]) - scales * box[2:]
    x, y = np.array(port[:2]) + share * room - scales * box[:2]
    return _affine(float(scales[0]), 0, 0, float(scales[1]), float(x), float(y))


def transform(text: str) -> Matrix:
    """Return a transform attribute as a 3 x 3 matrix."""
    if rest := _TRANSFORM.sub(" ", text).replace(",", " ").strip():
        raise ValueError(f'its transform has "{rest[:20]}"; which cannot be read. Correct or remove it.')
    result = np.eye(3)
    for index, found in enumerate(_TRANSFORM.finditer(text)):
        if index == _MOST_TRANSFORMS:
            raise ValueError(f"its transform is a list of more than {_MOST_TRANSFORMS:,} items. Correct or remove it.")
        values = numbers(found[2]).tolist()
        try:
            result = result @ _TRANSFORMS[found[1]](*values)
        except (TypeError, ValueError) as error:
            raise ValueError(f"its {found[1]} has {len(values)} numbers. Correct or remove it.") from error
    return result


def _affine(*values: float) -> Matrix:
    a, b, c, d, e, f = values  # as SVG's matrix names them
    return np.array([[a, c, e], [b, d, f], [0, 0, 1]])


def _scale(x: float, y: float | None = None) -> Matrix:
    return _affine(x, 0, 0, x if y is None else y, 0, 0)


def translate(x: float, y: float = 0) -> Matrix:
    """Return the matrix of a translation."""
    return _affine(1, 0, 0, 1, x, y)


def _rotate(degrees: float, x: float = 0, y: float = 0) -> Matrix:
    angle = math.radians(degrees)
    rotation = _affine(math.cos(angle), math.sin(angle), -math.sin(angle), math.cos(angle), 0, 0)
    return translate(x, y) @ rotation @ translate(-x, -y)


def _skew_x(degrees: float) -> Matrix:
    return _affine(1, 0, math.tan(math.radians(degrees)), 1, 0, 0)


def _skew_y(degrees: float) -> Matrix:
    return _affine(1, math.tan(math.radians(degrees)), 0, 1, 0, 0)


_TRANSFORMS: dict[str, Callable[..., Matrix]] = {
    "matrix": _affine,
    "translate": translate,
    "scale": _scale,
    "rotate": _rotate,
    "skewX": _skew_x,
    "skewY": _skew_y,
}
