"""Walk the elements of an SVG document: which are drawn, where, and in which style.

Content of ``defs`` and ``symbol`` is drawn only through ``use``, once per use.  Of a ``switch`` the
first child whose conditions hold is drawn, with English as the language.  Hidden elements are
skipped, and so is everything without an outline: text, images, lines.  Content that a viewport
would clip is kept.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.contour import MAX_COORDINATE, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource
from napari_pathseg.contours.formats.curves import FLATNESS
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.svg.backdrop import slide_frame
from napari_pathseg.contours.formats.svg.path import count_numbers
from napari_pathseg.contours.formats.svg.shapes import SHAPES
from napari_pathseg.contours.formats.svg.style import (
    Declared,
    StyleSheet,
    class_of,
    color_of,
    distinction_of,
    kind_of,
    layer_of,
    read_sheets,
)
from napari_pathseg.contours.formats.svg.units import (
    LengthContext,
    Matrix,
    inner_viewport,
    root_viewport,
    transform,
    translate,
)
from napari_pathseg.errors import AnnotationError

GROUPS = frozenset(("svg", "g", "a", "switch", "use", "symbol"))
DEEPEST = 300
_MOST_COPIES = 100_000
_MOST_LETTERS = 16 << 20  # characters of attributes that copies read again
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_OUTLINES = ("points", "d")
_OUTLINE_LETTERS = 8  # characters of an outline are read as fast as one of another attribute
_LONGEST_ROW = 7  # numbers per point in a path, at most: those of an arc
_MOST_CACHED = 1000  # transforms
_UPRIGHT = np.eye(2)
_STRAIGHT = 1e-9  # relative to the squared length: deviation from a straight line that is rounding
_CORNER = translate(-0.5, -0.5)  # from the pixel's corner to its centre
_FEATURES = ("http://www.w3.org/", "org.w3c.")


class Style(NamedTuple):
    """The state that an element inherits from its ancestors."""

    matrix: Matrix
    scale: float
    lengths: LengthContext
    declared: Declared
    class_name: str = ""
    layer: str = ""  # the class from a group's id, a fallback
    distinction: str = ""  # what tells contours without a class apart

    @property
    def paints(self) -> tuple[str, str, str]:
        """The declared stroke, fill and colour."""
        return self.declared.get("stroke", ""), self.declared.get("fill", ""), self.declared.get("color", "")

    @property
    def outline_only(self) -> bool:
        """Whether only the outline is drawn, without a fill."""
        stroke, fill, _ = self.paints
        return fill == "none" or (not fill and stroke not in ("", "none"))

    @property
    def nonzero(self) -> bool:
        """Whether the fill rule is nonzero, so that rings of one direction unite."""
        return self.declared.get("fill-rule") != "evenodd"

    def transformed(self, matrix: Matrix) -> "Style":
        """Return the style with another transform appended."""
        with np.errstate(over="ignore", invalid="ignore"):  # points that are not finite are refused
            combined = self.matrix @ matrix
            scale = float(np.hypot(*np.hypot(combined[:2, 0], combined[:2, 1])))
        return self._replace(matrix=combined, scale=scale if scale < MAX_COORDINATE**2 else 1.0)


class SvgShape(NamedTuple):
    """The rings of one element, ``(row, column)`` in slide pixels.

    With `holes_marked` the file itself says that all rings after the first are holes.
    """

    rings: list[Points]
    style: Style
    holes_marked: bool
    element: Element


class _PendingElement(NamedTuple):
    """An element still to be visited."""

    element: Element
    inherited: Style
    depth: int = 0
    size: dict[str, str] | None = None  # width and height from a `use`


class SvgParser:
    """A single pass over the elements of a document."""

    def __init__(self, root: Element, source: DocumentSource) -> None:
        self._root = root
        self._source = source
        self._budget = PointBudget(source.name)
        self._sheet = StyleSheet()
        self._by_id: dict[str, Element] = {}
        self._colors: dict[tuple[str, str, str], str | None] = {}
        self._numbers: dict[Element, int] = {}
        self._transforms: dict[str, Matrix] = {}  # by attribute text; copies repeat them

    def shapes(self) -> Iterator[SvgShape]:
        """Yield the shapes in drawing order."""
        element = self._root
        try:
            stack = [_PendingElement(element, self._begin())]
            while stack:
                pending = stack.pop()
                element = pending.element
                if kind_of(element) in SHAPES:
                    shape = self._shape(pending)
                    if shape is not None:
                        yield shape
                else:
                    stack += reversed(self._children(pending))
        except AnnotationError:
            raise
        except ValueError as error:
            raise AnnotationError(f"{self.place(element)}: {error}") from error

    def color(self, style: Style) -> str | None:
        """Return the colour of the stroke, or otherwise of the fill, as ``#rrggbb``."""
        if style.paints not in self._colors:
            stroke, fill, current = style.paints
            self._colors[style.paints] = color_of(stroke, current) or color_of(fill, current)
        return self._colors[style.paints]

    def place(self, element: Element) -> str:
        """Return the file and the element, numbered from 1 among its kind, for a message."""
        if not self._numbers:
            seen: dict[str, int] = {}
            for other in self._root.iter():
                self._numbers[other] = seen[kind_of(other)] = seen.get(kind_of(other), 0) + 1
        return f"{self._source.name}, {kind_of(element)} {self._numbers[element]}"

    def _begin(self) -> Style:
        """Index the document; return the style of its root."""
        sheets = []
        uses = False
        for element in self._root.iter():
            kind = kind_of(element)
            uses = uses or kind == "use"
            if kind == "style":
                sheets.append(element.text or "")
            if "id" in element.attrib:
                self._by_id.setdefault(element.attrib["id"], element)
        self._sheet = read_sheets(sheets)
        if uses:
            UseExpansion(self._source.name, self._by_id, self.place).check(self._root)
        matrix, lengths = root_viewport(self._root, self._source.geometry)
        frame = slide_frame(self._root, lengths, self._source.geometry)
        return Style(_CORNER, 1.0, lengths, {}).transformed(matrix if frame is None else frame)

    def _children(self, pending: _PendingElement) -> list[_PendingElement]:
        """Return the elements that a group draws."""
        element, kind = pending.element, kind_of(pending.element)
        if kind not in GROUPS or (kind == "symbol" and pending.size is None):
            return []
        style = self._style(pending)
        if style is None:
            return []
        if pending.depth > DEEPEST:
            raise too_deep(self._source.name)
        if kind == "use":
            return [self._expand_use(pending, style)]
        if kind == "symbol" or (kind == "svg" and pending.depth):
            matrix, lengths = inner_viewport(element, style.lengths, pending.size or {})
            style = style.transformed(matrix)._replace(lengths=lengths)
        children = [child for child in element if _draws(child)]
        if kind == "switch":
            children = [child for child in element if isinstance(child.tag, str) and _applies(child)][:1]
        return [_PendingElement(child, style, pending.depth + 1) for child in children]

    def _expand_use(self, pending: _PendingElement, style: Style) -> _PendingElement:
        """Return the element that a `use` draws."""
        href = href_of(pending.element)
        target = self._by_id.get(href[1:]) if href.startswith("#") else None
        if target is None:
            raise ValueError(f'uses "{href[:40]}", which is not in the file. Add it, or delete the <use>.')
        x, y = style.lengths.length(pending.element, "x"), style.lengths.length(pending.element, "y")
        size = {name: value for name, value in pending.element.attrib.items() if name in ("width", "height")}
        return _PendingElement(target, style.transformed(translate(x, y)), pending.depth + 1, size)

    def _style(self, pending: _PendingElement) -> Style | None:
        """Return the style of an element, or None if it is not drawn."""
        element, inherited, kind = pending.element, pending.inherited, kind_of(pending.element)
        declared = self._sheet.style(element, kind, inherited.declared)
        if declared.get("display") == "none" or not _applies(element):
            return None
        class_name = class_of(element, self._sheet) or inherited.class_name
        style = inherited._replace(declared=declared, class_name=class_name)
        if (size := declared.get("font-size", "")) != inherited.declared.get("font-size", ""):
            style = style._replace(lengths=_with_font(inherited.lengths, size))
        if kind == "g" and pending.size is None:  # the id of a used group is only its address
            style = style._replace(layer=layer_of(element) or inherited.layer)
        if pending.size is None and "id" in element.attrib and (kind == "g" or kind in SHAPES):
            style = style._replace(distinction=distinction_of(element) or inherited.distinction)
        own = element.get("transform", "")
        if not own.strip():
            return style
        if own not in self._transforms:
            if len(self._transforms) == _MOST_CACHED:
                self._transforms.clear()
            self._transforms[own] = transform(own)
        return style.transformed(self._transforms[own])

    def _shape(self, pending: _PendingElement) -> SvgShape | None:
        element = pending.element
        style = self._style(pending)
        if style is None or style.declared.get("visibility") in ("hidden", "collapse"):
            return None
        tolerance = FLATNESS / max(style.scale, 1e-9)
        drawn = SHAPES[kind_of(element)](element, style.lengths, tolerance, self._budget.consume)
        holes_marked = element.get("data-holes", "") == str(len(drawn) - 1)
        linear, shift = style.matrix[:2, :2].T, style.matrix[:2, 2]
        upright = np.array_equal(linear, _UPRIGHT)
        rings = []
        with np.errstate(over="ignore", invalid="ignore"):  # points that are not finite are refused
            for ring in drawn:
                moved = (ring + shift if upright else ring @ linear + shift)[:, ::-1].copy()
                if len(moved) and moved[0, 0] == moved[-1, 0]:
                    moved = without_repeat(moved)
                if not holes_marked and element.tag.endswith("path") and _is_line(moved):
                    continue
                if len(moved) < 3 or not np.abs(moved).max() < MAX_COORDINATE:
                    check_ring(moved, self.place(element))
                rings.append(moved)
        return SvgShape(rings, style, holes_marked, element) if rings else None


def _draws(element: Element) -> bool:
    """Return whether an element draws something; some files have many empty groups."""
    kind = kind_of(element)
    return kind in SHAPES or kind == "use" or (kind in GROUPS and (len(element) > 0 or _may_be_invalid(element)))


def _may_be_invalid(element: Element) -> bool:
    """Return whether an element that draws nothing has attributes that may be invalid."""
    return "transform" in element.attrib or "viewBox" in element.attrib


def _applies(element: Element) -> bool:
    """Return whether the conditions of an element hold: no extensions, SVG's own features, English."""
    conditions = element.attrib
    if "requiredExtensions" in conditions:
        return False
    if not all(word.startswith(_FEATURES) for word in conditions.get("requiredFeatures", "").split()):
        return False
    languages = conditions.get("systemLanguage")
    return languages is None or any(word.strip().lower().startswith("en") for word in languages.split(","))


def _with_font(lengths: LengthContext, size: str) -> LengthContext:
    """Return the lengths with another font size; keep the old one if the new one is a keyword."""
    try:
        factor = (
            float(size[:-1]) / 100
            if size.endswith("%")
            else lengths.in_user_units(size, "font-size") / lengths.font_size
        )
    except (ValueError, ZeroDivisionError):
        return lengths
    return lengths._replace(font_size=lengths.font_size * factor)


def _is_line(ring: Points) -> bool:
    """Return whether a ring of two or more points lies on one straight line."""
    if len(ring) > 2:
        (y0, x0), (y1, x1), (y2, x2) = ring[:3].tolist()
        if abs((y1 - y0) * (x2 - x0) - (x1 - x0) * (y2 - y0)) > 1e-3:
            return False
    if len(ring) < 2 or not np.isfinite(ring).all():
        return False
    away = ring[1:] - ring[0]
    furthest = away[np.abs(away).max(axis=1).argmax()]
    beside = away[:, 0] * furthest[1] - away[:, 1] * furthest[0]
    return bool(np.abs(beside).max() <= _STRAIGHT * (furthest**2).sum())


class _Cost(NamedTuple):
    """The cost of drawing an element, including what it uses."""

    elements: int = 0
    points: int = 0  # at least
    letters: int = 0

    def plus(self, other: "_Cost") -> "_Cost":
        return _Cost(self.elements + other.elements, self.points + other.points, self.letters + other.letters)


class UseExpansion:
    """Bounds what a document draws through `use`.

    `by_id` holds the elements that can be used; `place` names an element for a message.
    """

    def __init__(self, name: str, by_id: Mapping[str, Element], place: Callable[[Element], str]) -> None:
        self._name = name
        self._by_id = by_id
        self._place = place
        self._counted: dict[Element, _Cost] = {}
        self._ancestors: set[Element] = set()

    def check(self, root: Element) -> None:
        """Raise if the copies are too many or too large.

        Raises
        ------
        AnnotationError
            Also if an element is used inside itself, or the nesting is too deep.
        """
        drawn, stored = self._cost(root), _Cost()
        PointBudget(self._name).consume(drawn.points)
        for element in root.iter():
            stored = stored.plus(_own_cost(element))
        if drawn.elements - stored.elements > _MOST_COPIES or drawn.letters - stored.letters > _MOST_LETTERS:
            raise AnnotationError(
                f"{self._name}: draws more than {_MOST_COPIES:,} copies by <use>, or copies of elements that are too "
                "long. Export it with separate shapes instead of copies, in several files."
            )

    def _cost(self, element: Element) -> _Cost:
        if element in self._counted:
            return self._counted[element]
        total = _own_cost(element)
        if kind_of(element) in GROUPS:
            if element in self._ancestors:
                raise AnnotationError(f"{self._place(element)}: is used inside itself. Delete the <use> that does so.")
            if len(self._ancestors) > DEEPEST:
                raise too_deep(self._name)
            self._ancestors.add(element)
            used = self._by_id.get(href_of(element).removeprefix("#")) if kind_of(element) == "use" else None
            for child in element if used is None else (used,):
                total = total.plus(self._cost(child))
            self._ancestors.remove(element)
        self._counted[element] = total
        return total


def href_of(element: Element) -> str:
    """Return the reference of a `use`."""
    return next((element.attrib[name].strip() for name in _HREFS if name in element.attrib), "")


def too_deep(name: str) -> AnnotationError:
    """Return the error for a file that nests `use` too deeply."""
    return AnnotationError(
        f"{name}: elements are nested more than {DEEPEST} deep by <use>. Export it again, ungrouped."
    )


def _own_cost(element: Element) -> _Cost:
    """Return the cost of an element without what it uses."""
    outline = sum(len(element.get(name, "")) for name in _OUTLINES)
    letters = sum(map(len, element.attrib.values())) - outline
    points = 0
    if outline:
        numbers = sum(count_numbers(element.get(name, "")) for name in _OUTLINES)
        points = numbers // (2 if "points" in element.attrib else _LONGEST_ROW)
    return _Cost(1, points, letters + outline // _OUTLINE_LETTERS)
