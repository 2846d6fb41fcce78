"""What a tissue mask is: yes or no on a coarse grid, and how much of a box of the slide it covers.

The grid is that of :mod:`napari_pathseg.geometry`: its pixel ``i`` covers level-0 pixels
``i*d ... i*d + d - 1``.  Values only: no slide, no files.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.arrays import BoolArray
from napari_pathseg.geometry import Region, grid_shape


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Where on a slide tissue lies.

    Attributes
    ----------
    pixels
        True where there is tissue, on the grid.
    downsample
        Level-0 pixels per pixel of the grid.
    shape
        Rows and columns of the slide's level 0.
    mpp
        Micrometres per level-0 pixel, or None where the slide does not say.
    edited
        Whether a person changed it; such a mask is never found anew.
    """

    pixels: BoolArray
    downsample: int
    shape: tuple[int, int]
    mpp: float | None
    edited: bool = False

    def __post_init__(self) -> None:
        wanted = grid_shape(self.shape, self.downsample)
        if self.pixels.shape != wanted or self.pixels.dtype != bool:
            raise ValueError(
                f"pixels are {self.pixels.dtype} of {self.pixels.shape}; a slide of {self.shape} at downsample "
                f"{self.downsample} takes bool of {wanted}."
            )

    @property
    def area_mm2(self) -> float | None:
        """The area of the tissue in square millimetres, or None where the pixel size is unknown."""
        if self.mpp is None:
            return None
        return int(self.pixels.sum()) * (self.mpp * self.downsample / 1000) ** 2

    def edit(self, pixels: BoolArray) -> "TissueMask":
        """Return the mask with `pixels` that a person drew."""
        return replace(self, pixels=pixels, edited=True)

    def share(self, region: Region) -> float:
        """Return the share, 0 to 1, of a level-0 box that is tissue, counted in the grid's pixels it touches.

        It is 0 only where no touched pixel is tissue, so tiles that hold any are never passed
        over; a box outside the slide has none.
        """
        inner = region.clip(self.shape)
        if inner.empty:
            return 0.0
        box = inner.coarser(self.downsample)
        sums = self._sums
        inside = sums[box.bottom, box.right] - sums[box.top, box.right]
        inside += sums[box.top, box.left] - sums[box.bottom, box.left]
        return float(inside) / (box.height * box.width)

    def regions(self, within: Region | None = None) -> list[Region]:
        """Return level-0 boxes around the pieces of tissue, the largest piece first.

        Pieces are cut at the edges of `within`, a level-0 box; the whole slide where it is None.
        """
        outer = Region(0, 0, *self.shape) if within is None else within.clip(self.shape)
        if outer.empty:
            return []
        box = outer.coarser(self.downsample)
        pieces, count = ndimage.label(self.pixels[box.slices])
        sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
        found = ndimage.find_objects(pieces)
        boxes = [found[index] for index in np.argsort(-sizes, kind="stable")]
        return [
            Region(rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)
            .shift(box.top, box.left)
            .finer(self.downsample)
            .intersect(outer)
            for rows, columns in boxes
        ]

    @cached_property
    def _sums(self) -> npt.NDArray[np.int64]:
        """Tissue pixels above and left of each corner of the grid, so that a box costs four look-ups."""
        sums = np.zeros((self.pixels.shape[0] + 1, self.pixels.shape[1] + 1), np.int64)
        np.cumsum(self.pixels, axis=0, out=sums[1:, 1:])
        np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
        return sums
