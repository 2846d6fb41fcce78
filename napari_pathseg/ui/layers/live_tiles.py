"""What the live model has found on the slide in view: tiles of different fineness, read as boxes of any level."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array

_MAX_BYTES = 64 << 20
_CELL = 1024  # mask pixels of a side; tiles are looked up by the cells that they lie in
Cell = tuple[int, int]


@dataclass(frozen=True)
class Tile:
    """A box of the mask's grid, and class and probability (0 to 255) of every `step`-th pixel, shape (2, …)."""

    region: Region
    step: int
    fit: int
    pixels: UInt8Array


class LiveTiles:
    """The newest tiles of a slide; the oldest ones go where memory ends.

    Attributes
    ----------
    hidden
        Whether nothing is read, though it is kept.
    """

    hidden = False

    def __init__(self) -> None:
        self._tiles: dict[Region, Tile] = {}  # the newest last
        self._cells: dict[Cell, set[Region]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._tiles)

    def clear(self) -> None:
        """Forget all tiles."""
        self._tiles, self._cells, self._bytes = {}, {}, 0

    def add(self, tile: Tile) -> None:
        """Take a tile in the place of those that it covers; a coarser one of the same fit tells nothing new."""
        known = self._tiles.get(tile.region)
        if known is not None and known.fit == tile.fit and known.step < tile.step:
            return
        for region in self._meeting(tile.region):
            if region.intersect(tile.region) == region:
                self._drop(region)
        self._tiles[tile.region] = tile
        self._bytes += tile.pixels.nbytes
        for cell in _cells_of(tile.region):
            self._cells.setdefault(cell, set()).add(tile.region)
        while self._bytes > _MAX_BYTES and len(self._tiles) > 1:
            self._drop(next(iter(self._tiles)))

    def read(self, region: Region, level: int) -> UInt8Array:
        """Return class and probability of a box of a level, shape (2, rows, columns); 0 where nothing is known."""
        found = np.zeros((2, region.height, region.width), np.uint8)
        if self.hidden:
            return found
        every = 2**level
        meeting = self._meeting(region.finer(every))
        for tile in [tile for place, tile in self._tiles.items() if place in meeting]:
            box = _centres(tile.region, every).intersect(region)
            if box.empty:
                continue
            rows = _picked(box.top * every - tile.region.top, box.height, every, tile.step)
            columns = _picked(box.left * every - tile.region.left, box.width, every, tile.step)
            there = box.shift(-region.top, -region.left)
            found[:, *there.slices] = _take(_take(tile.pixels, columns, axis=2), rows, axis=1)
        return found

    def coarsest(self, region: Region) -> int:
        """Return for how many mask pixels along a side an answer in a box is at most; 0 without an answer."""
        return 0 if self.hidden else max((self._tiles[place].step for place in self._meeting(region)), default=0)

    def _meeting(self, region: Region) -> set[Region]:
        """Return the tiles that share pixels with a box."""
        near = set[Region]().union(*(self._cells.get(cell, ()) for cell in _cells_of(region)))
        return {place for place in near if not place.intersect(region).empty}

    def _drop(self, region: Region) -> None:
        self._bytes -= self._tiles.pop(region).pixels.nbytes
        for cell in _cells_of(region):
            self._cells[cell].discard(region)


def above_threshold(found: UInt8Array, threshold: float) -> UInt8Array:
    """Return the classes of tiles, Background where another class is less probable than `threshold`, 0 to 1.

    >>> above_threshold(np.array([[[2, 2, 1, 0]], [[200, 100, 255, 0]]], np.uint8), 0.5)
    array([[2, 1, 1, 0]], dtype=uint8)
    """
    classes, probabilities = found
    doubtful = (classes != UNLABELLED) & (probabilities < least_probability(threshold))
    return np.where(doubtful, np.uint8(BACKGROUND), classes)


def least_probability(threshold: float) -> np.uint8:
    """Return the lowest probability of tiles, 0 to 255, that reaches a threshold from 0 to 1."""
    return np.uint8(math.ceil(255 * threshold))


def _picked(start: int, count: int, every: int, step: int) -> slice | npt.NDArray[np.intp]:
    """Return the index of the pixels of a tile at `count` places, `every` mask pixels apart; a slice is faster."""
    if every % step == 0:
        return slice(start // step, start // step + count * (every // step), every // step)
    return (start + every * np.arange(count)) // step


def _take(pixels: UInt8Array, index: slice | npt.NDArray[np.intp], axis: int) -> UInt8Array:
    if isinstance(index, slice):
        return pixels[(*[slice(None)] * axis, index)]
    return pixels.take(index, axis)


def _centres(region: Region, every: int) -> Region:
    """Return which pixels of a level, whose pixel i is pixel `every` * i of the mask, lie in a box of the mask."""
    top, left, bottom, right = (-(-edge // every) for edge in (region.top, region.left, region.bottom, region.right))
    return Region(top, left, bottom - top, right - left)


def _cells_of(region: Region) -> list[Cell]:
    box = region.coarser(_CELL)
    return [(row, column) for row in range(box.top, box.bottom) for column in range(box.left, box.right)]
