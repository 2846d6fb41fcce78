"""Where tiles lie on a slide, and how they are read beyond its edge.

A tile is a square of the working grid.  Its halo is read, computed and cut off again, so
that no seam shows; beyond the slide's edge the halo is mirrored.  Arrays only: no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array


@dataclass(frozen=True)
class Tile:
    """What a network learns from at once.

    Attributes
    ----------
    pixels
        RGB, shape (side, side, 3).
    labels
        Class indices, shape (side, side); 0 where nothing may be learnt.
    weights
        What each pixel counts, shape (side, side) float32; None where all count alike.
    context
        RGB of the surroundings: the same centre and shape, four times as wide; None without.
    """

    pixels: UInt8Array
    labels: UInt8Array
    weights: npt.NDArray[np.float32] | None = None
    context: UInt8Array | None = None


def grow(region: Region, halo: int, multiple: int) -> Region:
    """Return a box with `halo` pixels around it, and more below and right up to a `multiple`."""
    height, width = region.height + 2 * halo, region.width + 2 * halo
    return Region(
        region.top - halo,
        region.left - halo,
        -(-height // multiple) * multiple,
        -(-width // multiple) * multiple,
    )


def read_mirrored(read: Callable[[Region], UInt8Array], region: Region, shape: tuple[int, int]) -> UInt8Array:
    """Return the pixels of a box that may hang over an array of `shape`, mirrored at its edges.

    Parameters
    ----------
    read
        Returns the pixels of a box inside the array, shape (rows, columns, ...).
    region
        The wanted box; it shares at least one pixel with the array.
    shape
        Rows and columns of the array.
    """
    inside = region.clip(shape)
    pixels = read(inside)
    missing = [
        (inside.top - region.top, region.bottom - inside.bottom),
        (inside.left - region.left, region.right - inside.right),
    ]
    if not np.any(missing):
        return pixels
    for axis, (before, after) in enumerate(missing):
        size = pixels.shape[axis]
        positions = np.arange(-before, size + after)
        pixels = pixels.take(_mirror(positions, size), axis=axis)
    return pixels


def _mirror(positions: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """Fold positions back into 0 ... size - 1, the edge pixel not repeated."""
    if size == 1:
        return np.zeros_like(positions)
    period = 2 * (size - 1)
    folded = np.abs(positions) % period
    return np.where(folded >= size, period - folded, folded)
