"""Area averages: the pixels of a coarser grid from a block of finer ones.

A grid begins at a corner and steps `factor` pixels, whole or not.  Arrays only: which level
of a slide the pixels come from is decided in :mod:`napari_pathseg.slides.slide`.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array

# Rows of a grid that are averaged together: their source stays in the processor's cache.
_ROWS = 32


def area_resample(
    read: Callable[[Region], UInt8Array],
    within: tuple[int, int],
    corner: tuple[float, float],
    factor: float,
    shape: tuple[int, int],
) -> UInt8Array:
    """Return a grid of averages, each of ``factor x factor`` pixels.

    Parameters
    ----------
    read
        Returns the pixels of a box of the finer image.
    within
        Rows and columns of the finer image; grid pixels over its edge average what lies inside.
    corner
        Where the grid begins, (row, column) in finer pixels.
    factor
        Finer pixels per grid pixel; below 1 they are interpolated.
    shape
        Rows and columns of the grid.

    Returns
    -------
    averages : uint8 array of `shape`, and 3 for colour
        Means by area: a pixel that lies in two grid pixels counts in each by its part in it.
    """
    ends = [start + count * factor for start, count in zip(corner, shape, strict=True)]
    (top, height), (left, width) = (
        _span(start, end, stop) for start, end, stop in zip(corner, ends, within, strict=True)
    )
    block = read(Region(top, left, height, width))
    if all(float(number).is_integer() for number in (factor, *corner)):
        averages = block if factor == 1 else np.array(Image.fromarray(block).reduce(int(factor)))
        return _grow(averages, shape)
    start = corner[0] - top, corner[1] - left
    if factor >= 1:
        return _weigh(block, start, factor, shape)
    bottom, right = ends[0] - top, ends[1] - left
    block = _grow(block, (math.ceil(bottom), math.ceil(right)))
    box = (start[1], start[0], right, bottom)
    return np.array(Image.fromarray(block).resize(shape[::-1], Image.Resampling.BILINEAR, box=box))


def _weigh(block: UInt8Array, start: tuple[float, float], factor: float, shape: tuple[int, int]) -> UInt8Array:
    """Return the averages by area of a grid that begins at `start` in `block`, a few rows at a time."""
    pixels = np.empty((*shape, *block.shape[2:]), np.uint8)
    down, down_weights = _shares(start[0], factor, shape[0], block.shape[0])
    across, across_weights = _shares(start[1], factor, shape[1], block.shape[1])
    for top in range(0, shape[0], _ROWS):
        here = slice(top, top + _ROWS)
        rows = _sum(block, 0, down[here], down_weights[here])
        pixels[here] = np.rint(_sum(rows, 1, across, across_weights))
    return pixels


def _shares(start: float, factor: float, count: int, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """Return which of `size` pixels each of `count` steps covers, and with what weights, which add up to 1."""
    ends = np.minimum(start + factor * np.arange(count + 1), size)
    ends[:-1] = np.minimum(ends[:-1], size - 1)
    pixels = np.floor(ends[:-1]).astype(np.intp)[:, None] + np.arange(math.ceil(factor) + 1)
    covered = np.minimum(pixels + 1, ends[1:, None]) - np.maximum(pixels, ends[:-1, None])
    weights = np.clip(covered, 1e-12, None) * (pixels < size)
    return np.minimum(pixels, size - 1), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _sum(
    block: npt.NDArray[Any], axis: int, pixels: npt.NDArray[np.intp], weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the weighted sums of rows or columns of a block."""
    form = (-1,) + (1,) * (block.ndim - 1 - axis)
    total = np.take(block, pixels[:, 0], axis=axis) * weights[:, 0].reshape(form)
    for tap in range(1, pixels.shape[1]):
        if weights[:, tap].any():
            total += np.take(block, pixels[:, tap], axis=axis) * weights[:, tap].reshape(form)
    return total


def _span(start: float, end: float, stop: int) -> tuple[int, int]:
    """Return the first pixel and the count of pixels that cover start to end, at least one, below `stop`."""
    first = min(math.floor(start), stop - 1)
    return first, max(1, min(math.ceil(end), stop) - first)


def _grow(block: UInt8Array, shape: tuple[int, int]) -> UInt8Array:
    """Return `block` grown to at least `shape` by repeating its last row and column."""
    missing = [(0, max(0, want - have)) for want, have in zip(shape, block.shape[:2], strict=True)]
    if any(after for _, after in missing):
        return np.pad(block, missing + [(0, 0)] * (block.ndim - 2), mode="edge")
    return block
