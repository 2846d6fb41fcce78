"""The walk through an SVG file: which elements are drawn, where, and in which style.

What is in ``defs`` or a ``symbol`` is drawn by ``use`` alone, as often as it is used; of a
``switch`` the first part that applies is drawn, in English.  What is not displayed or not
visible is left out, and so is all that has no outline: text, images, lines.  Parts of
pictures that a viewport would cut off are kept.
"""

from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.contour import FURTHEST, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.svg.names import class_of, kind_of, layer_of
from napari_pathseg.contours.formats.svg.shapes import SHAPES
from napari_pathseg.contours.formats.svg.style import Declared, StyleSheet, color_of, read_sheets
from napari_pathseg.contours.formats.svg.units import Matrix, Ruler, inner_picture, picture, transform, translate
from napari_pathseg.contours.formats.svg.use_expansion import DEEPEST, GROUPS, Copies, href_of, too_deep
from napari_pathseg.errors import AnnotationError

_FLATNESS = 0.1  # pixels: how far the lines may leave a curve
_MOST_MOVES = 1000  # remembered
_UPRIGHT = np.eye(2)
_STRAIGHT = 1e-9  # of its length squared: how far a line may leave the straight by rounding
_CORNER = translate(-0.5, -0.5)  # ours are counted from the centre of the first pixel
_FEATURES = ("http://www.w3.org/", "org.w3c.")


class Style(NamedTuple):
    """What an element takes over from what is around it."""

    matrix: Matrix
    scale: float
    ruler: Ruler
    declared: Declared
    class_name: str = ""
    layer: str = ""  # the class by a group's id, where nothing says it better

    @property
    def paints(self) -> tuple[str, str, str]:
        """What is declared as stroke, fill and colour."""
        return self.declared.get("stroke", ""), self.declared.get("fill", ""), self.declared.get("color", "")

    @property
    def outline_only(self) -> bool:
        """Whether the element is drawn as a line that leaves its inside free."""
        stroke, fill, _ = self.paints
        return fill == "none" or (not fill and stroke not in ("", "none"))

    @property
    def nonzero(self) -> bool:
        """Whether the insides of rings of one direction unite."""
        return self.declared.get("fill-rule") != "evenodd"

    def moved(self, matrix: Matrix) -> "Style":
        """Return the style with a transform more."""
        with np.errstate(over="ignore", invalid="ignore"):  # points that are not finite are refused
            together = self.matrix @ matrix
            scale = float(np.hypot(*np.hypot(together[:2, 0], together[:2, 1])))
        return self._replace(matrix=together, scale=scale if scale < FURTHEST**2 else 1.0)


class Figure(NamedTuple):
    """The rings of one element, ``(row, column)`` in slide pixels; `marked` if all but the first are holes."""

    rings: list[Points]
    style: Style
    marked: bool
    element: Element


class _Step(NamedTuple):
    """An element that is still to be drawn."""

    element: Element
    around: Style
    depth: int = 0
    size: dict[str, str] | None = None  # width and height that a `use` gives


class Walk:
    """One pass through the elements of a file."""

    def __init__(self, root: Element, source: DocumentSource) -> None:
        self._root = root
        self._source = source
        self._budget = PointBudget(source.name)
        self._sheet = StyleSheet()
        self._by_id: dict[str, Element] = {}
        self._colors: dict[tuple[str, str, str], str | None] = {}
        self._numbers: dict[Element, int] = {}
        self._moves: dict[str, Matrix] = {}  # by their text, as copies repeat them

    def figures(self) -> Iterator[Figure]:
        """Yield what the file draws, in the order in which it is drawn."""
        element = self._root
        try:
            steps = [_Step(element, self._begin())]
            while steps:
                step = steps.pop()
                element = step.element
                if kind_of(element) in SHAPES:
                    figure = self._figure(step)
                    if figure is not None:
                        yield figure
                else:
                    steps += reversed(self._inside(step))
        except AnnotationError:
            raise
        except ValueError as error:
            raise AnnotationError(f"{self.place(element)}: {error}") from error

    def color(self, style: Style) -> str | None:
        """Return the colour of the line, or else of the inside, as ``#rrggbb``."""
        if style.paints not in self._colors:
            stroke, fill, current = style.paints
            self._colors[style.paints] = color_of(stroke, current) or color_of(fill, current)
        return self._colors[style.paints]

    def place(self, element: Element) -> str:
        """Return the file and the element, counted from 1 among its kind, for a message."""
        if not self._numbers:
            seen: dict[str, int] = {}
            for other in self._root.iter():
                self._numbers[other] = seen[kind_of(other)] = seen.get(kind_of(other), 0) + 1
        return f"{self._source.name}, {kind_of(element)} {self._numbers[element]}"

    def _begin(self) -> Style:
        """Look through the file and return the style in which its picture begins."""
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
            Copies(self._source.name, self._by_id, self.place).check(self._root)
        matrix, ruler = picture(self._root, self._source.geometry)
        return Style(_CORNER, 1.0, ruler, {}).moved(matrix)

    def _inside(self, step: _Step) -> list[_Step]:
        """Return what is drawn for a group."""
        element, kind = step.element, kind_of(step.element)
        if kind not in GROUPS or (kind == "symbol" and step.size is None):
            return []
        style = self._styled(step)
        if style is None:
            return []
        if step.depth > DEEPEST:
            raise too_deep(self._source.name)
        if kind == "use":
            return [self._used(step, style)]
        if kind == "symbol" or (kind == "svg" and step.depth):
            matrix, ruler = inner_picture(element, style.ruler, step.size or {})
            style = style.moved(matrix)._replace(ruler=ruler)
        children = [child for child in element if _draws(child)]
        if kind == "switch":
            children = [child for child in element if isinstance(child.tag, str) and _applies(child)][:1]
        return [_Step(child, style, step.depth + 1) for child in children]

    def _used(self, step: _Step, style: Style) -> _Step:
        """Return what a `use` draws."""
        href = href_of(step.element)
        target = self._by_id.get(href[1:]) if href.startswith("#") else None
        if target is None:
            raise ValueError(f'uses "{href[:40]}", which is not in the file. Copy it there, or delete the <use>.')
        x, y = style.ruler.length(step.element, "x"), style.ruler.length(step.element, "y")
        size = {name: value for name, value in step.element.attrib.items() if name in ("width", "height")}
        return _Step(target, style.moved(translate(x, y)), step.depth + 1, size)

    def _styled(self, step: _Step) -> Style | None:
        """Return the style of an element, or None where it is not drawn."""
        element, around, kind = step.element, step.around, kind_of(step.element)
        declared = self._sheet.style(element, kind, around.declared)
        if declared.get("display") == "none" or not _applies(element):
            return None
        style = around._replace(declared=declared, class_name=class_of(element, self._sheet) or around.class_name)
        if (size := declared.get("font-size", "")) != around.declared.get("font-size", ""):
            style = style._replace(ruler=_with_font(around.ruler, size))
        if kind == "g" and step.size is None:  # what is used has an id for that
            style = style._replace(layer=layer_of(element) or around.layer)
        own = element.get("transform", "")
        if not own.strip():
            return style
        if own not in self._moves:
            if len(self._moves) == _MOST_MOVES:
                self._moves.clear()
            self._moves[own] = transform(own)
        return style.moved(self._moves[own])

    def _figure(self, step: _Step) -> Figure | None:
        element = step.element
        style = self._styled(step)
        if style is None or style.declared.get("visibility") in ("hidden", "collapse"):
            return None
        tolerance = _FLATNESS / max(style.scale, 1e-9)
        drawn = SHAPES[kind_of(element)](element, style.ruler, tolerance, self._budget.spend)
        marked = element.get("data-holes", "") == str(len(drawn) - 1)
        linear, shift = style.matrix[:2, :2].T, style.matrix[:2, 2]
        upright = np.array_equal(linear, _UPRIGHT)
        rings = []
        with np.errstate(over="ignore", invalid="ignore"):  # points that are not finite are refused
            for ring in drawn:
                moved = (ring + shift if upright else ring @ linear + shift)[:, ::-1].copy()
                if len(moved) and moved[0, 0] == moved[-1, 0]:
                    moved = without_repeat(moved)
                if not marked and element.tag.endswith("path") and _is_line(moved):
                    continue
                if len(moved) < 3 or not np.abs(moved).max() < FURTHEST:
                    check_ring(moved, self.place(element))
                rings.append(moved)
        return Figure(rings, style, marked, element) if rings else None


def _draws(element: Element) -> bool:
    """Whether an element draws something: groups without anything in them are many in some files."""
    kind = kind_of(element)
    return kind in SHAPES or kind == "use" or (kind in GROUPS and (len(element) > 0 or _faulty(element)))


def _faulty(element: Element) -> bool:
    """Whether an element says what may be wrong, though it draws nothing."""
    return "transform" in element.attrib or "viewBox" in element.attrib


def _applies(element: Element) -> bool:
    """Whether the conditions of an element hold: no extensions, features of SVG, English."""
    conditions = element.attrib
    if "requiredExtensions" in conditions:
        return False
    if not all(word.startswith(_FEATURES) for word in conditions.get("requiredFeatures", "").split()):
        return False
    languages = conditions.get("systemLanguage")
    return languages is None or any(word.strip().lower().startswith("en") for word in languages.split(","))


def _with_font(ruler: Ruler, size: str) -> Ruler:
    """Return the ruler with another size of font, the old one where the new one is a word."""
    try:
        share = float(size[:-1]) / 100 if size.endswith("%") else ruler.reckon(size, "font-size") / ruler.font_size
    except (ValueError, ZeroDivisionError):
        return ruler
    return ruler._replace(font_size=ruler.font_size * share)


def _is_line(ring: Points) -> bool:
    """Whether a ring of two points or more runs along one straight line."""
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
