"""Holes, in formats whose outlines have none.

Some (CVAT, NDPA) store an outline with its holes as one ring: it runs around the outline, crosses
to a hole, runs around it the other way and returns over the same bridge.  Every program fills it
correctly.  A short text that is written with it describes its parts: their numbers of points,
negative for a part that was reversed, as in ``5 4 -3``.

Others (ASAP, ImageScope) store holes as excluded areas, separate contours that do not name the
outline they belong to; they are cut out of the outlines around them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.contours.contour import Contour, Points, contains_rings
from napari_pathseg.errors import AnnotationError

_MAX_PART_LENGTH = 12  # characters of one number in the text
_CHUNK = 20  # areas per query of the tree
_MAX_PAIRS = 1_000_000  # candidate pairs of areas and outlines before a file is refused
_MAX_CROSSINGS = 100_000  # of rings that are clipped; real drawings have far fewer
_MAX_CLIPPED_POINTS = 3_000_000  # points of clipped outlines and areas in one file
_CLIP_COST = 300  # points: the fixed cost of clipping one pair


def bridge_holes(rings: Sequence[Points]) -> tuple[Points, str]:
    """Return an outline and its holes as one ring, and the text that describes its parts.

    Examples
    --------
    >>> square = np.array([[0.0, 0], [0, 9], [9, 9], [9, 0]])
    >>> line, parts = bridge_holes([square, square[::-1] / 3 + 3])
    >>> len(line), parts
    (10, '4 4')
    """
    outline = rings[0]
    outward = _turns_left(outline)
    pieces, parts = [outline], [len(outline)]
    for hole in rings[1:]:
        turned = _turns_left(hole) == outward
        ring = hole[::-1] if turned else hole
        pieces += [outline[:1], ring, ring[:1]]
        parts.append(-len(ring) if turned else len(ring))
    return np.concatenate(pieces), " ".join(map(str, parts))


def split_bridged(line: Points, parts: str) -> list[Points]:
    """Return the outline and holes that were bridged into a ring; the ring alone if `parts` does not fit it.

    Examples
    --------
    >>> [len(ring) for ring in split_bridged(np.zeros((10, 2)), "4 4")]
    [4, 4]
    >>> [len(ring) for ring in split_bridged(np.zeros((10, 2)), "4 5")]
    [10]
    """
    if len(parts) > _MAX_PART_LENGTH * (len(line) + 1):
        return [line]
    try:
        lengths = [int(part) for part in parts.split()]
    except ValueError:
        return [line]
    if (
        not lengths
        or lengths[0] < 0
        or 0 in lengths
        or lengths[0] + sum(abs(length) + 2 for length in lengths[1:]) != len(line)
    ):
        return [line]
    rings, begin = [line[: lengths[0]]], lengths[0]
    for length in lengths[1:]:
        ring = line[begin + 1 : begin + 1 + abs(length)]
        rings.append(ring[::-1] if length < 0 else ring)
        begin += abs(length) + 2
    return rings


class ExcludedArea(NamedTuple):
    """An excluded area: its ring, and its name in messages."""

    ring: Points
    place: str


def subtract_excluded(
    contours: Sequence[Contour], areas: Sequence[ExcludedArea], name: str
) -> tuple[list[Contour], list[int]]:
    """Make excluded areas holes of contours; return the contours, and the indices of areas outside them all.

    An area inside outlines becomes a hole of the smallest of them.  One that crosses outlines
    is clipped to each, so that no hole extends beyond its outline.

    Raises
    ------
    AnnotationError
        If too many areas are inside or across outlines (`name` is their file), or if rings cross each
        other too often.
    """
    if not contours or not areas:
        return list(contours), list(range(len(areas)))
    holes: dict[int, list[Points]] = {}
    outside = []
    clipped = 0
    polygons = np.array([shapely.Polygon(contour.exterior) for contour in contours])
    for number, (inside, crossing) in enumerate(_outlines_around(polygons, areas, name)):
        pieces = [(inside, areas[number].ring)] if inside is not None else []
        for index in crossing if inside is None else ():
            clipped += len(contours[index].exterior) + len(areas[number].ring) + _CLIP_COST
            if clipped > _MAX_CLIPPED_POINTS:
                raise _too_many(name, len(contours))
            pieces += [(index, piece) for piece in _clip(contours[index].exterior, areas[number])]
        for index, piece in pieces:
            holes.setdefault(index, []).append(piece)
        if not pieces:
            outside.append(number)
    cut = [
        replace(contour, holes=(*contour.holes, *holes[index])) if index in holes else contour
        for index, contour in enumerate(contours)
    ]
    return cut, outside


def _outlines_around(
    polygons: npt.NDArray[Any], areas: Sequence[ExcludedArea], name: str
) -> Iterator[tuple[int | None, list[int]]]:
    """Yield for each area the smallest outline that contains it, and all outlines that it crosses."""
    lines = shapely.get_exterior_ring(polygons)
    shapely.prepare(polygons)
    shapely.prepare(lines)
    extent = shapely.area(polygons)
    tree = shapely.STRtree(polygons)
    tried = 0
    for start in range(0, len(areas), _CHUNK):  # limits memory
        chunk = areas[start : start + _CHUNK]
        rings = np.array([shapely.LinearRing(area.ring) for area in chunk])
        inner, outer = tree.query(rings)  # pairs whose bounding boxes intersect
        tried += len(inner)
        if tried > _MAX_PAIRS:
            raise _too_many(name, len(polygons))
        inside = contains_rings(polygons[outer], [chunk[number].ring for number in inner.tolist()])
        meets = shapely.intersects(lines[outer], rings[inner])  # not for areas wholly inside or outside
        for number in range(len(chunk)):
            near, around = outer[(inner == number) & meets], outer[(inner == number) & inside]
            yield (int(around[extent[around].argmin()]) if len(around) else None), near.tolist()


def _too_many(name: str, outlines: int) -> AnnotationError:
    return AnnotationError(
        f"{name}: too many of its excluded areas lie in its {outlines:,} outlines. Split it into several files."
    )


def _clip(outline: Points, area: ExcludedArea) -> list[Points]:
    """Return the pieces of an area that lie inside an outline that it crosses."""
    _check_crossings(outline, area)
    both = shapely.intersection(*shapely.make_valid([shapely.Polygon(outline), shapely.Polygon(area.ring)]))
    parts = [part for part in shapely.get_parts(shapely.get_parts(both)) if part.geom_type == "Polygon"]
    return [np.array(part.exterior.coords)[:-1] for part in parts if part.area > 0]


def _check_crossings(outline: Points, area: ExcludedArea) -> None:
    """Refuse rings that cross themselves or each other so often that clipping would take minutes."""
    ends = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in (outline, area.ring)])
    lines = shapely.linestrings(ends)
    tree = shapely.STRtree(lines)
    found = -3 * len(lines)  # each segment intersects itself and its neighbours
    for start in range(0, len(lines), 100):
        found += tree.query(lines[start : start + 100]).shape[1]
        if found > _MAX_CROSSINGS:
            raise AnnotationError(
                f"{area.place}: is cut out of an outline, and their lines cross each other too often. Draw it again."
            )


def _turns_left(ring: Points) -> bool:
    x, y = (ring - ring[0]).T
    return bool(x @ np.roll(y, -1) - y @ np.roll(x, -1) > 0)
