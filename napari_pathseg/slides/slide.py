"""The abstract base class of slides: pixels of any box at any level or grid, as uint8.

A slide is a file that people view as one image, flat or a pyramid.  Whatever the file holds, it is
read as 8-bit colour or grey.  Boxes are level-0 pixels, except where a
method says that they lie on a coarser grid (see :mod:`napari_pathseg.geometry`).
Only what a read touches is decoded.  Reads may come from several threads.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.pixel_size import PixelSize
from napari_pathseg.slides.resampling import area_resample
from napari_pathseg.storage.untrusted import DecodeError

# read_grid goes through larger boxes in bands, so that a whole slide fits into memory.
_BAND_PIXELS = 1 << 25
# A level that is coarser than requested by this factor still counts as fine enough.
_TOLERANCE = 1.005


@dataclass(frozen=True)
class Level:
    """One size of a slide: rows and columns, and level-0 pixels per pixel (1.0 for level 0)."""

    shape: tuple[int, int]
    downsample: float


class Slide(ABC):
    """An open slide; a context manager.

    Attributes
    ----------
    path
        The file.
    shape
        Rows and columns of level 0.
    levels
        The sizes that the file holds, finest first.
    pixel_size
        Width and height of a level-0 pixel, or None if the file does not state it.
    mpp
        Micrometres per level-0 pixel, or None; of pixels that are not square the side of a square of their area.
    channels
        3 for colour, 1 for grey.
    page
        Which page of its file it is, or None for a file that is one slide.
    centre_offset_um
        Position of its centre on the glass, ``(x, y)`` from the middle of the glass, from Hamamatsu's
        files; None for others.
    """

    page: int | None = None
    centre_offset_um: tuple[float, float] | None = None

    def __init__(
        self, path: Path, shapes: Sequence[tuple[int, int]], pixel_size: PixelSize | None, channels: int
    ) -> None:
        self.path = path
        self.shape = shapes[0]
        self.levels = tuple(Level(shape, _downsample(shapes[0], shape)) for shape in shapes)
        self.pixel_size = pixel_size
        self.mpp = None if pixel_size is None else pixel_size.mpp
        self.channels = channels
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file.  Further reads raise ValueError."""
        self._closed = True

    @property
    def notes(self) -> Sequence[str]:
        """What had to be assumed to show its pixels: sentences without a subject or full stop."""
        return ()

    @abstractmethod
    def _decode(self, level: int, box: Region) -> UInt8Array:
        """Return a new array of a box, in pixels of `level`, that lies inside it and is not empty.

        Its shape is (rows, columns, 3) for colour, (rows, columns) for grey.  A DecodeError or OSError becomes, in
        `read_level`, an UnsupportedSlideError that names the file and the box.
        """

    def read_level(self, level: int, box: Region) -> UInt8Array:
        """Return a box given in pixels of `level`; an empty one gives an empty array.

        Raises
        ------
        UnsupportedSlideError
            If the pixels cannot be decoded.
        """
        if self._closed:
            raise ValueError(f"{self.path.name} is closed; open it again.")
        if box.empty:
            return np.empty((max(0, box.height), max(0, box.width), 3)[: 2 + self.channels // 3], np.uint8)
        try:
            return self._decode(level, box)
        except (DecodeError, OSError) as error:
            raise UnsupportedSlideError(
                f"{self.path} could not be read at level {level}, rows {box.top} to {box.bottom - 1}, columns "
                f"{box.left} to {box.right - 1} ({error!s:.250}); "
                "the file is damaged or was moved: copy it again from its source."
            ) from error

    def read(self, region: Region, level: int = 0, *, mpp: float | None = None) -> UInt8Array:
        """Read a box of level-0 pixels.

        Parameters
        ----------
        region
            The box in level-0 pixels, whatever the level; inside the slide.
        level
            Index into `levels`; the result has about ``region / downsample`` pixels.
        mpp
            Micrometres per pixel of the result, instead of `level`; averaged from the nearest finer level.

        Returns
        -------
        pixels : uint8 array
            (rows, columns, 3) for colour, (rows, columns) for grey.

        Raises
        ------
        ValueError
            If `region` is empty or leaves the slide, or there is no such level.
        UnsupportedSlideError
            If the pixels cannot be decoded, or `mpp` is given and the slide has no pixel size.
        """
        self._require_inside(region, self.shape)
        if mpp is not None:
            return self._read_at(region, mpp)
        if not 0 <= level < len(self.levels):
            raise ValueError(f"level is {level}; {self.path.name} has levels 0 to {len(self.levels) - 1}.")
        (rows, columns), downsample = self.levels[level].shape, self.levels[level].downsample
        height = min(rows, max(1, round(region.height / downsample)))
        width = min(columns, max(1, round(region.width / downsample)))
        top = min(round(region.top / downsample), rows - height)
        left = min(round(region.left / downsample), columns - width)
        return self.read_level(level, Region(top, left, height, width))

    def read_grid(self, box: Region, downsample: float) -> UInt8Array:
        """Read a box of the grid that is `downsample` times coarser than level 0, each pixel an average.

        Pixels come from the coarsest level that is not coarser than the grid; grid pixels
        across the slide's edge average the pixels inside.

        Raises
        ------
        ValueError
            If `box` is empty or leaves the grid.
        UnsupportedSlideError
            If the pixels cannot be decoded.
        """
        self._require_inside(box, grid_shape(self.shape, downsample))
        level = self._level_at_most(downsample)
        factor = downsample / self.levels[level].downsample
        if abs(factor - round(factor)) * max(box.bottom, box.right) < 0.5:
            factor = round(factor)
        rows = max(1, int(_BAND_PIXELS / (box.width * factor * factor)))
        bands = []
        for top in range(box.top, box.bottom, rows):
            corner, shape = (top * factor, box.left * factor), (min(rows, box.bottom - top), box.width)
            bands.append(self._resample(level, corner, factor, shape))
        return np.concatenate(bands) if len(bands) > 1 else bands[0]

    def thumbnail(self, size: int = 256) -> UInt8Array:
        """Return the whole slide, its longest side `size` pixels or fewer."""
        downsample = -(-max(self.shape) // size)
        return self.read_grid(Region(0, 0, *grid_shape(self.shape, downsample)), downsample)

    def _require_inside(self, box: Region, shape: tuple[int, int]) -> None:
        if box.empty or box.clip(shape) != box:
            raise ValueError(
                f"{box} does not lie inside {self.path.name}, which has {shape[0]} x {shape[1]} pixels there."
            )

    def _level_at_most(self, downsample: float) -> int:
        finer = [i for i, level in enumerate(self.levels) if level.downsample <= downsample * _TOLERANCE]
        return max(finer, default=0)

    def _read_at(self, region: Region, mpp: float) -> UInt8Array:
        step = self._step(mpp)
        level = self._level_at_most(step)
        downsample = self.levels[level].downsample
        shape = max(1, round(region.height / step)), max(1, round(region.width / step))
        corner = region.top / downsample, region.left / downsample
        return self._resample(level, corner, step / downsample, shape)

    def _step(self, mpp: float) -> float:
        """Return the level-0 pixels per pixel of `mpp` micrometres."""
        if not (math.isfinite(mpp) and mpp > 0):
            raise ValueError(f"mpp is {mpp}; it must be a positive number of micrometres per pixel.")
        if self.mpp is None:
            raise UnsupportedSlideError(
                f"{self.path} has no pixel size, so it cannot be read at {mpp} micrometres per pixel. "
                "Read a level instead, or set the slide's pixel size in the project."
            )
        return mpp / self.mpp

    def _resample(self, level: int, corner: tuple[float, float], factor: float, shape: tuple[int, int]) -> UInt8Array:
        return area_resample(partial(self.read_level, level), self.levels[level].shape, corner, factor, shape)


def _downsample(shape: tuple[int, int], level: tuple[int, int]) -> float:
    """Return level-0 pixels per pixel of a level; a whole number where only a rounded edge makes it a fraction."""
    ratio = (shape[0] / level[0] + shape[1] / level[1]) / 2
    whole = round(ratio)
    edges = (abs(full / whole - part) for full, part in zip(shape, level, strict=True))
    return float(whole) if max(edges) <= 1 else ratio
