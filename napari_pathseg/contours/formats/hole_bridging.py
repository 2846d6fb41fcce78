"""Outlines with holes as one ring, for formats without holes.

The ring runs around the outline, crosses to a hole, runs around it the other way and returns
over the same bridge.  Every program fills it correctly.  The parts are described by a short text
that is written with it: their numbers of points, negative for a part that was reversed, as in
``5 4 -3``.
"""

from collections.abc import Sequence

import numpy as np

from napari_pathseg.contours.contour import Points

_MAX_PART_LENGTH = 12  # letters


def join(rings: Sequence[Points]) -> tuple[Points, str]:
    """Return an outline and its holes as one ring, and the text that describes its parts.

    Examples
    --------
    >>> square = np.array([[0.0, 0], [0, 9], [9, 9], [9, 0]])
    >>> line, parts = join([square, square[::-1] / 3 + 3])
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


def split(line: Points, parts: str) -> list[Points]:
    """Return the outline and holes that were joined into a ring; the ring alone if `parts` does not fit it.

    Examples
    --------
    >>> [len(ring) for ring in split(np.zeros((10, 2)), "4 4")]
    [4, 4]
    >>> [len(ring) for ring in split(np.zeros((10, 2)), "4 5")]
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


def _turns_left(ring: Points) -> bool:
    x, y = (ring - ring[0]).T
    return bool(x @ np.roll(y, -1) - y @ np.roll(x, -1) > 0)
