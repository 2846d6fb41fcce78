"""What the copies that ``use`` makes come to, counted before any is drawn."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from xml.etree.ElementTree import Element

from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.svg.names import kind_of
from napari_pathseg.contours.formats.svg.path import count_numbers
from napari_pathseg.errors import AnnotationError

GROUPS = frozenset(("svg", "g", "a", "switch", "use", "symbol"))
DEEPEST = 300
_MOST_COPIES = 100_000
_MOST_LETTERS = 16 << 20  # read again for each copy; some 100 of 100,000 copies, and as many again
_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_OUTLINES = ("points", "d")
_OUTLINE_LETTERS = 8  # are read as fast as one of another attribute
_LONGEST_ROW = 7  # numbers of a path that make one point, or more: of an arc


class _Cost(NamedTuple):
    """What drawing an element takes, those that it uses included."""

    elements: int = 0
    points: int = 0  # at least
    letters: int = 0

    def plus(self, other: "_Cost") -> "_Cost":
        return _Cost(self.elements + other.elements, self.points + other.points, self.letters + other.letters)


class Copies:
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
        PointBudget(self._name).spend(drawn.points)
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
