"""A mask as layer data for napari: levels to display, and an array of all pixels that can be painted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers._multiscale_data import MultiScaleData

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask, Provenance
from napari_pathseg.masks.edits import paint
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked
from napari_pathseg.masks.zarr_store import CHUNK

UNREVIEWED_OFFSET = 128  # added to the class on screen for unreviewed model pixels


def encode_display(pixels: UInt8Array) -> UInt8Array:
    """Return the displayed values of labels and provenance, ``(2, rows, columns)``."""
    labels, provenance = pixels
    unreviewed = (provenance == Provenance.MODEL) & (labels > 0)
    shown: UInt8Array = labels + unreviewed.astype(np.uint8) * np.uint8(UNREVIEWED_OFFSET)
    return shown


def read_display(mask: Mask, region: Region, level: int) -> UInt8Array:
    """Return the displayed values of a box of a level."""
    return encode_display(mask.preview(region, level))


def read_labels(mask: Mask, region: Region, level: int) -> UInt8Array:
    """Return the labels of a box of a level."""
    labels: UInt8Array = mask.preview(region, level)[0]
    return labels


class MaskLevel:
    """One level of a mask as a read-only array; `read` returns the values of a box of it."""

    ndim = 2
    dtype = np.dtype(np.uint8)
    chunks = (CHUNK, CHUNK)

    def __init__(self, mask: Mask, level: int, read: Callable[[Mask, Region, int], UInt8Array]) -> None:
        self.mask, self.level, self.read = mask, level, read
        self.shape = mask.shapes[level]

    @property
    def size(self) -> int:
        """The number of pixels."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, key: Any) -> Any:
        region = bounding_region(key, self.shape)
        return self._read(region)[relative_index(key, region)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self._read(Region(0, 0, *self.shape)), dtype=dtype)

    def _read(self, region: Region) -> UInt8Array:
        return self.read(self.mask, region, self.level)


class MaskData(MultiScaleData):  # type: ignore[misc]
    """A mask as multiscale data for napari that is also an array of its pixels.

    An integer index selects a level, as in napari; slices and integer arrays select pixels, and
    assigning to these paints.

    Attributes
    ----------
    locked
        Classes whose pixels are not changed.
    """

    locked: Locked = NONE_LOCKED

    def __init__(self, mask: Mask) -> None:
        self.mask = mask
        super().__init__([MaskLevel(mask, level, read_labels) for level in range(len(mask.shapes))])

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, int | np.integer):
            return super().__getitem__(int(key))
        region = bounding_region(key, self.shape)
        return self.mask.read(region)[0][relative_index(key, region)]

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write painted pixels with human provenance."""
        region = bounding_region(key, self.shape)
        painted = self.mask.read(region)[0]
        painted[relative_index(key, region)] = value
        paint(self.mask, region, painted, None, self.locked)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self.mask.read(Region(0, 0, *self.mask.shape))[0], dtype=dtype)


def bounding_region(key: Any, shape: tuple[int, ...]) -> Region:
    """Return the smallest region around an index of slices, whole numbers or arrays."""
    if not isinstance(key, tuple):
        key = (key, slice(None))
    starts, sizes = [], []
    for part, length in zip(key, shape, strict=True):
        if isinstance(part, slice):
            start, stop, _ = part.indices(length)
        else:
            numbers = np.atleast_1d(np.asarray(part))
            start, stop = int(numbers.min()), int(numbers.max()) + 1
        starts.append(start)
        sizes.append(max(0, stop - start))
    return Region(*starts, *sizes)


def relative_index(key: Any, region: Region) -> Any:
    """Convert an index of the whole mask into one of `region`."""
    if not isinstance(key, tuple):
        key = (key, slice(None))
    origin = (region.top, region.left)
    return tuple(
        slice(None, None, part.step) if isinstance(part, slice) else np.asarray(part) - first
        for part, first in zip(key, origin, strict=True)
    )
