"""From masks to contours: the outlines of a class, exact enough to paint the same mask again.

An outline runs half-way between the pixels inside and those outside and cuts each corner, so
outlines of classes that touch share their border and never overlap.
"""

from itertools import pairwise

import contourpy
import numpy as np
import numpy.typing as npt

from napari_pathseg.data.annotation import Contour, Points
from napari_pathseg.data.geometry import Region


def outline(
    mask: npt.NDArray[np.uint8], label: int, downsample: int = 1, offset: tuple[int, int] = (0, 0)
) -> list[Contour]:
    """Return the outlines of the pixels of `mask` that equal `label`, with their holes.

    Parameters
    ----------
    mask
        Class indices, or a part of them.
    label
        The class to outline; the contours bear it.
    downsample
        Level-0 pixels per mask pixel.
    offset
        Row and column, in mask pixels, of the part's first pixel in the whole mask.

    Returns
    -------
    contours
        One for each patch, ``(row, column)`` in level-0 pixels.  Pixels that touch only at
        a corner are patches of their own.  :func:`rasterize` gives back every pixel.

    Examples
    --------
    >>> mask = np.zeros((4, 4), np.uint8)
    >>> mask[1, 1:3] = 2
    >>> [contour] = outline(mask, 2)
    >>> contour.exterior.tolist()
    [[1.0, 0.5], [0.5, 1.0], [0.5, 2.0], [1.0, 2.5], [1.5, 2.0], [1.5, 1.0]]
    """
    chosen = mask == label
    box = _box(chosen)
    if box.empty:
        return []
    padded = np.pad(chosen[box.slices], 1).astype(np.float64)
    lines = contourpy.contour_generator(z=padded, fill_type="OuterOffset").filled(0.5, np.inf)
    first = np.array([offset[0] + box.top - 1, offset[1] + box.left - 1], np.float64)
    contours = []
    for points, starts in zip(*lines, strict=True):
        rings = (points[begin : end - 1, ::-1] for begin, end in pairwise(starts))
        exterior, *holes = ((_corners(ring) + first) * downsample + (downsample - 1) / 2 for ring in rings)
        contours.append(Contour(exterior, tuple(holes), label=label))
    return contours


def _box(chosen: npt.NDArray[np.bool_]) -> Region:
    """Return the smallest box around what is chosen."""
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not len(rows):
        return Region(0, 0, 0, 0)
    top, left = int(rows[0]), int(columns[0])
    return Region(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


def _corners(ring: Points) -> Points:
    """Return the ring without the points where it goes straight on."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    corner = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return np.ascontiguousarray(ring[corner])
