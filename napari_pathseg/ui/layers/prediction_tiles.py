"""The probabilities that a model stored for a slide, as levels for napari that are read where they are looked at.

A box of a level is put together from small tiles.  Missing ones are empty until they have been computed, in another
thread, since a coarse one takes as long as all the pixels below it.
"""

import itertools
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.ui.layers.mask_data import bounding_region, relative_index

_SIDE = 256  # pixels of a level
_AT_ONCE, _QUICK_S = 32, 0.1
_MOST_WANTED = 256  # the last ones; others are wanted again when they are drawn
_MOST = 1024  # tiles in memory, 64 MB
Place = tuple[int, Region]  # level, and box of it


class PredictionTiles:
    """The tiles of a `label`, see `Prediction.sample`; `wanted` is emitted where some are missing.

    Attributes
    ----------
    shapes
        Rows and columns of each level; pixel i of level n is pixel 2**n * i of the mask's grid.
    """

    wanted = Signal()

    def __init__(self, prediction: Prediction, label: int | None, shapes: Sequence[tuple[int, int]]) -> None:
        self._prediction, self.label, self.shapes = prediction, label, list(shapes)
        self._tiles: OrderedDict[Place, UInt8Array] = OrderedDict()  # the last used at the end
        self._wanted: OrderedDict[Place, None] = OrderedDict()  # the last wanted at the end

    def read(self, region: Region, level: int) -> UInt8Array:
        """Return a box of a level; 0 where tiles are missing, which are wanted from now on."""
        found, missing = np.zeros((region.height, region.width), np.uint8), False
        for cell in _tiles_of(region, self.shapes[level]):
            place = level, cell
            if place not in self._tiles:
                self._wanted.pop(place, None)
                self._wanted[place], missing = None, True
                continue
            self._tiles.move_to_end(place)
            box = cell.intersect(region)
            here, there = box.shift(-region.top, -region.left), box.shift(-cell.top, -cell.left)
            found[here.slices] = self._tiles[place][there.slices]
        while len(self._wanted) > _MOST_WANTED:
            self._wanted.popitem(last=False)
        if missing:
            self.wanted.emit()
        return found

    def next_wanted(self) -> list[Place]:
        """Return some tiles that are wanted, the last ones first."""
        return list(itertools.islice(reversed(self._wanted), _AT_ONCE))

    def compute(self, places: Sequence[Place]) -> dict[Place, UInt8Array]:
        """Return the pixels of tiles, one at least, others if they are quick; may run in another thread.

        Raises
        ------
        OSError, ValueError
            If the files are damaged, or gone.
        """
        found, end = dict[Place, UInt8Array](), time.monotonic() + _QUICK_S
        for level, region in places:
            box = region.finer(2**level).clip(self.shapes[0])
            found[level, region] = self._prediction.sample(self.label, box, 2**level)
            if time.monotonic() > end:
                break
        return found

    def take(self, found: Mapping[Place, UInt8Array]) -> None:
        """Keep the pixels of tiles."""
        for place, pixels in found.items():
            self._wanted.pop(place, None)
            self._tiles[place] = pixels
        while len(self._tiles) > _MOST:
            self._tiles.popitem(last=False)


class PredictionLevel:
    """One level as a read-only array."""

    ndim = 2
    dtype = np.dtype(np.uint8)

    def __init__(self, tiles: PredictionTiles, level: int) -> None:
        self._tiles, self._level = tiles, level
        self.shape = tiles.shapes[level]

    @property
    def size(self) -> int:
        """The number of pixels."""
        return self.shape[0] * self.shape[1]

    def __getitem__(self, key: Any) -> Any:
        region = bounding_region(key, self.shape)
        return self._tiles.read(region, self._level)[relative_index(key, region)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self._tiles.read(Region(0, 0, *self.shape), self._level), dtype=dtype)


def prediction_levels(tiles: PredictionTiles) -> list[PredictionLevel]:
    """Return the levels for a layer."""
    return [PredictionLevel(tiles, level) for level in range(len(tiles.shapes))]


def _tiles_of(region: Region, shape: tuple[int, int]) -> list[Region]:
    cells = region.coarser(_SIDE)
    aligned = Region(cells.top * _SIDE, cells.left * _SIDE, cells.height * _SIDE, cells.width * _SIDE).clip(shape)
    return list(layout(aligned, _SIDE))
