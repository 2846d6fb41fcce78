"""A slide as a network sees it: pixels on the working grid, labels on the mask's.

The working grid has the project's pixel size, whatever scanner a slide comes from; where
that is unknown it is the mask's grid.  The two share their corner, and `factor` mask pixels
lie along a working pixel.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.dataset.border_weights import REACH, border_weights
from napari_pathseg.engine.dataset.stain import stain_normaliser
from napari_pathseg.engine.dataset.tiles import grow, read_mirrored
from napari_pathseg.geometry import Region, grid_shape, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.slide import Slide

CONTEXT = 4  # the surroundings are so many times as wide as a tile
_LARGEST_BORDERS = 4096**2  # mask pixels whose border weights are found at once; objects take 8 bytes of each
_SAME_SCALE = 0.04  # grids that differ by less are one
_THUMBNAIL = 1024  # side of the picture on which the stains of a slide are measured

Weights = npt.NDArray[np.float32]


class SlidePatchSource:
    """An open slide with what a person said of it.

    Parameters
    ----------
    project, entry
        The slide.
    keep
        Whether what is read once stays in memory, 4 to 6 bytes a pixel.
    stain_norm
        To which staining its pixels are brought: "none", "macenko" or "reinhard".
    """

    def __init__(self, project: Project, entry: SlideRecord, *, keep: bool = False, stain_norm: str = "none") -> None:
        self.entry = entry
        self.factor = _factor(project.mpp, entry.mask_mpp)
        slide = project.open_slide(entry.id)
        self._slide = slide
        normalise = None if stain_norm == "none" else stain_normaliser(stain_norm, _rgb(slide.thumbnail(_THUMBNAIL)))
        step = entry.downsample * self.factor
        self._near = _Grid(slide, step, normalise, keep)
        self._far = _Grid(slide, CONTEXT * step, normalise, keep)
        self.shape = self._near.shape
        self._told = GroundTruth(project, entry)
        self._keep = keep
        self._truth: tuple[UInt8Array, npt.NDArray[np.bool_]] | None = None
        self._borders: dict[tuple[float, float], npt.NDArray[np.float16]] = {}

    def close(self) -> None:
        """Let the slide's file go."""
        self._slide.close()

    # -- on the working grid

    def pixels(self, region: Region) -> UInt8Array:
        """Return RGB pixels of a box of the working grid that may hang over the slide; mirrored there."""
        return self._near.read(region)

    def context(self, region: Region) -> UInt8Array:
        """Return RGB pixels around a box: its centre and shape, four times as wide, mirrored beyond the slide."""
        top = round((region.top + region.height / 2) / CONTEXT - region.height / 2)
        left = round((region.left + region.width / 2) / CONTEXT - region.width / 2)
        return self._far.read(Region(top, left, region.height, region.width))

    def truth(self, region: Region) -> tuple[UInt8Array, npt.NDArray[np.bool_]]:
        """Return what may be learnt in a box of the working grid, 0 beyond the slide, and what was corrected."""
        labels, corrected = self._sample(region, self._truth_of_mask)
        return labels, corrected

    def border_weights(self, region: Region, weight: float, width: float) -> Weights:
        """Return the weights that part touching objects in a box of the working grid, 1 beyond the slide."""
        if not self._keep or self.entry.mask_shape[0] * self.entry.mask_shape[1] > _LARGEST_BORDERS:
            around = grow(region, math.ceil(REACH * width), 1)  # so that a tile's edge weighs what it does inside
            inside = region.shift(-around.top, -around.left)
            weights: Weights = border_weights(self.truth(around)[0], weight, width)[inside.slices]
            return weights
        if (weight, width) not in self._borders:
            labels, _ = self._truth_of_mask(Region(0, 0, *self.entry.mask_shape))
            self._borders[weight, width] = border_weights(labels, weight, width * self.factor).astype(np.float16)
        kept = self._borders[weight, width]
        (sampled,) = self._sample(region, lambda box: (kept[box.slices],), outside=1)
        found: Weights = sampled.astype(np.float32)
        return found

    def on_working_grid(self, region: Region) -> Region:
        """Return the box of the working grid that covers a box of the mask's grid."""
        if self.factor == 1:
            return region
        top, left = int(region.top / self.factor), int(region.left / self.factor)
        bottom, right = -int(-region.bottom // self.factor), -int(-region.right // self.factor)
        return Region(top, left, bottom - top, right - left)

    # -- on the mask's grid

    def labels(self, region: Region) -> UInt8Array:
        """Return what may be learnt in a box of the mask's grid that lies inside it."""
        return self._truth_of_mask(region)[0]

    def places(self, block: int) -> dict[int, tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
        """Return, by class, the corners of the blocks in which it occurs: all, and those with corrections.

        Parameters
        ----------
        block
            Mask pixels along a block.
        """
        found: dict[int, list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]]] = {}
        for region in layout(Region(0, 0, *self.entry.mask_shape), 64 * block):
            labels, corrected = self._truth_of_mask(region)
            offset = np.array((region.top, region.left))
            for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1:
                here = labels == label
                corners = [
                    (np.argwhere(_block_any(wanted, block)) * block + offset).astype(np.int32)
                    for wanted in (here, here & corrected)
                ]
                found.setdefault(int(label), []).append((corners[0], corners[1]))
        return {
            label: (np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))
            for label, parts in found.items()
        }

    def _truth_of_mask(self, region: Region) -> tuple[UInt8Array, npt.NDArray[np.bool_]]:
        if self._keep and self._truth is None:
            self._truth = self._told.labels_and_corrections(Region(0, 0, *self.entry.mask_shape))
        if self._truth is None:
            return self._told.labels_and_corrections(region)
        labels, corrected = self._truth
        return labels[region.slices], corrected[region.slices]

    def _sample(
        self, region: Region, read: Callable[[Region], tuple[npt.NDArray[np.generic], ...]], outside: int = 0
    ) -> tuple[npt.NDArray[Any], ...]:
        """Return arrays of the mask's grid at the centres of a box of the working grid."""
        rows, row_inside = self._positions(region.top, region.height, self.entry.mask_shape[0])
        columns, column_inside = self._positions(region.left, region.width, self.entry.mask_shape[1])
        box = Region(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)
        inside = np.outer(row_inside, column_inside)
        pick = np.ix_(rows - box.top, columns - box.left)
        whole = bool(inside.all())
        found = (array[pick] for array in read(box))
        return tuple(array if whole else np.where(inside, array, array.dtype.type(outside)) for array in found)

    def _positions(self, start: int, count: int, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Return the mask pixels under working pixels along an axis, and which of them lie inside."""
        positions = np.floor((np.arange(start, start + count) + 0.5) * self.factor).astype(np.intp)
        clipped = positions.clip(0, size - 1)
        return clipped, positions == clipped


class _Grid:
    """The RGB pixels of a slide on one grid, read as they are wanted or kept in memory."""

    def __init__(
        self, slide: Slide, downsample: float, normalise: Callable[[UInt8Array], UInt8Array] | None, keep: bool
    ) -> None:
        self.shape = grid_shape(slide.shape, downsample)
        self._slide, self._downsample, self._normalise, self._keep = slide, downsample, normalise, keep
        self._kept: UInt8Array | None = None  # filled when the slide is first drawn from

    def read(self, region: Region) -> UInt8Array:
        """Return a box that may hang over the slide."""
        return read_mirrored(self._inside, region, self.shape)

    def _inside(self, region: Region) -> UInt8Array:
        if self._keep and self._kept is None:
            self._kept = self._decode(Region(0, 0, *self.shape))
        return self._decode(region) if self._kept is None else self._kept[region.slices]

    def _decode(self, region: Region) -> UInt8Array:
        pixels = _rgb(self._slide.read_grid(region, self._downsample))
        return pixels if self._normalise is None else self._normalise(pixels)


def _factor(mpp: float | None, mask_mpp: float | None) -> float:
    """Return mask pixels per working pixel: 1 where the grids are one or no pixel size is known."""
    if mpp is None or mask_mpp is None or abs(mpp / mask_mpp - 1) < _SAME_SCALE:
        return 1.0
    return mpp / mask_mpp


def _rgb(pixels: UInt8Array) -> UInt8Array:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _block_any(wanted: npt.NDArray[np.bool_], block: int) -> npt.NDArray[np.bool_]:
    rows, columns = wanted.shape
    padded = np.pad(wanted, [(0, -rows % block), (0, -columns % block)])
    blocks = padded.reshape(-(-rows // block), block, -(-columns // block), block)
    found: npt.NDArray[np.bool_] = np.logical_or.reduce(blocks, axis=(1, 3))
    return found
