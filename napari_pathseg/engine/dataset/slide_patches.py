"""A slide as a network sees it: pixels and labels on the working grid.

The working grid has the project's pixel size, whichever scanner a slide comes from; if that
is unknown, it is the mask's grid.  The two grids share their corner, and a working pixel is
`factor` mask pixels wide.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.dataset.border_weights import REACH, border_weights
from napari_pathseg.engine.dataset.stain import stain_normaliser
from napari_pathseg.engine.dataset.tiles import CONTEXT_DOWNSAMPLE, grow, read_mirrored
from napari_pathseg.geometry import Region, grid_shape, layout
from napari_pathseg.geometry.arrays import BoolArray, Float32Array, UInt8Array
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.slide import Slide

_MAX_CACHED_WEIGHTS = 4096**2  # mask pixels; labelling the objects takes 8 bytes for each
_SAME_SCALE = 0.04  # grids whose pixel sizes differ by less count as one
_THUMBNAIL = 1024  # side of the image on which the stains of a slide are measured

Corners = npt.NDArray[np.int32]  # (row, column) of the top left pixel of blocks, shape (n, 2)


class LabelledBlocks(NamedTuple):
    """The blocks of a mask in which a class occurs: all of them, and those with corrected pixels."""

    all: Corners
    corrected: Corners


class SlidePatchSource:
    """An open slide with its human-confirmed labels.

    Parameters
    ----------
    project, entry
        The slide.
    cache
        Whether the slide and its labels stay in memory once read, 4 to 6 bytes a pixel.
    stain_norm
        Stain normalisation of the pixels: "none", "macenko" or "reinhard".

    Attributes
    ----------
    factor
        Mask pixels along a working pixel.
    shape
        Rows and columns of the working grid.
    """

    def __init__(self, project: Project, entry: SlideRecord, *, cache: bool = False, stain_norm: str = "none") -> None:
        self.entry = entry
        self.factor = _factor(project.mpp, entry.mask_mpp)
        slide = project.open_slide(entry.id)
        self._slide = slide
        normalise = None if stain_norm == "none" else stain_normaliser(stain_norm, _rgb(slide.thumbnail(_THUMBNAIL)))
        step = entry.downsample * self.factor
        self._pixels = _PixelGrid(slide, step, normalise, cache)
        self._context = _PixelGrid(slide, CONTEXT_DOWNSAMPLE * step, normalise, cache)
        self.shape = self._pixels.shape
        self._ground_truth = GroundTruth(project, entry)
        self._cache = cache
        self._cached_truth: tuple[UInt8Array, BoolArray] | None = None
        self._cached_weights: dict[tuple[float, float], npt.NDArray[np.float16]] = {}

    def close(self) -> None:
        """Close the slide's file."""
        self._slide.close()

    # -- on the working grid

    def pixels(self, region: Region) -> UInt8Array:
        """Return RGB pixels of a box of the working grid; beyond the slide they are mirrored."""
        return self._pixels.read(region)

    def context(self, region: Region) -> UInt8Array:
        """Return RGB pixels around a box: same centre and shape, four times as wide, mirrored beyond the slide."""
        top = round((region.top + region.height / 2) / CONTEXT_DOWNSAMPLE - region.height / 2)
        left = round((region.left + region.width / 2) / CONTEXT_DOWNSAMPLE - region.width / 2)
        return self._context.read(Region(top, left, region.height, region.width))

    def truth(self, region: Region) -> tuple[UInt8Array, BoolArray]:
        """Return the labels in a box of the working grid, 0 beyond the slide, and which of them are corrections."""
        labels, corrected = self._sample(region, self._mask_truth)
        return labels, corrected

    def border_weights(self, region: Region, weight: float, width: float) -> Float32Array:
        """Return the weights that separate touching objects in a box of the working grid, 1 beyond the slide."""
        if not self._cache or self.entry.mask_shape[0] * self.entry.mask_shape[1] > _MAX_CACHED_WEIGHTS:
            around = grow(region, math.ceil(REACH * width), 1)  # so that pixels at a tile's edge weigh the same
            inside = region.shift(-around.top, -around.left)
            weights: Float32Array = border_weights(self.truth(around)[0], weight, width)[inside.slices]
            return weights
        if (weight, width) not in self._cached_weights:
            labels, _ = self._mask_truth(Region(0, 0, *self.entry.mask_shape))
            whole = border_weights(labels, weight, width * self.factor)
            self._cached_weights[weight, width] = whole.astype(np.float16)
        cached = self._cached_weights[weight, width]
        (sampled,) = self._sample(region, lambda box: (cached[box.slices],), outside=1)
        found: Float32Array = sampled.astype(np.float32)
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
        """Return the human-confirmed labels in a box inside the mask."""
        return self._mask_truth(region)[0]

    def labelled_blocks(self, block: int) -> dict[int, LabelledBlocks]:
        """Return, by class, the blocks in which it occurs.

        Parameters
        ----------
        block
            Side of a block in mask pixels.
        """
        found: dict[int, list[LabelledBlocks]] = {}
        for region in layout(Region(0, 0, *self.entry.mask_shape), 64 * block):
            labels, corrected = self._mask_truth(region)
            offset = np.array((region.top, region.left))
            for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1:
                here = labels == label
                corners = [
                    (np.argwhere(_block_any(pixels, block)) * block + offset).astype(np.int32)
                    for pixels in (here, here & corrected)
                ]
                found.setdefault(int(label), []).append(LabelledBlocks(*corners))
        return {
            label: LabelledBlocks(*(np.concatenate(corners) for corners in zip(*parts, strict=True)))
            for label, parts in found.items()
        }

    def _mask_truth(self, region: Region) -> tuple[UInt8Array, BoolArray]:
        if self._cache and self._cached_truth is None:
            self._cached_truth = self._ground_truth.labels_and_corrections(Region(0, 0, *self.entry.mask_shape))
        if self._cached_truth is None:
            return self._ground_truth.labels_and_corrections(region)
        labels, corrected = self._cached_truth
        return labels[region.slices], corrected[region.slices]

    def _sample(
        self, region: Region, read: Callable[[Region], tuple[npt.NDArray[np.generic], ...]], outside: int = 0
    ) -> tuple[npt.NDArray[Any], ...]:
        """Return arrays of the mask's grid, sampled at the pixel centres of a box of the working grid."""
        rows, row_inside = self._positions(region.top, region.height, self.entry.mask_shape[0])
        columns, column_inside = self._positions(region.left, region.width, self.entry.mask_shape[1])
        box = Region(int(rows[0]), int(columns[0]), int(rows[-1] - rows[0]) + 1, int(columns[-1] - columns[0]) + 1)
        inside = np.outer(row_inside, column_inside)
        pick = np.ix_(rows - box.top, columns - box.left)
        whole = bool(inside.all())
        found = (array[pick] for array in read(box))
        return tuple(array if whole else np.where(inside, array, array.dtype.type(outside)) for array in found)

    def _positions(self, start: int, count: int, size: int) -> tuple[npt.NDArray[np.intp], BoolArray]:
        """Return the mask pixels below working pixels along an axis, and which of them lie inside the mask."""
        positions = np.floor((np.arange(start, start + count) + 0.5) * self.factor).astype(np.intp)
        clipped = positions.clip(0, size - 1)
        return clipped, positions == clipped


class _PixelGrid:
    """The RGB pixels of a slide on one grid, read on demand or cached in memory."""

    def __init__(
        self, slide: Slide, downsample: float, normalise: Callable[[UInt8Array], UInt8Array] | None, cache: bool
    ) -> None:
        self.shape = grid_shape(slide.shape, downsample)
        self._slide, self._downsample, self._normalise, self._cache = slide, downsample, normalise, cache
        self._cached: UInt8Array | None = None  # filled at the first read

    def read(self, region: Region) -> UInt8Array:
        """Return a box that may extend beyond the slide."""
        return read_mirrored(self._inside, region, self.shape)

    def _inside(self, region: Region) -> UInt8Array:
        if self._cache and self._cached is None:
            self._cached = self._decode(Region(0, 0, *self.shape))
        return self._decode(region) if self._cached is None else self._cached[region.slices]

    def _decode(self, region: Region) -> UInt8Array:
        pixels = _rgb(self._slide.read_grid(region, self._downsample))
        return pixels if self._normalise is None else self._normalise(pixels)


def _factor(mpp: float | None, mask_mpp: float | None) -> float:
    """Return mask pixels along a working pixel: 1 if the grids are the same or a pixel size is unknown."""
    if mpp is None or mask_mpp is None or abs(mpp / mask_mpp - 1) < _SAME_SCALE:
        return 1.0
    return mpp / mask_mpp


def _rgb(pixels: UInt8Array) -> UInt8Array:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _block_any(pixels: BoolArray, block: int) -> BoolArray:
    """Return which blocks hold any true pixel."""
    rows, columns = pixels.shape
    padded = np.pad(pixels, [(0, -rows % block), (0, -columns % block)])
    blocks = padded.reshape(-(-rows // block), block, -(-columns // block), block)
    found: BoolArray = np.logical_or.reduce(blocks, axis=(1, 3))
    return found
