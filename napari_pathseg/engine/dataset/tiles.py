"""Tiles of the working grid, and how they are read beyond the edge of a slide.

A tile is a square.  For prediction it is read with a halo, which is cropped afterwards so
that no seam shows; beyond the slide's edge the halo is mirrored.  Arrays only: no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import Float32Array, UInt8Array

_T = TypeVar("_T", bound=np.generic)
CONTEXT_DOWNSAMPLE = 4  # a tile's context has its shape in pixels, and is four times as wide on the slide
MAX_CACHED_PIXELS = 400_000_000  # of the slides of a role together, 1.6 GB; the others are read tile by tile


@dataclass(frozen=True)
class Tile:
    """A training tile: image, labels, weights and surroundings.

    Attributes
    ----------
    pixels
        RGB, shape (side, side, 3).
    labels
        Class indices, shape (side, side); 0 where unlabelled.
    weights
        Weight of each pixel in the loss, shape (side, side); None if all weigh the same.
    context
        RGB of the surroundings: same centre and shape, four times as wide; None if the network takes none.
    """

    pixels: UInt8Array
    labels: UInt8Array
    weights: Float32Array | None = None
    context: UInt8Array | None = None


def grow(region: Region, halo: int, multiple: int) -> Region:
    """Return a box grown by `halo` on each side, then below and right to a `multiple` of pixels."""
    height, width = region.height + 2 * halo, region.width + 2 * halo
    return Region(
        region.top - halo,
        region.left - halo,
        -(-height // multiple) * multiple,
        -(-width // multiple) * multiple,
    )


def read_mirrored(read: Callable[[Region], npt.NDArray[_T]], region: Region, shape: tuple[int, int]) -> npt.NDArray[_T]:
    """Return the pixels of a box that may extend beyond an array of `shape`, mirrored at its edges.

    Parameters
    ----------
    read
        Returns the pixels of a box inside the array, shape (rows, columns, ...).
    region
        The box.
    shape
        Rows and columns of the array.
    """
    rows = mirror(np.arange(region.top, region.bottom), shape[0])
    columns = mirror(np.arange(region.left, region.right), shape[1])
    top, left = int(rows.min()), int(columns.min())
    inside = Region(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
    pixels = read(inside)
    if (inside.top, inside.height) != (region.top, region.height):
        pixels = pixels.take(rows - top, axis=0)
    if (inside.left, inside.width) != (region.left, region.width):
        pixels = pixels.take(columns - left, axis=1)
    return pixels


def mirror(positions: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """Reflect positions into 0 ... size - 1 without repeating the edge pixel."""
    if size == 1:
        return np.zeros_like(positions)
    period = 2 * (size - 1)
    folded = np.abs(positions) % period
    return np.where(folded >= size, period - folded, folded)
