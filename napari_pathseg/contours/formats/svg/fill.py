"""Tell the outlines of an SVG shape from its holes by the fill rule.

Under ``evenodd`` a point is inside if an odd number of rings surround it.  Under ``nonzero`` rings
count with their direction, so rings of one direction unite and a ring of the other direction cuts
a hole (SVG 1.1, section 11.3).  Rings that do not cross keep their points; others are split at
their crossings, within a budget, and reassembled.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.contours.contour import Points, assign_holes
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry.arrays import BoolArray

Outline = tuple[Points, tuple[Points, ...]]
Polygons = npt.NDArray[np.object_]
_MOST_MEETINGS = 400_000_000  # pairs of segments with common rows that are tested for crossings
_MOST_CROSSINGS = 20_000  # per file
_MOST_PAIRS = 1_000_000  # pairs of rings whose boxes overlap
_MET_PER_PAIR = 20  # pairs that only overlap cost less than those that contain each other
_PAIRS = 1_000_000  # pairs of boxes per batch
_MANY = 10_000  # rings
_FEW_RINGS = 20
_FEW = 1000  # points: smaller rings are always tested


class CrossingBudget:
    """The number of crossings that a file may still have."""

    def __init__(self) -> None:
        self._left = _MOST_CROSSINGS

    def consume(self, rings: Sequence[Points], name: str) -> None:
        """Subtract the crossings of these rings; raise AnnotationError when the budget is exhausted."""
        edges = _edges(rings)
        counts = _meetings(edges.min(axis=1), edges.max(axis=1))
        met = -3 * len(edges)  # each segment meets itself and its neighbours; a crossing is counted twice
        if counts.sum() <= _MOST_MEETINGS:
            lines = shapely.linestrings(edges)
            tree = shapely.STRtree(lines)
            for batch in _batches(counts):
                met += len(tree.query(lines[batch], predicate="intersects")[0])
                if met > 2 * self._left:
                    break
        self._left -= met // 2
        if counts.sum() > _MOST_MEETINGS or self._left < 0:
            raise AnnotationError(
                f"{name}: its lines cross too often to tell inside from outside. Simplify it, or remove its fill."
            )


def sorted_rings(rings: Sequence[Points], name: str) -> list[Outline]:
    """Sort rings into outlines and holes like :func:`assign_holes`, faster if most are disjoint."""
    if len(rings) < 2:
        return [(ring, ()) for ring in rings]
    related = _related(rings, name)
    found = {id(outline[0]): outline for outline in assign_holes(_chosen(rings, related), name)}
    found |= {id(ring): (ring, ()) for ring in _chosen(rings, ~related)}
    return [found[id(ring)] for ring in rings if id(ring) in found]


def _related(rings: Sequence[Points], name: str) -> BoolArray:
    """Return which rings may contain others or lie in others, judged by their boxes."""
    low, high = _boxes(rings)
    boxes = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
    tree = shapely.STRtree(boxes)
    related = np.zeros(len(rings), bool)
    tried = twice = 0
    for batch in _batches(_meetings(low, high)):
        inner, outer = tree.query(boxes[batch])
        inner = inner + batch.start
        tried = _check_pairs(tried + len(inner) // _MET_PER_PAIR, len(rings), name)
        apart = inner != outer
        covered = (low[outer] <= low[inner]).all(axis=1) & (high[outer] >= high[inner]).all(axis=1) & apart
        covers = (low[outer] >= low[inner]).all(axis=1) & (high[outer] <= high[inner]).all(axis=1) & apart
        related[inner[covered]] = related[outer[covered]] = True
        twice += int(covered.sum()) + int(covers.sum())  # counted both ways, so that nested rings show early
        _check_pairs(tried + twice // 2, len(rings), name)
    return related


def are_self_crossing(rings: Sequence[Points]) -> BoolArray:
    """Return which rings are self-crossing."""
    if not rings:
        return np.zeros(0, bool)
    crosses: BoolArray = ~shapely.is_valid(_polygons(rings))
    return crosses


def simple(ring: Points) -> bool:
    """Return whether a ring is small enough to be tested for self-crossings."""
    return len(ring) < _FEW or _count_pairs([ring]) <= _MOST_MEETINGS


def fill_rings(rings: Sequence[Points], nonzero: bool, name: str, budget: CrossingBudget) -> list[Outline]:
    """Return the area that the rings of one shape fill, as outlines with holes.

    Raises
    ------
    AnnotationError
        If the rings cross too often; `name` begins the message.
    """
    few = 1 < len(rings) < _FEW_RINGS and sum(map(len, rings)) < _FEW
    if few and (outline := _one_outline(rings, nonzero)):
        return [outline]
    related = _related(rings, name)
    polygons = _polygons(rings)
    known = np.array([simple(ring) for ring in rings])
    sound = known.copy()
    sound[known] = shapely.is_valid(polygons[known])
    crossing = known & ~sound if nonzero else np.zeros(len(rings), bool)
    touching = crossing.copy()
    if len(rings) > 1 and _count_pairs(rings) <= 10 * _MOST_MEETINGS:
        for inner, outer in _pairs_that_touch(polygons, rings, name):
            touching[inner] = touching[outer] = True
            cross = shapely.overlaps(polygons[inner], polygons[outer]) | ~sound[inner] | ~sound[outer]
            crossing[inner[cross]] = crossing[outer[cross]] = True
    if not crossing.any():
        outlines = sorted_rings(rings, name)
        if not nonzero or _holes_run_opposite(outlines):
            return outlines
    if touching.any():
        budget.consume(_chosen(rings, touching), name)
    by_parity = not nonzero and len(rings) > _MANY  # fast, but may leave islands joined at a point
    part = touching if by_parity else touching | related
    cut = _cut(_chosen(rings, part), touching[part], sound[part], nonzero)
    whole = _chosen(rings, ~part)
    if not by_parity:  # the others are disjoint from all
        return [*((ring, ()) for ring in whole), *cut]
    return sorted_rings([*whole, *(ring for outer, holes in cut for ring in (outer, *holes))], name)


def _one_outline(rings: Sequence[Points], nonzero: bool) -> Outline | None:
    """Return the largest ring with the others as its holes, the usual case; None if they are more than that."""
    lines = [shapely.linearrings(ring) for ring in rings]
    largest = int(np.argmax(shapely.area(shapely.polygons(lines))))
    others = [index for index in range(len(rings)) if index != largest]
    if not shapely.is_valid(shapely.polygons(lines[largest], holes=[lines[index] for index in others])):
        return None
    if nonzero:  # a ring of the same direction cuts nothing
        turns = shapely.is_ccw(lines)
        others = [index for index in others if turns[index] != turns[largest]]
    return rings[largest], tuple(rings[index] for index in others)


def _holes_run_opposite(outlines: Sequence[Outline]) -> bool:
    """Return whether each hole runs in the opposite direction to its outline."""
    rings = [ring for outer, holes in outlines if holes for ring in (outer, *holes)]
    if not rings:
        return True
    turns = dict(zip(map(id, rings), _directions(_polygons(rings)).tolist(), strict=True))
    return all(turns[id(outer)] != turns[id(hole)] for outer, holes in outlines for hole in holes)


def _cut(rings: Sequence[Points], touching: BoolArray, sound: BoolArray, nonzero: bool) -> list[Outline]:
    """Split rings where they touch; return the outlines of the faces that are inside."""
    polygons = _polygons(rings)
    lines = shapely.get_exterior_ring(polygons)
    parts = [*lines[~touching], *shapely.get_parts(shapely.unary_union(lines[touching]))]
    faces = shapely.get_parts(shapely.polygonize(parts))
    points = shapely.point_on_surface(faces)
    count = np.zeros(len(faces), np.int64)
    ring, point = shapely.STRtree(points).query(polygons[sound], predicate="contains")
    np.add.at(count, point, _directions(polygons[sound])[ring] if nonzero else 1)
    if not sound.all():  # self-crossing rings count by their winding number
        count += _winding_numbers(points, _edges(_chosen(rings, ~sound)))
    whole = shapely.coverage_union_all(faces[count != 0 if nonzero else count % 2 == 1])
    return [_rings_of(polygon) for polygon in shapely.get_parts(whole)]


def _chosen(rings: Sequence[Points], which: BoolArray) -> list[Points]:
    return [rings[index] for index in np.flatnonzero(which).tolist()]


def _polygons(rings: Sequence[Points]) -> Polygons:
    lengths = [len(ring) for ring in rings]
    lines = shapely.linearrings(np.concatenate(rings), indices=np.repeat(np.arange(len(rings)), lengths))
    polygons: Polygons = shapely.polygons(lines)
    return polygons


def _boxes(rings: Sequence[Points]) -> tuple[Points, Points]:
    """Return the corners of each ring's bounding box."""
    points, starts = np.concatenate(rings), np.cumsum([0, *map(len, rings)])[:-1]
    return np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)


def _pairs_that_touch(
    polygons: Polygons, rings: Sequence[Points], name: str
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield pairs of rings, the smaller first, whose lines share a point."""
    shapely.prepare(polygons)
    tree, area = shapely.STRtree(polygons), shapely.area(polygons)
    tried = 0
    for batch in _batches(_meetings(*_boxes(rings))):
        inner, outer = tree.query(polygons[batch])
        inner = inner + batch.start
        first = (area[inner] < area[outer]) | ((area[inner] == area[outer]) & (inner < outer))
        inner, outer = inner[first], outer[first]
        tried = _check_pairs(tried + len(inner), len(polygons), name)
        meet = shapely.intersects(polygons[outer], polygons[inner])
        inner, outer = inner[meet], outer[meet]
        apart = shapely.contains_properly(polygons[outer], polygons[inner])
        yield inner[~apart], outer[~apart]


def _check_pairs(tried: int, rings: int, name: str) -> int:
    if tried > _MOST_PAIRS:
        raise AnnotationError(f"{name}: too many of its {rings:,} outlines are nested. Split it into several files.")
    return tried


def _directions(polygons: Polygons) -> npt.NDArray[np.int64]:
    """Return 1 for each counter-clockwise ring and -1 for each clockwise one."""
    return np.where(shapely.is_ccw(shapely.get_exterior_ring(polygons)), 1, -1)


def _rings_of(polygon: shapely.Polygon) -> Outline:
    lines = (polygon.exterior, *polygon.interiors)
    outer, *holes = (np.ascontiguousarray(shapely.get_coordinates(line)[:-1]) for line in lines)
    return outer, tuple(holes)


def _edges(rings: Sequence[Points]) -> npt.NDArray[np.float64]:
    """Return the segments of all rings, shape (segments, 2 ends, 2 coordinates)."""
    ends = [np.stack([ring, np.concatenate([ring[1:], ring[:1]])], axis=1) for ring in rings]
    return np.concatenate(ends)


def _count_pairs(rings: Sequence[Points]) -> int:
    """Return an upper bound of the pairs of segments that are tested for crossings."""
    edges = _edges(rings)
    return int(_meetings(edges.min(axis=1), edges.max(axis=1)).sum())


def _meetings(low: Points, high: Points) -> npt.NDArray[np.intp]:
    """Return how many boxes share rows with each box, or columns if those are fewer."""
    found = []
    for axis in (0, 1):
        begun = np.searchsorted(np.sort(low[:, axis]), high[:, axis], "right")
        found.append(begun - np.searchsorted(np.sort(high[:, axis]), low[:, axis], "left"))
    return min(found, key=lambda counts: int(counts.sum()))


def _batches(counts: npt.NDArray[np.intp]) -> Iterator[slice]:
    """Yield slices of boxes whose overlapping pairs fit into bounded memory."""
    total, begin = np.cumsum(counts), 0
    while begin < len(counts):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(total.searchsorted(done + _PAIRS, "right")))
        yield slice(begin, end)
        begin = end


def _winding_numbers(points: Polygons, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the winding number of the segments around each point."""
    x, y = shapely.get_x(points), shapely.get_y(points)
    tree = shapely.STRtree(shapely.linestrings(edges))
    far = float(edges[:, :, 0].max()) + 1
    count = np.zeros(len(points), np.int64)
    step = max(1, _PAIRS // len(edges))
    for start in range(0, len(points), step):
        part = slice(start, start + step)
        here, edge = tree.query(shapely.box(x[part], y[part], np.full_like(x[part], far), y[part]))
        here = here + start
        (x0, y0), (x1, y1) = edges[edge, 0].T, edges[edge, 1].T
        crosses = (y0 <= y[here]) != (y1 <= y[here])
        with np.errstate(divide="ignore", invalid="ignore"):
            crosses &= x0 + (y[here] - y0) * (x1 - x0) / (y1 - y0) > x[here]
        np.add.at(count, here[crosses], np.where(y0 < y1, 1, -1)[crosses])
    return count
