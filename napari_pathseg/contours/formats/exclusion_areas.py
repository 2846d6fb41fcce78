"""Areas that an expert excluded, cut out of the outlines that they lie in.

For formats that draw such areas as contours of their own and do not say in which outline
they belong.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.contours.contour import Contour, Points, contains_rings
from napari_pathseg.errors import AnnotationError

_CHUNK = 20  # areas looked up at once
_MAX_PAIRS = 1_000_000  # areas in outlines that are looked at before a file is refused
_MAX_CROSSINGS = 100_000  # of lines that are clipped; what takes longer is no drawing
_MAX_CLIPPED_POINTS = 3_000_000  # points of outlines and areas that are clipped, of a file
_CLIP_COST = 300  # points: as long as so many more takes each


class Area(NamedTuple):
    """An excluded area: its line, and what to call it where it cannot be cut out."""

    ring: Points
    place: str


def subtract_areas(contours: Sequence[Contour], areas: Sequence[Area], name: str) -> tuple[list[Contour], list[int]]:
    """Make excluded areas holes of contours, and return which areas lie in none.

    An area that lies inside outlines is a hole of the smallest of them.  One that crosses
    their lines is clipped to each, so that no hole reaches out of its outline.

    Raises
    ------
    AnnotationError
        If too many areas lie in or across outlines, `name` is the file they come from; or if lines
        cross each other too often.
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
    """Yield of each area the smallest outline that it lies in, and all whose lines it meets."""
    lines = shapely.get_exterior_ring(polygons)
    shapely.prepare(polygons)
    shapely.prepare(lines)
    extent = shapely.area(polygons)
    tree = shapely.STRtree(polygons)
    tried = 0
    for start in range(0, len(areas), _CHUNK):  # so that memory stays bounded
        chunk = areas[start : start + _CHUNK]
        rings = np.array([shapely.LinearRing(area.ring) for area in chunk])
        inner, outer = tree.query(rings)  # whose boxes meet
        tried += len(inner)
        if tried > _MAX_PAIRS:
            raise _too_many(name, len(polygons))
        inside = contains_rings(polygons[outer], [chunk[number].ring for number in inner.tolist()])
        meets = shapely.intersects(lines[outer], rings[inner])  # not so an island in it, or beside it
        for number in range(len(chunk)):
            near, around = outer[(inner == number) & meets], outer[(inner == number) & inside]
            yield (int(around[extent[around].argmin()]) if len(around) else None), near.tolist()


def _too_many(name: str, outlines: int) -> AnnotationError:
    return AnnotationError(
        f"{name}: too many of its excluded areas lie in its {outlines:,} outlines. Split it into several files."
    )


def _clip(outline: Points, area: Area) -> list[Points]:
    """Return the pieces of an area that lie inside an outline whose line it crosses."""
    _check_crossings(outline, area)
    both = shapely.intersection(*shapely.make_valid([shapely.Polygon(outline), shapely.Polygon(area.ring)]))
    parts = [part for part in shapely.get_parts(shapely.get_parts(both)) if part.geom_type == "Polygon"]
    return [np.array(part.exterior.coords)[:-1] for part in parts if part.area > 0]


def _check_crossings(outline: Points, area: Area) -> None:
    """Refuse lines that cross themselves or each other so often that clipping them takes minutes."""
    ends = np.concatenate([np.stack([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in (outline, area.ring)])
    lines = shapely.linestrings(ends)
    tree = shapely.STRtree(lines)
    found = -3 * len(lines)  # each meets itself and its neighbours
    for start in range(0, len(lines), 100):
        found += tree.query(lines[start : start + 100]).shape[1]
        if found > _MAX_CROSSINGS:
            raise AnnotationError(
                f"{area.place}: is cut out of an outline, and their lines cross each other too often. Draw it again."
            )
