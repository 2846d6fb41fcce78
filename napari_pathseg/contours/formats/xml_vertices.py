"""The vertices of an XML element as numbers, without an element for each.

Annotation programs write a vertex as an element with its numbers as attributes or as child
elements.  Where all vertices have the same attributes in the same order, their text is split at
the quotes, which is three times as fast as parsing it.
"""

import math
import re
from array import array
from collections.abc import Callable
from contextlib import suppress
from itertools import chain

import numpy as np

from napari_pathseg.contours.contour import Points
from napari_pathseg.errors import AnnotationError

MAX_DEPTH = 200
# Parents of vertices, and the tags of the vertices in them.
_ATTRIBUTE_VERTICES = {"Coordinates": ("Coordinate",), "Vertices": ("Vertex", "V")}  # X, Y
_ORDERED = "Coordinates"  # its vertices may come in any order
_ELEMENT_VERTICES = {"pointlist": "point"}  # x, y
VERTEX_PARENTS = (*_ATTRIBUTE_VERTICES, *_ELEMENT_VERTICES)
VERTEX_TAGS = (b"<Coordinate", b"<V", b"<point")  # the beginnings of all vertex tags
_FIRST = re.compile(rb"\s*<(\w+)\s+(\w+)=")
_NEXT = re.compile(rb"\s*/>\s*<(\w+)\s+(\w+)=")
_INNER = re.compile(rb"\s+(\w+)=")
_LAST = re.compile(rb"\s*/>\s*")
_IN_POINT = 2  # open elements: the point and its number
_MAX_NUMBER_LENGTH = 64  # characters
_NUMBER = rb"([^<&]{1,%d}+)" % _MAX_NUMBER_LENGTH
_POINT = re.compile(rb"<point>\s*+<x>%s</x>\s*+<y>%s</y>\s*+</point>\s*+" % (_NUMBER, _NUMBER))
_POINTS = re.compile(rb"\s*+(?:%s)*+" % _POINT.pattern)

Done = Callable[[str, Points], None]


def too_deep(name: str) -> AnnotationError:
    """Return the error for a file whose elements are nested too deeply."""
    return AnnotationError(f"{name}: elements are nested more than {MAX_DEPTH} deep. Export it again, ungrouped.")


def vertex_collector(around: str, name: str, done: Done) -> "AttributeVertices | ElementVertices":
    """Return the collector of the vertices of an element with the tag `around`.

    `name` is the file's; `done` gets the element's name and its points ``(x, y)`` when it ends.
    """
    return AttributeVertices(around, name, done) if around in _ATTRIBUTE_VERTICES else ElementVertices(name, done)


class _Vertices:
    """Collects the vertices of an element: `each` numbers per vertex, x and y first."""

    data: Callable[[str], None] | None = None  # handler of the text between the tags

    def __init__(self, name: str, done: Done, each: int) -> None:
        self._name = name
        self._done = done
        self._each = each
        self._open = 0
        self._numbers = array("d")

    def end(self, tag: str) -> None:
        """End a vertex or the element."""
        if self._open:
            self._open -= 1
        else:
            self._done(tag, self._points())

    def _points(self) -> Points:
        """Return ``(x, y)`` of the vertices, sorted by their order attribute if they have one."""
        points = np.array(self._numbers).reshape(-1, self._each)
        if self._each > 2 and (points[1:, 2] < points[:-1, 2]).any():
            points = points[np.argsort(points[:, 2], kind="stable")]
        return points[:, :2]


class AttributeVertices(_Vertices):
    """Collects vertices whose numbers are attributes."""

    def __init__(self, around: str, name: str, done: Done) -> None:
        super().__init__(name, done, 3 if around == _ORDERED else 2)
        self._tags = _ATTRIBUTE_VERTICES[around]

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Add the numbers of a vertex, NaN if malformed; skip other elements."""
        self._open += 1
        if self._open > MAX_DEPTH:
            raise too_deep(self._name)
        if tag not in self._tags:
            return
        try:
            self._numbers.extend((float(attributes["X"]), float(attributes["Y"])))
        except (KeyError, ValueError):
            self._numbers.extend((math.nan, math.nan))
        if self._each > 2:
            self._numbers.append(_order(attributes))

    def take_uniform(self, text: bytes) -> bool:
        """Add vertices from their text and return True if they are complete and uniform."""
        parts = text.split(b'"')  # text between the values, and the values, in turn
        size = next((at for at in range(2, min(len(parts), 20), 2) if b"<" in parts[at]), 0)
        if not size or len(parts) % size != 1 or self._open or not _LAST.fullmatch(parts[-1]):
            return False
        heads = [set(parts[at:-1:size]) for at in range(0, size, 2)]
        heads[0].discard(parts[0])
        if any(len(head) != 1 for head in heads):
            return False
        patterns = (_NEXT, *[_INNER] * (len(heads) - 1))
        found = [pattern.fullmatch(head.pop()) for pattern, head in zip(patterns, heads, strict=True)]
        first = _FIRST.fullmatch(parts[0])
        names = [match[match.re.groups].decode() for match in found if match]
        if not first or not found[0] or first.groups() != found[0].groups() or len(set(names)) != len(heads):
            return False
        return first[1].decode() in self._tags and self._take_columns(parts, names)

    def _take_columns(self, parts: list[bytes], names: list[str]) -> bool:
        """Add the values of vertices with these attributes; return False if some are malformed."""
        size = 2 * len(names)
        numbers = np.zeros(((len(parts) - 1) // size, self._each))
        try:
            for column, name in enumerate(("X", "Y", "Order")[: self._each]):
                if column < 2 or name in names:
                    numbers[:, column] = list(map(float, parts[2 * names.index(name) + 1 :: size]))
        except ValueError:  # malformed, written with entities, or missing
            return False
        self._numbers.frombytes(numbers.tobytes())
        return True


class ElementVertices(_Vertices):
    """Collects vertices whose numbers are elements, ``<point><x>1</x><y>2</y></point>``."""

    def __init__(self, name: str, done: Done) -> None:
        super().__init__(name, done, 2)
        self._text = ""
        self.data = self._add

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin a vertex or one of its numbers."""
        self._open += 1
        if self._open > MAX_DEPTH:
            raise too_deep(self._name)
        self._text = ""
        if tag == "point":
            self._numbers.extend((math.nan, math.nan))

    def end(self, tag: str) -> None:
        """Add a number, or end the vertex or the element."""
        if tag in ("x", "y") and self._open == _IN_POINT and self._numbers:
            with suppress(ValueError):
                self._numbers[-2 if tag == "x" else -1] = float(self._text)
        super().end(tag)

    def take_uniform(self, text: bytes) -> bool:
        """Add vertices from their text and return True if they are complete and as NDP.view writes them."""
        if self._open or not _POINTS.fullmatch(text):
            return False
        try:
            numbers = array("d", map(float, chain.from_iterable(_POINT.findall(text))))
        except ValueError:
            return False
        self._numbers.extend(numbers)
        return True

    def _add(self, text: str) -> None:
        self._text += text[:_MAX_NUMBER_LENGTH]


def _order(attributes: dict[str, str]) -> float:
    """Return the order of a vertex; 0 if it has none."""
    try:
        return float(attributes.get("Order", 0))
    except ValueError:
        return 0
