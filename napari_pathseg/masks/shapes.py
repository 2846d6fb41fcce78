"""Compact, serialisable shapes covered by one gesture: brush segment, polygon, bitmap.

Coordinates are pixels of the mask's grid, ``(row, column)``, with centres on whole numbers.  A
shape gives its pixels box by box, so a large one costs nothing until it is painted.
"""

import itertools
import json
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Protocol

import numpy as np
import numpy.typing as npt
from imagecodecs import zstd_decode
from msgspec import Meta
from numcodecs.zstd import Zstd

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.rasterize import scanline_fill
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.storage.json_schema import Side, conform

_SEGMENT = struct.Struct("<5d")
_ZSTD = Zstd(level=1)
_MAX_BITMAP_PIXELS = 1 << 30
_Coordinate = Annotated[float, Meta(ge=-(2**31), le=2**31)]
_Ring = Annotated[list[tuple[_Coordinate, _Coordinate]], Meta(min_length=1)]
_Rings = Annotated[list[_Ring], Meta(min_length=1)]
_BitmapHead: type[tuple[int, int, int, int, int]] = tuple[int, int, Side, Side, Side]
_HALF_DIAGONAL = 0.7072  # of a pixel: the nearest centre is no further away


def bounding_box(flags: BoolArray) -> Region:
    """Return the smallest box around the pixels that are set, or an empty one."""
    rows, columns = np.flatnonzero(flags.any(axis=1)), np.flatnonzero(flags.any(axis=0))
    if not len(rows):
        return EMPTY_REGION
    top, left = int(rows[0]), int(columns[0])
    return Region(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)


class Shape(Protocol):
    """The pixels covered by a gesture."""

    @property
    def box(self) -> Region:
        """A box around it, which may extend beyond the mask."""
        ...

    def flags(self, region: Region, downsample: int = 1) -> BoolArray | None:
        """Return which pixels of a box it covers, or None if it covers none.

        The box is on a grid `downsample` times coarser; a pixel counts if its centre is covered.
        """
        ...

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return cheaply whether it covers all of a box (True) or nothing of it (False); None if unknown."""
        ...

    def to_bytes(self) -> bytes:
        """Serialize it, for `shape_from`."""
        ...


@dataclass(frozen=True)
class BrushSegment:
    """A round brush moved in a straight line, a capsule; `radius` extends to the outermost pixel centres."""

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
        reach = max(self.radius, downsample * _HALF_DIAGONAL)  # a thin line stays visible at coarse levels
        row_centres, column_centres = _centres(region, downsample)
        rows, columns = row_centres[:, None] - np.float32(self.start[0]), column_centres - np.float32(self.start[1])
        d_row, d_column = np.float32(self.end[0] - self.start[0]), np.float32(self.end[1] - self.start[1])
        squared_length = d_row * d_row + d_column * d_column
        if squared_length > 0:
            along = np.clip((rows * d_row + columns * d_column) / squared_length, 0, 1)
            rows, columns = rows - along * d_row, columns - along * d_column
        flags: BoolArray = rows * rows + columns * columns <= np.float32(reach**2)
        return flags if flags.any() else None

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return whether it covers all of a box (it is convex, so the corners decide), nothing, or None if unknown."""
        half = (downsample - 1) / 2
        top, left = region.top * downsample + half, region.left * downsample + half
        bottom, right = top + (region.height - 1) * downsample, left + (region.width - 1) * downsample
        reach = max(self.radius, downsample * _HALF_DIAGONAL)
        if all(self._distance(*corner) <= reach for corner in itertools.product((top, bottom), (left, right))):
            return True
        beyond = math.hypot(bottom - top, right - left) / 2 + reach
        return False if self._distance((top + bottom) / 2, (left + right) / 2) > beyond else None

    def _distance(self, row: float, column: float) -> float:
        """Return the distance of a point from the line."""
        d_row, d_column = self.end[0] - self.start[0], self.end[1] - self.start[1]
        row, column = row - self.start[0], column - self.start[1]
        squared_length = d_row * d_row + d_column * d_column
        along = 0.0
        if squared_length > 0:
            along = min(1.0, max(0.0, (row * d_row + column * d_column) / squared_length))
        return math.hypot(row - along * d_row, column - along * d_column)

    def to_bytes(self) -> bytes:
        """Serialize it."""
        return b"p" + _SEGMENT.pack(*self.start, *self.end, self.radius)


@dataclass(frozen=True, eq=False)
class PolygonShape:
    """The inside of closed rings by the even-odd rule: a later ring inside the first is a hole."""

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
        """Return False if its box does not overlap this one, else None."""
        return False if self.box.coarser(downsample).intersect(region).empty else None

    def to_bytes(self) -> bytes:
        """Serialize it."""
        return b"o" + json.dumps([ring.tolist() for ring in self.rings]).encode()


@dataclass(frozen=True, eq=False)
class BitmapShape:
    """Pixels selected at a coarser level: `selected` covers `region` of a grid `downsample` times coarser."""

    selected: BoolArray
    region: Region
    downsample: int

    @property
    def box(self) -> Region:
        """A box around it."""
        return self.region.finer(self.downsample)

    def flags(self, region: Region, downsample: int = 1) -> BoolArray | None:
        """Return which pixels of a box lie in a selected coarser pixel."""
        rows, columns = (np.floor(at / self.downsample).astype(np.intp) for at in _centres(region, downsample))
        rows, columns = rows - self.region.top, columns - self.region.left
        height, width = self.selected.shape
        inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
        flags: BoolArray = self.selected[np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))] & inside
        return flags if flags.any() else None

    def covers(self, region: Region, downsample: int = 1) -> bool | None:
        """Return False if its box does not overlap this one, else None."""
        return False if self.box.coarser(downsample).intersect(region).empty else None

    def to_bytes(self) -> bytes:
        """Serialize it."""
        head = json.dumps([*self.region, self.downsample]).encode()
        return b"a" + struct.pack("<I", len(head)) + head + bytes(_ZSTD.encode(np.packbits(self.selected)))


def _centres(region: Region, downsample: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return the centres of the rows and columns of a box on a coarser grid."""
    half = (downsample - 1) / 2
    rows = np.arange(region.top, region.bottom, dtype=np.float32) * downsample + half
    return rows, np.arange(region.left, region.right, dtype=np.float32) * downsample + half


def shape_from(content: bytes) -> Shape:
    """Return the shape that :meth:`Shape.to_bytes` serialized; raise ValueError for other bytes."""
    if content[:1] not in _SHAPES:
        raise ValueError(f"unknown shape {content[:1]!r}")
    try:
        return _SHAPES[content[:1]](content[1:])
    except (RecursionError, RuntimeError, struct.error) as error:
        raise ValueError(f"damaged shape ({error})") from error


def _segment_from(content: bytes) -> Shape:
    top, left, bottom, right, radius = conform(_SEGMENT.unpack(content), tuple[_Coordinate, ...])
    return BrushSegment((top, left), (bottom, right), radius)


def _polygon_from(content: bytes) -> Shape:
    return PolygonShape([np.array(ring, float) for ring in conform(json.loads(content), _Rings)])


def _bitmap_from(content: bytes) -> Shape:
    (length,) = struct.unpack_from("<I", content)
    top, left, height, width, downsample = conform(json.loads(content[4 : 4 + length]), _BitmapHead)
    region = Region(top, left, height, width)
    pixels = region.height * region.width
    if pixels > _MAX_BITMAP_PIXELS:
        raise ValueError(f"a bitmap of {region.height} x {region.width} pixels")
    size = -(-pixels // 8)
    bits = np.frombuffer(zstd_decode(content[4 + length :], out=size), np.uint8)  # no more than that is decoded
    if len(bits) != size:
        raise ValueError("pixels of a bitmap are missing")
    selected = np.unpackbits(bits, count=pixels).astype(bool)
    return BitmapShape(selected.reshape(region.height, region.width), region, downsample)


_SHAPES: dict[bytes, Callable[[bytes], Shape]] = {b"p": _segment_from, b"o": _polygon_from, b"a": _bitmap_from}


InRegion = Callable[[Region], BoolArray]  # returns which pixels of a box are to be edited


@dataclass(frozen=True)
class EditRegion:
    """The part of a mask to edit: a box or, if there are shapes, only what they cover of it."""

    box: Region
    shapes: tuple[Shape, ...] = ()

    @property
    def inside(self) -> InRegion | None:
        """Function that returns which pixels of a box are to be edited; None if all of them are."""
        return self._covered if self.shapes else None

    def _covered(self, region: Region) -> BoolArray:
        covered = np.zeros((region.height, region.width), bool)
        for shape in self.shapes:
            flags = None if shape.covers(region) is False else shape.flags(region)
            if flags is not None:
                covered |= flags
        return covered


def resolve_region(shapes: tuple[Shape, ...], shape: tuple[int, int]) -> EditRegion:
    """Return the region that `shapes` cover of a mask of `shape`."""
    box = EMPTY_REGION
    for one in shapes:
        box = box.unite(one.box.clip(shape))
    return EditRegion(box, shapes)
