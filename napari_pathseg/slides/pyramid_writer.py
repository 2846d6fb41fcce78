"""Write a tiled pyramid in one pass over its rows, with two bands of rows in memory.

The file is a BigTIFF with lossless tiles: 512 x 512, horizontal differences, deflate.  Tiles of all
levels are written as they fill up; the pages that list them come last.  Each level halves the one before,
rounded up, until the longest side is 1024 or less, by averaging 2 x 2 pixels, or those that exist at the
lower and right edge.  Sources: TIFF 6.0 and its supplement on Predictor and tiles;
BigTIFF, https://www.awaresystems.be/imaging/tiff/bigtiff.html.
"""

import struct
from typing import BinaryIO

import imagecodecs
import numpy as np
from PIL import Image

from napari_pathseg.geometry import TILE_SIDE, pyramid_shapes
from napari_pathseg.geometry.arrays import UInt8Array

_DEFLATE, _HORIZONTAL, _CENTIMETRE = 8, 2, 3
_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16
_FORMATS = {_SHORT: "H", _LONG: "I", _RATIONAL: "I", _LONG8: "Q"}
# The fastest level of deflate; a better one takes five times as long for a tenth less.
_EFFORT = 1


class PyramidWriter:
    """Write a pyramid into an open file: `add` rows from the top down, then `finish`."""

    def __init__(self, file: BinaryIO, shape: tuple[int, int], channels: int, mpp: float | None) -> None:
        self._file, self._channels, self._mpp = file, channels, mpp
        self._levels = [_Level(size) for size in pyramid_shapes(shape)]
        # Byte order, BigTIFF, size of offsets, and the offset of the first page, which is not known yet.
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))

    def add(self, rows: UInt8Array) -> None:
        """Append the next rows of level 0: (rows, columns) or (rows, columns, 3)."""
        self._add(0, rows)

    def finish(self) -> None:
        """Write the buffered rows, and the pages."""
        for index, level in enumerate(self._levels):
            if level.buffered:
                self._write_band(index, level.take())
        link = 8
        for index in range(len(self._levels)):
            link = self._write_page(index, link)

    def _add(self, index: int, rows: UInt8Array) -> None:
        level = self._levels[index]
        level.buffered.append(rows)
        while sum(map(len, level.buffered)) >= TILE_SIDE:
            band = level.take()
            if len(band) > TILE_SIDE:
                level.buffered.append(band[TILE_SIDE:])
            self._write_band(index, band[:TILE_SIDE])

    def _write_band(self, index: int, band: UInt8Array) -> None:
        """Write one row of tiles, and pass it at half size to the next level."""
        level = self._levels[index]
        for left in range(0, level.shape[1], TILE_SIDE):
            part = band[:, left : left + TILE_SIDE]
            tile = np.zeros((TILE_SIDE, TILE_SIDE, *part.shape[2:]), np.uint8)
            tile[: part.shape[0], : part.shape[1]] = part
            tile[:, 1:] -= tile[:, :-1].copy()
            data = imagecodecs.zlib_encode(tile.tobytes(), level=_EFFORT)
            level.offsets.append(self._file.tell())
            level.counts.append(self._file.write(data))
        if index + 1 < len(self._levels):
            # At the edges `reduce` averages the pixels that exist.
            self._add(index + 1, np.array(Image.fromarray(band).reduce(2)))

    def _write_page(self, index: int, link: int) -> int:
        """Write the page of a level and its offset at `link`; return where the offset of the next page goes."""
        level, samples = self._levels[index], self._channels
        tags = [
            (254, _LONG, [int(index > 0)]),
            (256, _LONG, [level.shape[1]]),
            (257, _LONG, [level.shape[0]]),
            (258, _SHORT, [8] * samples),
            (259, _SHORT, [_DEFLATE]),
            (262, _SHORT, [2 if samples == 3 else 1]),
            (277, _SHORT, [samples]),
            *self._resolution(2**index),
            (284, _SHORT, [1]),
            *([(296, _SHORT, [_CENTIMETRE])] if self._mpp else []),
            (317, _SHORT, [_HORIZONTAL]),
            (322, _LONG, [TILE_SIDE]),
            (323, _LONG, [TILE_SIDE]),
            (324, _LONG8, level.offsets),
            (325, _LONG8, level.counts),
        ]
        entries = []
        for tag, kind, values in tags:
            data = struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)
            if len(data) > 8:
                place = self._file.tell()
                self._file.write(data)
                data = struct.pack("<Q", place)
            count = len(values) // 2 if kind == _RATIONAL else len(values)
            entries.append(struct.pack("<HHQ8s", tag, kind, count, data))
        start = self._file.tell()
        self._file.write(struct.pack("<Q", len(entries)) + b"".join(entries) + struct.pack("<Q", 0))
        end = self._file.tell()
        self._file.seek(link)
        self._file.write(struct.pack("<Q", start))
        self._file.seek(end)
        return end - 8

    def _resolution(self, downsample: int) -> list[tuple[int, int, list[int]]]:
        """Return the resolution tags: pixels per centimetre, in thousandths."""
        if not self._mpp:
            return []
        per_centimetre = [round(1e7 / (self._mpp * downsample)), 1000]
        return [(282, _RATIONAL, per_centimetre), (283, _RATIONAL, per_centimetre)]


class _Level:
    """A level being written: rows buffered until they fill a band, and where its tiles are."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.buffered: list[UInt8Array] = []
        self.offsets: list[int] = []
        self.counts: list[int] = []

    def take(self) -> UInt8Array:
        """Return all buffered rows, and empty the buffer."""
        rows = self.buffered[0] if len(self.buffered) == 1 else np.concatenate(self.buffered)
        self.buffered = []
        return rows
