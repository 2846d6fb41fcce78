"""The orientation tag of TIFF and EXIF: from the image as stored to the image as displayed.

The tag says where the first stored row and column lie in the displayed image:
1 top and left, 2 top and right, 3 bottom and right, 4 bottom and left; 5 to 8 the same with rows
and columns exchanged (left-top, right-top, right-bottom, left-bottom).  Source: TIFF 6.0, tag 274,
which EXIF takes over (CIPA DC-008, 4.6.5).  What is outside 1 to 8 counts as 1, as in Pillow.
"""

import struct
from typing import Any, NamedTuple

import numpy as np

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array

_ORIENTATION = 274
_SHORT = 3


class Orientation(NamedTuple):
    """The steps from the stored to the displayed image: rows and columns exchanged, then mirrored."""

    exchange: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    def shape(self, stored: tuple[int, int]) -> tuple[int, int]:
        """Return the displayed rows and columns of an image stored with `stored`."""
        return (stored[1], stored[0]) if self.exchange else stored

    def stored_box(self, box: Region, stored: tuple[int, int]) -> Region:
        """Return the box of the stored image, of shape `stored`, that shows a box of the displayed one."""
        rows, columns = self.shape(stored)
        top = rows - box.bottom if self.flip_rows else box.top
        left = columns - box.right if self.flip_columns else box.left
        if self.exchange:
            return Region(left, top, box.width, box.height)
        return Region(top, left, box.height, box.width)

    def apply(self, pixels: UInt8Array) -> UInt8Array:
        """Return stored pixels (rows, columns, ...) as displayed, contiguous in memory."""
        if self.exchange:
            pixels = pixels.swapaxes(0, 1)
        return np.ascontiguousarray(pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1])


UPRIGHT = Orientation()
_BY_TAG = {
    2: Orientation(flip_columns=True),
    3: Orientation(flip_rows=True, flip_columns=True),
    4: Orientation(flip_rows=True),
    5: Orientation(exchange=True),
    6: Orientation(exchange=True, flip_columns=True),
    7: Orientation(exchange=True, flip_rows=True, flip_columns=True),
    8: Orientation(exchange=True, flip_rows=True),
}


def orientation_of(tag: Any) -> Orientation:
    """Return the orientation for the value of a tag.

    >>> orientation_of(6).shape((20, 30))
    (30, 20)
    """
    return _BY_TAG.get(tag, UPRIGHT) if isinstance(tag, int) else UPRIGHT


def exif_orientation(exif: Any) -> Orientation:
    """Return the orientation in an EXIF block (bytes, with or without ``Exif`` before them).

    Read here and not by a library: only the one tag matters, and a damaged block means 1.
    """
    if not isinstance(exif, bytes):
        return UPRIGHT
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return UPRIGHT
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
        for index in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, start + 2 + 12 * index)
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return orientation_of(value)
    except struct.error:
        return UPRIGHT
    return UPRIGHT
