"""Excluded areas, cut out of the outlines that contain them.

For formats that store holes as separate contours without naming the outline they belong to.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.contours.contour import Contour, Points, contains_rings
from napari_pathseg.errors import AnnotationError

_CHUNK = 20  # areas per query of the tree
_MAX_PAIRS = 1_000_000  # candidate pairs of areas and outlines before a file is refused
_MAX_CROSSINGS = 100_000  # of rings that are clipped; real drawings have far fewer
_MAX_CLIPPED_POINTS = 3_000_000  # points of clipped outlines and areas in one file
_CLIP_COST = 300  # points: the fixed cost of clipping one pair


class Area(NamedTuple):
    """An excluded area: its ring, and its name in messages."""

    ring: Points
    place: str


def subtract_areas(contours: Sequence[Contour], areas: Sequence[Area], name: str) -> tuple[list[Contour], list[int]]:
    """Make excluded areas holes of contours, and return the indices of areas outside all contours.

    An area inside outlines becomes a hole of the smallest of them.  One that crosses outlines
    is clipped to each, so that no hole extends beyond its outline.

    Raises
    ------
    AnnotationError
        If too many areas lie in or across outlines (`name` is their file), or if rings cross each
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
    polygons: npt.NDArray[Any], areas: Sequence[Area], name: str
) -> Iterator[tuple[int | None, list[int]]]:
    """Yield for each area the smallest outline that contains it, and all outlines that it crosses."""
    lines = shapely.get_exterior_ring(polygons)
    shapely.prepare(polygons)
    shapely.prepare(lines)
    extent = shapely.area(polygons)
    tree = shapely.STRtree(polygons)
    tried = 0
    for start in range(0, len(areas), _CHUNK):  # bounds the memory
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


def _clip(outline: Points, area: Area) -> list[Points]:
    """Return the pieces of an area that lie inside an outline that it crosses."""
    _check_crossings(outline, area)
    both = shapely.intersection(*shapely.make_valid([shapely.Polygon(outline), shapely.Polygon(area.ring)]))
    parts = [part for part in shapely.get_parts(shapely.get_parts(both)) if part.geom_type == "Polygon"]
    return [np.array(part.exterior.coords)[:-1] for part in parts if part.area > 0]


def _check_crossings(outline: Points, area: Area) -> None:
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
