"""A contour: the outline of a region that an expert drew, with its holes and its class.

Every contour is ``(row, column)`` in level-0 pixels with pixel centres on whole numbers; the
formats that count otherwise convert at their own door.  What is refused is refused here, in
the same words for every format.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.errors import AnnotationError

Points = npt.NDArray[np.float64]
MAX_COORDINATE = 1e9  # pixels; the widest slides have some 3e5, and below 1e9 no product overflows
_CHUNK = 20  # rings looked up at once
_MAX_PAIRS = 1_000_000  # rings in rings that are looked at before a file is refused


@dataclass(frozen=True)
class Contour:
    """An outline with its holes, ``(row, column)`` in level-0 pixels.

    Attributes
    ----------
    exterior
        The outer line, shape (n, 2); the last vertex is joined to the first.
    holes
        Lines like it, cut out of the inside.
    class_name
        The class as the file names it; empty where the file names none.
    label
        The class index that :func:`napari_pathseg.rasterize` paints: 1 is Background,
        2 the first class to find.  A project sets it from `class_name`.
    color
        The colour the file gives the class, as ``#rrggbb``, or None.
    """

    exterior: Points
    holes: tuple[Points, ...] = field(default=())
    class_name: str = ""
    label: int = 2
    color: str | None = None

    @property
    def rings(self) -> tuple[Points, ...]:
        """The exterior and then the holes."""
        return self.exterior, *self.holes


def check_ring(ring: Points, place: str) -> None:
    """Refuse a line that encloses nothing or lies nowhere; `place` begins the message.

    Raises
    ------
    AnnotationError
        If it has fewer than three points, or one that is not finite or absurdly far away.
    """
    if ring.ndim != 2 or ring.shape[1] != 2:
        raise AnnotationError(f"{place}: has shape {ring.shape}; an outline is (n, 2): rows and columns.")
    if len(ring) < 3:
        points = "1 point" if len(ring) == 1 else f"{len(ring)} points"
        raise AnnotationError(f"{place}: has {points}; an outline needs 3 or more. Complete or delete it.")
    wrong = ~(np.abs(ring) < MAX_COORDINATE).all(axis=1)
    if wrong.any():
        index = int(wrong.argmax())
        row, column = ring[index]
        raise AnnotationError(
            f"{place}: point {index + 1} lies at row {row:g}, column {column:g}; "
            f"coordinates must be finite and below {MAX_COORDINATE:g}. Correct or delete it."
        )


def check_contours(contours: Iterable[Contour], name: str = "") -> None:
    """Refuse contours that cannot be drawn; `name` is the file they come from.

    Raises
    ------
    AnnotationError
        If an outline or hole has fewer than three points, or one that is not finite.
    """
    for number, contour in enumerate(contours, 1):
        for ring in contour.rings:
            check_ring(ring, f"{name}, contour {number}" if name else f"contour {number}")


def check_inside(contours: Iterable[Contour], shape: tuple[int, int], file_name: str) -> None:
    """Refuse a contour that lies wholly outside its slide of `shape` (rows, columns).

    Raises
    ------
    AnnotationError
        Naming the file, the contour, where it lies and how big the slide is.
    """
    for number, contour in enumerate(contours, 1):
        top, left = contour.exterior.min(axis=0)
        bottom, right = contour.exterior.max(axis=0)
        if bottom <= -0.5 or right <= -0.5 or top >= shape[0] - 0.5 or left >= shape[1] - 0.5:
            raise AnnotationError(
                f"{file_name}, contour {number}: lies at rows {top:g} to {bottom:g}, columns {left:g} to "
                f"{right:g}, outside its slide of {shape[0]} rows and {shape[1]} columns. Give the file "
                "that belongs to this slide, in pixels of its full size, or delete the contour."
            )


def without_repeat(ring: Points) -> Points:
    """Return the ring without the points at its end that only repeat the first one."""
    if len(ring) < 2 or not np.array_equal(ring[0], ring[-1]):
        return ring
    other = np.flatnonzero((ring != ring[0]).any(axis=1))
    return ring[: other[-1] + 1 if len(other) else 1]


def assign_holes(rings: Sequence[Points], name: str) -> list[tuple[Points, tuple[Points, ...]]]:
    """Sort rings that came without an order into outlines and their holes, even-odd.

    A ring inside an odd number of others is a hole of the smallest one around it; a ring
    inside a hole is an outline of its own.  Rings that cross each other stay outlines.

    Raises
    ------
    AnnotationError
        If too many rings lie in one another; `name` is the file they come from.
    """
    if len(rings) < 2:
        return [(ring, ()) for ring in rings]
    depth, parent = _depths(rings, name)
    outlines: dict[int, list[Points]] = {index: [] for index in np.flatnonzero(depth % 2 == 0).tolist()}
    for index in np.flatnonzero(depth % 2).tolist():
        outlines[int(parent[index])].append(rings[index])
    return [(rings[index], tuple(holes)) for index, holes in outlines.items()]


def contains_rings(polygons: npt.NDArray[Any], rings: Sequence[Points]) -> npt.NDArray[np.bool_]:
    """Return whether each polygon covers all points of its ring; asked at once that takes as long as their square."""
    covers = np.zeros(len(rings), bool)
    first = np.array([ring[0] for ring in rings]).reshape(-1, 2)
    for index in np.flatnonzero(shapely.intersects_xy(polygons, *first.T)).tolist():
        covers[index] = shapely.intersects_xy(polygons[index], *rings[index].T).all()
    return covers


def _depths(rings: Sequence[Points], name: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return how many rings lie around each ring, and which of these is the smallest."""
    polygons = np.array([shapely.Polygon(ring) for ring in rings])
    shapely.prepare(polygons)
    area = shapely.area(polygons)
    tree = shapely.STRtree(polygons)
    depth, parent = np.zeros(len(rings), np.intp), np.full(len(rings), -1, np.intp)
    tried = 0
    for start in range(0, len(rings), _CHUNK):  # so that memory stays bounded
        inner, outer = tree.query(polygons[start : start + _CHUNK])  # whose boxes meet
        inner += start
        inner, outer = (pairs[area[inner] < area[outer]] for pairs in (inner, outer))
        tried += len(inner)
        if tried > _MAX_PAIRS:
            raise AnnotationError(
                f"{name}: too many of its {len(rings):,} outlines lie in one another. Split it into several files."
            )
        inside = contains_rings(polygons[outer], [rings[index] for index in inner.tolist()])
        inner, outer = inner[inside], outer[inside]
        np.add.at(depth, inner, 1)
        largest_first = np.argsort(-area[outer], kind="stable")
        parent[inner[largest_first]] = outer[largest_first]
    return depth, parent


def enclosed_rings(line: Points) -> list[Points]:
    """Return the outer rings of everything that a line encloses when its end is joined to its start.

    A line that crosses itself, as a hand-drawn one does when it overshoots its start, leaves no hole.

    Examples
    --------
    >>> knot = [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0], [0, 5], [5, 5]]
    >>> [ring] = enclosed_rings(np.array(knot, float))
    >>> float(shapely.polygons(ring).area)
    81.0
    """
    closed = shapely.node(shapely.linestrings(np.concatenate([line, line[:1]])))
    areas = shapely.get_parts(shapely.union_all(shapely.get_parts(shapely.polygonize([closed]))))
    return [shapely.get_coordinates(shapely.get_exterior_ring(area)) for area in areas]
