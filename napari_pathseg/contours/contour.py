"""A contour: the outline of a region that an expert drew, with its holes and its class.

Every contour is ``(row, column)`` in level-0 pixels with pixel centres on whole numbers; formats
with other conventions convert when they read and write.  The checks here give every format the
same error messages.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.errors import AnnotationError

Points = npt.NDArray[np.float64]
MAX_COORDINATE = 1e9  # pixels; the widest slides have about 3e5, and below 1e9 no product overflows
_CHUNK = 20  # rings per query of the tree
_MAX_PAIRS = 1_000_000  # candidate pairs of nested rings before a file is refused


@dataclass(frozen=True)
class Contour:
    """An outline with its holes, ``(row, column)`` in level-0 pixels.

    Attributes
    ----------
    exterior
        The outer ring, shape (n, 2); the last vertex is joined to the first.
    holes
        Rings like it, cut out of the inside.
    class_name
        The class name in the file; empty if the file gives none.
    label
        The class index that :func:`napari_pathseg.rasterize` paints: 1 is Background,
        2 the first class to find.  A project sets it from `class_name`.
    color
        The class colour in the file, as ``#rrggbb``, or None.
    layer
        What else tells a contour without a class from others of its file: a name in another field, or its layer.
    depth
        In formats that say which contour lies above: contours of a higher depth do.
    """

    exterior: Points
    holes: tuple[Points, ...] = field(default=())
    class_name: str = ""
    label: int = 2
    color: str | None = None
    layer: str = ""
    depth: int = 0

    @property
    def rings(self) -> tuple[Points, ...]:
        """The exterior and then the holes."""
        return self.exterior, *self.holes


def check_ring(ring: Points, place: str) -> None:
    """Raise AnnotationError for a ring that encloses no area; `place` begins the message.

    Raises
    ------
    AnnotationError
        If it has fewer than three points, or one that is not finite or is implausibly far away.
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
    """Raise AnnotationError for contours that cannot be drawn; `name` is their file.

    Raises
    ------
    AnnotationError
        If an outline or hole has fewer than three points, or one that is not finite.
    """
    for number, contour in enumerate(contours, 1):
        for ring in contour.rings:
            check_ring(ring, f"{name}, contour {number}" if name else f"contour {number}")


def check_inside(contours: Iterable[Contour], shape: tuple[int, int], file_name: str) -> None:
    """Raise AnnotationError for a contour wholly outside its slide of `shape` (rows, columns).

    Raises
    ------
    AnnotationError
        Naming the file, the contour, its position and the size of the slide.
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


def in_painting_order(contours: Sequence[Contour]) -> list[Contour]:
    """Return contours in the order in which they are painted over each other: by depth, then the larger ones first."""
    depths = np.array([contour.depth for contour in contours], np.int64)
    return [contours[index] for index in np.lexsort((-contour_areas(contours), depths)).tolist()]


def contour_areas(contours: Sequence[Contour]) -> npt.NDArray[np.float64]:
    """Return the area of each contour without its holes, in pixels."""
    if not contours:
        return np.zeros(0)
    rings = [ring for contour in contours for ring in contour.rings]
    lengths = np.array([len(ring) for ring in rings])
    starts = np.cumsum(lengths) - lengths
    points = np.concatenate(rings)
    points = points - np.repeat(points[starts], lengths, axis=0)  # small numbers keep their digits
    after = np.arange(1, len(points) + 1)
    after[starts + lengths - 1] = starts
    areas = np.abs(np.add.reduceat(points[:, 0] * points[after, 1] - points[:, 1] * points[after, 0], starts)) / 2
    counts = np.array([len(contour.rings) for contour in contours])
    firsts = np.cumsum(counts) - counts
    net: npt.NDArray[np.float64] = np.maximum(0.0, 2 * areas[firsts] - np.add.reduceat(areas, firsts))
    return net


def without_repeat(ring: Points) -> Points:
    """Return the ring without trailing points that repeat the first one."""
    if len(ring) < 2 or not np.array_equal(ring[0], ring[-1]):
        return ring
    other = np.flatnonzero((ring != ring[0]).any(axis=1))
    return ring[: other[-1] + 1 if len(other) else 1]


def assign_holes(rings: Sequence[Points], name: str) -> list[tuple[Points, tuple[Points, ...]]]:
    """Sort unordered rings into outlines and their holes by the even-odd rule.

    A ring inside an odd number of others is a hole of the smallest one around it; a ring
    inside a hole is an outline of its own.  Rings that cross each other stay outlines.

    Raises
    ------
    AnnotationError
        If too many rings lie inside each other; `name` is their file.
    """
    if len(rings) < 2:
        return [(ring, ()) for ring in rings]
    depth, parent = _depths(rings, name)
    outlines: dict[int, list[Points]] = {index: [] for index in np.flatnonzero(depth % 2 == 0).tolist()}
    for index in np.flatnonzero(depth % 2).tolist():
        outlines[int(parent[index])].append(rings[index])
    return [(rings[index], tuple(holes)) for index, holes in outlines.items()]


def contains_rings(polygons: npt.NDArray[Any], rings: Sequence[Points]) -> npt.NDArray[np.bool_]:
    """Return whether each polygon contains all points of the ring at the same index.

    Pair by pair: one vectorized call would take time quadratic in the number of points.
    """
    covers = np.zeros(len(rings), bool)
    first = np.array([ring[0] for ring in rings]).reshape(-1, 2)
    for index in np.flatnonzero(shapely.intersects_xy(polygons, *first.T)).tolist():
        covers[index] = shapely.intersects_xy(polygons[index], *rings[index].T).all()
    return covers


def _depths(rings: Sequence[Points], name: str) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return the number of rings around each ring, and the index of the smallest of them or -1."""
    polygons = np.array([shapely.Polygon(ring) for ring in rings])
    shapely.prepare(polygons)
    area = shapely.area(polygons)
    tree = shapely.STRtree(polygons)
    depth, parent = np.zeros(len(rings), np.intp), np.full(len(rings), -1, np.intp)
    tried = 0
    for start in range(0, len(rings), _CHUNK):  # limits memory
        inner, outer = tree.query(polygons[start : start + _CHUNK])  # pairs whose bounding boxes intersect
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
    """Return the outer rings of the area that a line encloses once its end is joined to its start.

    Self-crossings, as where a hand-drawn line overshoots its start, leave no hole.

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
