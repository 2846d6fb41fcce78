"""A level of a slide as a lazy array for napari, which decodes only what a slice covers.

It has the part of the array protocol that napari uses: shape, dtype and slices.
"""

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Region
from napari_pathseg.slides.slide import Slide


class LevelArray:
    """A level of a slide as a lazy array: slicing it decodes what the slice covers."""

    dtype = np.dtype(np.uint8)

    def __init__(self, slide: Slide, level: int) -> None:
        self._slide, self._level = slide, level
        self.shape: tuple[int, ...] = slide.levels[level].shape + ((3,) if slide.channels == 3 else ())
        self.ndim = len(self.shape)
        self.size = math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(entry is Ellipsis for entry in keys):
            place = next(i for i, entry in enumerate(keys) if entry is Ellipsis)
            keys[place : place + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        keys += [slice(None)] * (2 - len(keys))
        (top, height, rows), (left, width, columns) = (
            _window(entry, stop) for entry, stop in zip(keys[:2], self.shape[:2], strict=True)
        )
        block = self._slide.read_level(self._level, Region(top, left, height, width))
        return block[(rows, columns, *keys[2:])]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:, :], dtype=dtype)


def level_arrays(slide: Slide) -> list[LevelArray]:
    """Return one lazy array per level, finest first, as napari's multiscale image layer expects them."""
    return [LevelArray(slide, index) for index in range(len(slide.levels))]


def _window(key: Any, stop: int) -> tuple[int, int, int | slice]:
    """Return the first pixel and the count that an int or slice covers, and the index within them."""
    if not isinstance(key, slice):
        index = operator.index(key)
        if not -stop <= index < stop:
            raise IndexError(f"index {index} is out of bounds for an axis of {stop} pixels")
        return index % stop, 1, 0
    wanted = range(stop)[key]
    if not wanted:
        return 0, 0, slice(None)
    first = min(wanted[0], wanted[-1])
    return first, abs(wanted[-1] - wanted[0]) + 1, slice(None, None, wanted.step)
