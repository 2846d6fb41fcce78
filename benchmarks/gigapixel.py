"""Writes pyramids of any size in seconds: one field is repeated, and each of its tiles is compressed once."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from napari_pathseg.geometry.arrays import UInt8Array

TILE = 512
_COARSEST = 1024  # longest side of the coarsest level


def write_gigapixels(path: Path, side: int, field: UInt8Array) -> None:
    """Write a square JPEG pyramid of `side` pixels that repeats a square field of 512 pixels times a power of two."""
    sides = [side]
    while sides[-1] > _COARSEST:
        sides.append(-(-sides[-1] // 2))
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level, size in enumerate(sides):
            options = {"subifds": len(sides) - 1} if level == 0 else {"subfiletype": 1}
            tiff.write(
                _encoded(field, level, size, path.with_suffix(".part")),
                shape=(size, size, 3),
                dtype=np.uint8,
                photometric="rgb",
                compression="jpeg",
                tile=(TILE, TILE),
                **options,
            )


def _encoded(field: UInt8Array, level: int, size: int, scratch: Path) -> Iterator[bytes]:
    """Yield the compressed tiles of a level in order."""
    coarse = field
    for _ in range(level):
        pixels = coarse.astype(np.uint16)
        coarse = ((pixels[::2, ::2] + pixels[1::2, ::2] + pixels[::2, 1::2] + pixels[1::2, 1::2]) // 4).astype(np.uint8)
        if len(coarse) < TILE:
            coarse = np.tile(coarse, (2, 2, 1))
    tifffile.imwrite(scratch, coarse, photometric="rgb", compression="jpeg", tile=(TILE, TILE))
    with tifffile.TiffFile(scratch) as file:
        page = file.pages[0]
        segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
        file.filehandle.seek(0)
        content = file.filehandle.read()
    scratch.unlink()
    across, count = len(coarse) // TILE, -(-size // TILE)
    for row in range(count):
        for column in range(count):
            start, length = segments[row % across * across + column % across]
            yield content[start : start + length]
