"""Binary morphology on tiles: smooth or dilate a class, and find new labels for pixels that lost theirs.

All arithmetic is in integers, so the result of a pixel depends only on the pixels around it and
not on where a tile begins.  Arrays only: a window goes in, the pixels of its middle come out.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry.arrays import BoolArray, UInt8Array

Sides = tuple[tuple[int, int], tuple[int, int]]  # pixels before and after, of rows and of columns
_Weights = npt.NDArray[Any]  # of the smallest unsigned type that holds their sum
_FARTHEST_SMOOTHING = 2000  # pixels; the weights of a wider kernel need more than 64 bits
_Columns = npt.NDArray[np.int32]
_Integers = npt.NDArray[np.int64]
_NOWHERE = 1 << 20  # farther than any pixel of a window


def smoothing_reach(radius_px: float) -> int:
    """Return the distance in pixels that :func:`majority_smooth` reads.

    Three box filters of that total reach have about the spread of a Gaussian of sigma
    ``radius_px / 2``, which is that of a disc of the radius.
    """
    return min(max(1, round(1.5 * (radius_px - 1))), _FARTHEST_SMOOTHING)


def majority_smooth(inside: BoolArray, reach: int) -> BoolArray:
    """Return which pixels have a weighted majority of `inside` around them, without `reach` pixels on each side.

    The weights are those of three successive box filters.  Their sum is odd, so there is no tie.
    """
    halves = [(reach + number) // 3 for number in range(3)]
    total = math.prod(2 * half + 1 for half in halves) ** 2
    smallest = next(kind for kind in (np.uint16, np.uint32, np.uint64) if total <= np.iinfo(kind).max)
    weights: _Weights = inside.astype(smallest)
    for half in halves:
        weights = _sums_of_rows(weights, half)
    for half in halves:
        weights = _sums_of_columns(weights, half)
    most: BoolArray = weights > total // 2
    return most


def _sums_of_rows(values: _Weights, half: int) -> _Weights:
    """Return the sums of ``2*half + 1`` rows, without `half` rows at both ends."""
    width = 2 * half + 1
    sums = np.empty((len(values) - width + 1, values.shape[1]), values.dtype)
    sums[0] = values[:width].sum(axis=0, dtype=values.dtype)
    for row in range(1, len(sums)):  # whole rows at once: numpy's cumsum runs down each column
        np.add(sums[row - 1], values[row + width - 1], out=sums[row])
        sums[row] -= values[row - 1]
    return sums


def _sums_of_columns(values: _Weights, half: int) -> _Weights:
    """Return the sums of ``2*half + 1`` columns, without `half` columns at both ends."""
    sums: _Weights = np.cumsum(values, axis=1, dtype=values.dtype)  # may overflow; the differences stay right
    boxes = sums[:, 2 * half :].copy()
    boxes[:, 1:] -= sums[:, : -2 * half - 1]
    return boxes


def squared_radius(distance_px: float) -> int:
    """Return the largest squared distance between two pixels that are at most `distance_px` apart."""
    return math.floor(distance_px * distance_px + 1e-6)  # 3 um at 0.1 um are 30 pixels, not 29.999...


def dilate(inside: BoolArray, limit: int) -> BoolArray:
    """Return `inside` dilated by a disc of squared radius `limit`, without that radius on each side."""
    margin = math.isqrt(limit)
    before, after = _nearest_in_rows(inside, np.zeros(inside.shape, np.uint8))
    columns = np.arange(inside.shape[1], dtype=np.int32)
    away = np.minimum(columns - (before >> 8), (after >> 8) - columns)[:, margin : inside.shape[1] - margin]
    capped = np.uint8 if margin < 255 else np.uint16
    away = np.minimum(away, np.iinfo(capped).max).astype(capped)
    height = len(inside) - 2 * margin
    near: BoolArray = away[margin : margin + height] <= margin
    for step in range(1, margin + 1):
        above, below = away[margin - step :][:height], away[margin + step :][:height]
        near |= np.minimum(above, below) <= math.isqrt(limit - step * step)
    return near


def nearest_labels(labels: UInt8Array, outside: BoolArray, lost: BoolArray) -> UInt8Array:
    """Return the label of the nearest pixel of `outside` for each pixel of `lost`; ties go to the largest label."""
    found = np.flatnonzero(np.bincount(labels[outside], minlength=1))
    if len(found) == 1:
        return np.full(np.count_nonzero(lost), found[0], np.uint8)
    nearest = _nearest_in_rows(outside, labels)
    rows, columns = np.nonzero(lost)
    best = _keys_at(nearest, rows, columns)
    for step in range(1, len(labels)):
        left = np.flatnonzero(best >> 8 >= step * step)
        if not len(left):
            break
        for row in (rows[left] - step, rows[left] + step):
            # beyond the window its last row is repeated, which was nearer before
            beside = _keys_at(nearest, row.clip(0, len(labels) - 1), columns[left]) + (step * step << 8)
            best[left] = np.minimum(best[left], beside)
    return (255 - (best & 255)).astype(np.uint8)


def _keys_at(nearest: tuple[_Columns, _Columns], rows: _Integers, columns: _Integers) -> _Integers:
    """Return the squared distance to the nearest pixel in the row, times 256, plus 255 less its label."""
    before, after = nearest[0][rows, columns].astype(np.int64), nearest[1][rows, columns].astype(np.int64)
    keys_before = ((columns - (before >> 8)) ** 2 << 8) | (255 - (before & 255))
    keys_after = (((after >> 8) - columns) ** 2 << 8) | (after & 255)
    keys: _Integers = np.minimum(keys_before, keys_after)
    return keys


def _nearest_in_rows(inside: BoolArray, labels: UInt8Array) -> tuple[_Columns, _Columns]:
    """Return for each pixel the nearest one of `inside` in its row, at or before it, and at or after it.

    A pixel is encoded as its column times 256 plus its label, or plus 255 less its label after it.
    """
    columns = np.arange(inside.shape[1], dtype=np.int32) << 8
    before = np.where(inside, columns | labels, np.int32(-_NOWHERE << 8))
    after = np.where(inside, columns | (255 - labels), np.int32(_NOWHERE << 8))
    before = np.maximum.accumulate(before, axis=1, out=before)
    after = np.minimum.accumulate(after[:, ::-1], axis=1)[:, ::-1]
    return before, after
