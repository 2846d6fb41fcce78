"""What one gesture covers of a mask, told shortly: a pull of the brush, an outline, an area found at a coarser level.

UInt8Array of the mask's grid, ``(row, column)``, centres on whole numbers.  A shape is asked for its
pixels box by box, so that its size costs nothing before it is painted.
"""

import itertools
import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from numcodecs.zstd import Zstd

from napari_pathseg.arrays import BoolArray
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import scanline_fill
from napari_pathseg.geometry import EMPTY_REGION, Region

_PULL = struct.Struct("<5d")
_ZSTD = Zstd(level=1)
_HALF_DIAGONAL = 0.7072  # of a pixel: the nearest centre is no further away


def bounding_box(flags: BoolArray) -> Region:
    """Return the smallest box around the pixels that are set; an empty one where none is."""
    rows, columns = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    if not len(rows):
        return EMPTY_REGION
    top, left = int(rows[0]), int(columns[0])
    return Region(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


class Shape(Protocol):
    """What a gesture covers."""

    @property
    def box(self) -> Region:
        """A box around it, which may reach over the mask's edge."""
        ...

    def flags(self, region: Region, downsample: int = 1) -> BoolArray | None:
        """Return which pixels of a box it covers, None where it covers none.

        The box lies on a grid `downsample` times coarser, of whose pixels the centres count.
        """
        ...

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return at little cost whether it covers all of a box, none of it, or None where that is not known."""
        ...

    def to_bytes(self) -> bytes:
        """Return it as bytes, for `shape_from`."""
        ...


@dataclass(frozen=True)
class BrushSegment:
    """A round brush pulled from one point to another; `radius` reaches to the outermost pixel centres."""

    start: tuple[float, float]
    end: tuple[float, float]
    radius: float

    @cached_property
    def box(self) -> Region:
        """A box around it."""
        rows, columns = zip(self.start, self.end, strict=True)
        top, left = (int(np.floor(min(ends) - self.radius)) for ends in (rows, columns))
        bottom, right = (int(np.ceil(max(ends) + self.radius)) + 1 for ends in (rows, columns))
        return Region(top, left, bottom - top, right - left)

    def flags(self, region: Region, downsample: int = 1) -> BoolArray | None:
        """Return which pixel centres of a box lie within the radius of the line."""
        reach = max(self.radius, downsample * _HALF_DIAGONAL)  # a thin line is seen from afar, too
        down_to, across_to = _centres(region, downsample)
        rows, columns = down_to[:, None] - np.float32(self.start[0]), across_to - np.float32(self.start[1])
        down, across = np.float32(self.end[0] - self.start[0]), np.float32(self.end[1] - self.start[1])
        length = down * down + across * across
        if length > 0:
            along = np.clip((rows * down + columns * across) / length, 0, 1)
            rows, columns = rows - along * down, columns - along * across
        flags: BoolArray = rows * rows + columns * columns <= np.float32(reach**2)
        return flags if flags.any() else None

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return whether it covers all of a box (it is convex: the corners tell), none of it, or cannot say."""
        half = (downsample - 1) / 2
        top, left = region.top * downsample + half, region.left * downsample + half
        bottom, right = top + (region.height - 1) * downsample, left + (region.width - 1) * downsample
        reach = max(self.radius, downsample * _HALF_DIAGONAL)
        if all(self._distance(*corner) <= reach for corner in itertools.product((top, bottom), (left, right))):
            return True
        beyond = math.hypot(bottom - top, right - left) / 2 + reach
        return False if self._distance((top + bottom) / 2, (left + right) / 2) > beyond else None

    def _distance(self, row: float, column: float) -> float:
        """Return how far a point is from the line."""
        down, across = self.end[0] - self.start[0], self.end[1] - self.start[1]
        below, right = row - self.start[0], column - self.start[1]
        length = down * down + across * across
        along = 0.0 if length == 0 else min(1.0, max(0.0, (below * down + right * across) / length))
        return math.hypot(below - along * down, right - along * across)

    def to_bytes(self) -> bytes:
        """Return it as bytes."""
        return b"p" + _PULL.pack(*self.start, *self.end, self.radius)


@dataclass(frozen=True, eq=False)
class PolygonShape:
    """What closed lines enclose, by parity: a later ring inside the first is a hole."""

    rings: Sequence[npt.NDArray[np.float64]]

    @cached_property
    def box(self) -> Region:
        """A box around it."""
        points = np.concatenate(self.rings)
        (top, left), (bottom, right) = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0)) + 1
        return Region(int(top), int(left), int(bottom - top), int(right - left))

    def flags(self, region: Region, downsample: int = 1) -> BoolArray | None:
        """Return which pixel centres of a box lie inside."""
        origin = (region.top * downsample, region.left * downsample)
        rings = [ring - origin for ring in self.rings]
        flags = np.zeros((region.height, region.width), bool)
        for band, inside in scanline_fill(Contour(rings[0], tuple(rings[1:])), flags.shape, downsample):
            flags[band.slices] = inside
        return flags if flags.any() else None

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return False where its box does not meet this one, else None."""
        return False if self.box.coarser(downsample).intersect(region).empty else None

    def to_bytes(self) -> bytes:
        """Return it as bytes."""
        return b"o" + json.dumps([ring.tolist() for ring in self.rings]).encode()


@dataclass(frozen=True, eq=False)
class BitmapShape:
    """UInt8Array found at a coarser level: `found` covers `place` of a grid `downsample` times coarser."""

    found: BoolArray
    place: Region
    downsample: int

    @property
    def box(self) -> Region:
        """A box around it."""
        return self.place.finer(self.downsample)

    def flags(self, region: Region, downsample: int = 1) -> BoolArray | None:
        """Return which pixels of a box lie in a coarser one that was found."""
        rows, columns = (np.floor(at / self.downsample).astype(np.intp) for at in _centres(region, downsample))
        rows, columns = rows - self.place.top, columns - self.place.left
        height, width = self.found.shape
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        flags: BoolArray = self.found[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))] & inside
        return flags if flags.any() else None

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return False where its box does not meet this one, else None."""
        return False if self.box.coarser(downsample).intersect(region).empty else None

    def to_bytes(self) -> bytes:
        """Return it as bytes."""
        head = json.dumps([*self.place, self.downsample]).encode()
        return b"a" + struct.pack("<I", len(head)) + head + bytes(_ZSTD.encode(np.packbits(self.found)))


def _centres(region: Region, downsample: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return where the rows and columns of a box on a coarser grid lie."""
    half = (downsample - 1) / 2
    rows = np.arange(region.top, region.bottom, dtype=np.float32) * downsample + half
    return rows, np.arange(region.left, region.right, dtype=np.float32) * downsample + half


def shape_from(content: bytes) -> Shape:
    """Return the shape that :meth:`Shape.to_bytes` told; ValueError where it is none."""
    kind, rest = content[:1], content[1:]
    if kind == b"p":
        top, left, bottom, right, radius = _PULL.unpack(rest)
        return BrushSegment((top, left), (bottom, right), radius)
    if kind == b"o":
        return PolygonShape([np.array(ring, float) for ring in json.loads(rest)])
    if kind == b"a":
        (length,) = struct.unpack_from("<I", rest)
        *place, downsample = json.loads(rest[4 : 4 + length])
        region = Region(*place)
        bits = np.frombuffer(_ZSTD.decode(rest[4 + length :]), np.uint8)
        found = np.unpackbits(bits, count=region.height * region.width).astype(bool)
        return BitmapShape(found.reshape(region.height, region.width), region, downsample)
    raise ValueError(f"no shape begins with {kind!r}")
