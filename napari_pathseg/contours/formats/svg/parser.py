"""The walk through an SVG file: which elements are drawn, where, and in which style.

What is in ``defs`` or a ``symbol`` is drawn by ``use`` alone, as often as it is used; of a
``switch`` the first part that applies is drawn, in English.  What is not displayed or not
visible is left out, and so is all that has no outline: text, images, lines.  Parts of
pictures that a viewport would cut off are kept.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.contour import MAX_COORDINATE, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource
from napari_pathseg.contours.formats.curves import FLATNESS
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.svg.path import count_numbers
from napari_pathseg.contours.formats.svg.shapes import SHAPES
from napari_pathseg.contours.formats.svg.style import (
    Declared,
    StyleSheet,
    class_of,
    color_of,
    kind_of,
    layer_of,
    read_sheets,
)
from napari_pathseg.contours.formats.svg.units import (
    LengthContext,
    Matrix,
    inner_picture,
    picture,
    transform,
    translate,
)
from napari_pathseg.errors import AnnotationError

GROUPS = frozenset(("svg", "g", "a", "switch", "use", "symbol"))
DEEPEST = 300
_MOST_COPIES = 100_000
_MOST_LETTERS = 16 << 20  # read again for each copy; some 100 of 100,000 copies, and as many again
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_OUTLINES = ("points", "d")
_OUTLINE_LETTERS = 8  # are read as fast as one of another attribute
_LONGEST_ROW = 7  # numbers of a path that make one point, or more: of an arc
_MOST_MOVES = 1000  # remembered
_UPRIGHT = np.eye(2)
_STRAIGHT = 1e-9  # of its length squared: how far a line may leave the straight by rounding
_CORNER = translate(-0.5, -0.5)  # ours are counted from the centre of the first pixel
_FEATURES = ("http://www.w3.org/", "org.w3c.")


class Style(NamedTuple):
    """What an element takes over from what is around it."""

    matrix: Matrix
    scale: float
    lengths: LengthContext
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
        return self._replace(matrix=together, scale=scale if scale < MAX_COORDINATE**2 else 1.0)


class SvgShape(NamedTuple):
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


class SvgParser:
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

    def shapes(self) -> Iterator[SvgShape]:
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
            UseExpansion(self._source.name, self._by_id, self.place).check(self._root)
        matrix, lengths = picture(self._root, self._source.geometry)
        return Style(_CORNER, 1.0, lengths, {}).moved(matrix)

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
            matrix, lengths = inner_picture(element, style.lengths, step.size or {})
            style = style.moved(matrix)._replace(lengths=lengths)
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
        x, y = style.lengths.length(step.element, "x"), style.lengths.length(step.element, "y")
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
            style = style._replace(lengths=_with_font(around.lengths, size))
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

    def _figure(self, step: _Step) -> SvgShape | None:
        element = step.element
        style = self._styled(step)
        if style is None or style.declared.get("visibility") in ("hidden", "collapse"):
            return None
        tolerance = FLATNESS / max(style.scale, 1e-9)
        drawn = SHAPES[kind_of(element)](element, style.lengths, tolerance, self._budget.consume)
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
                if len(moved) < 3 or not np.abs(moved).max() < MAX_COORDINATE:
                    check_ring(moved, self.place(element))
                rings.append(moved)
        return SvgShape(rings, style, marked, element) if rings else None


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


def _with_font(lengths: LengthContext, size: str) -> LengthContext:
    """Return the lengths with another size of font, the old one where the new one is a word."""
    try:
        share = float(size[:-1]) / 100 if size.endswith("%") else lengths.reckon(size, "font-size") / lengths.font_size
    except (ValueError, ZeroDivisionError):
        return lengths
    return lengths._replace(font_size=lengths.font_size * share)


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


class _Cost(NamedTuple):
    """What drawing an element takes, those that it uses included."""

    elements: int = 0
    points: int = 0  # at least
    letters: int = 0

    def plus(self, other: "_Cost") -> "_Cost":
        return _Cost(self.elements + other.elements, self.points + other.points, self.letters + other.letters)


class UseExpansion:
    """The count of what a picture draws.

    `by_id` holds what can be used; `place` names an element for a message.
    """

    def __init__(self, name: str, by_id: Mapping[str, Element], place: Callable[[Element], str]) -> None:
        self._name = name
        self._by_id = by_id
        self._place = place
        self._counted: dict[Element, _Cost] = {}
        self._around: set[Element] = set()

    def check(self, root: Element) -> None:
        """Refuse a picture whose copies are too many or too large.

        Raises
        ------
        AnnotationError
            If they are, or an element is used inside itself, or the nesting is too deep.
        """
        drawn, written = self._cost(root), _Cost()
        PointBudget(self._name).consume(drawn.points)
        for element in root.iter():
            written = written.plus(_own(element))
        if drawn.elements - written.elements > _MOST_COPIES or drawn.letters - written.letters > _MOST_LETTERS:
            raise AnnotationError(
                f"{self._name}: draws more than {_MOST_COPIES:,} copies by <use>, or copies of elements that are too "
                "long. Export it with the copies as shapes of their own, in several files."
            )

    def _cost(self, element: Element) -> _Cost:
        if element in self._counted:
            return self._counted[element]
        total = _own(element)
        if kind_of(element) in GROUPS:
            if element in self._around:
                raise AnnotationError(f"{self._place(element)}: is used inside itself. Delete the <use> that does so.")
            if len(self._around) > DEEPEST:
                raise too_deep(self._name)
            self._around.add(element)
            used = self._by_id.get(href_of(element).removeprefix("#")) if kind_of(element) == "use" else None
            for child in element if used is None else (used,):
                total = total.plus(self._cost(child))
            self._around.remove(element)
        self._counted[element] = total
        return total


def href_of(element: Element) -> str:
    """Return what an element refers to."""
    return next((element.attrib[name].strip() for name in _HREFS if name in element.attrib), "")


def too_deep(name: str) -> AnnotationError:
    """Return the refusal of a file that nests too deep by `use`."""
    return AnnotationError(
        f"{name}: elements are nested more than {DEEPEST} deep by <use>. Export it again, ungrouped."
    )


def _own(element: Element) -> _Cost:
    """Return what an element takes itself."""
    outline = sum(len(element.get(name, "")) for name in _OUTLINES)
    letters = sum(map(len, element.attrib.values())) - outline
    points = 0
    if outline:
        numbers = sum(count_numbers(element.get(name, "")) for name in _OUTLINES)
        points = numbers // (2 if "points" in element.attrib else _LONGEST_ROW)
    return _Cost(1, points, letters + outline // _OUTLINE_LETTERS)
