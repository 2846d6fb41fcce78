"""Area averages: the pixels of a coarser grid from a block of finer ones.

A grid begins at a corner and steps `factor` pixels, whole or not.  Arrays only: which level
of a slide the pixels come from is decided in :mod:`napari_pathseg.data.slide`.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.data.geometry import Region

Pixels = npt.NDArray[np.uint8]


def average(
    read: Callable[[Region], Pixels],
    within: tuple[int, int],
    corner: tuple[float, float],
    factor: float,
    shape: tuple[int, int],
) -> Pixels:
    """Return a grid of averages, each of ``factor x factor`` pixels.

    Parameters
    ----------
    read
        Gives the pixels of a box of the finer picture.
    within
        Rows and columns of the finer picture; what hangs over its edge averages what lies inside.
    corner
        Where the grid begins, (row, column) in finer pixels.
    factor
        Finer pixels per grid pixel; below 1 they are interpolated.
    shape
        Rows and columns of the grid.

    Returns
    -------
    averages : uint8 array of `shape`, and 3 for colour
        Exact means where `factor` and `corner` are whole; else a pixel counts where its centre lies.
    """
    ends = [start + count * factor for start, count in zip(corner, shape, strict=True)]
    (top, height), (left, width) = (
        _span(start, end, stop) for start, end, stop in zip(corner, ends, within, strict=True)
    )
    block = read(Region(top, left, height, width))
    if all(float(number).is_integer() for number in (factor, *corner)):
        averages = block if factor == 1 else np.array(Image.fromarray(block).reduce(int(factor)))
        return _grow(averages, shape)
    bottom, right = ends[0] - top, ends[1] - left
    block = _grow(block, (math.ceil(bottom), math.ceil(right)))
    method = Image.Resampling.BOX if factor >= 1 else Image.Resampling.BILINEAR
    box = (corner[1] - left, corner[0] - top, right, bottom)
    return np.array(Image.fromarray(block).resize(shape[::-1], method, box=box))


def _span(start: float, end: float, stop: int) -> tuple[int, int]:
    """Return the first pixel and the count of pixels that cover start to end, at least one, below `stop`."""
    first = min(math.floor(start), stop - 1)
    return first, max(1, min(math.ceil(end), stop) - first)


def _grow(block: Pixels, shape: tuple[int, int]) -> Pixels:
    """Return `block` grown to at least `shape` by repeating its last row and column."""
    missing = [(0, max(0, want - have)) for want, have in zip(shape, block.shape[:2], strict=True)]
    if any(after for _, after in missing):
        return np.pad(block, missing + [(0, 0)] * (block.ndim - 2), mode="edge")
    return block
