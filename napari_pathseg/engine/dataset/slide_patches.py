"""A slide as a network sees it: pixels and labels on the working grid.

The working grid has the project's pixel size, whichever scanner a slide comes from; if that
is unknown, it is the mask's grid.  The two grids share their corner, and a working pixel is
`factor` mask pixels wide.
"""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.dataset.border_weights import REACH, border_weights
from napari_pathseg.engine.dataset.stain import stain_normaliser
from napari_pathseg.engine.dataset.tiles import CONTEXT_DOWNSAMPLE, grow, mirror, read_mirrored
from napari_pathseg.geometry import Region, grid_shape, layout
from napari_pathseg.geometry.arrays import BoolArray, Float32Array, UInt8Array
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import working_factor
from napari_pathseg.slides.slide import Slide

_MAX_CACHED_WEIGHTS = 4096**2  # mask pixels; labelling the objects takes 8 bytes for each
HASH_BYTES = 12
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
    project, record
        The slide.
    cache
        Whether the slide and its labels stay in memory once read, 4 to 6 bytes a pixel.
    stain_norm
        Stain normalisation of the pixels: "none", "macenko" or "reinhard".
    truth
        Its labels; by default those that were saved.

    Attributes
    ----------
    factor
        Mask pixels along a working pixel.
    shape
        Rows and columns of the working grid.
    stain_norm
        The stain normalisation.
    labels_hash
        A hash of its labels; "" until `labelled_blocks` has read them.
    """

    def __init__(
        self,
        project: Project,
        record: SlideRecord,
        *,
        cache: bool = False,
        stain_norm: str = "none",
        truth: GroundTruth | None = None,
    ) -> None:
        self.record, self.stain_norm, self.labels_hash = record, stain_norm, ""
        self.factor = working_factor(project.mpp, record)
        slide = project.open_slide(record.id)
        self._slide = slide
        normalise = None if stain_norm == "none" else stain_normaliser(stain_norm, _rgb(slide.thumbnail(_THUMBNAIL)))
        step = record.downsample * self.factor
        self._pixels = _PixelGrid(slide, step, normalise, cache)
        self._context = _PixelGrid(slide, CONTEXT_DOWNSAMPLE * step, normalise, cache)
        self.shape = self._pixels.shape
        self._ground_truth = truth or GroundTruth(project, record)
        self._cache = cache
        self._cached_truth: tuple[UInt8Array, BoolArray] | None = None
        self._cached_weights: dict[tuple[float, float], npt.NDArray[np.float16]] = {}

    @property
    def path(self) -> Path:
        """The slide's file."""
        return self._slide.path

    def close(self) -> None:
        """Close the slide's file."""
        self._slide.close()

    def thumbnail(self, size: int) -> UInt8Array:
        """Return RGB of the whole slide, its longest side `size` pixels or fewer, without stain normalisation."""
        return _rgb(self._slide.thumbnail(size))

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
        """Return the labels in a box of the working grid, mirrored beyond the slide, and which are corrections."""
        labels, corrected = self._sample(region, self._mask_truth)
        return labels, corrected

    def border_weights(self, region: Region, weight: float, width: float) -> Float32Array:
        """Return the weights that separate touching objects in a box of the grid, mirrored beyond the slide."""
        if not self._cache or self.record.mask_shape[0] * self.record.mask_shape[1] > _MAX_CACHED_WEIGHTS:
            return read_mirrored(partial(self._border_weights_inside, weight, width), region, self.shape)
        if (weight, width) not in self._cached_weights:
            labels, _ = self._mask_truth(Region(0, 0, *self.record.mask_shape))
            whole = border_weights(labels, weight, width * self.factor)
            self._cached_weights[weight, width] = whole.astype(np.float16)
        cached = self._cached_weights[weight, width]
        (sampled,) = self._sample(region, lambda box: (cached[box.slices],))
        found: Float32Array = sampled.astype(np.float32)
        return found

    def _border_weights_inside(self, weight: float, width: float, region: Region) -> Float32Array:
        """Return the weights in a box of the working grid that lies inside the slide."""
        around = grow(region, math.ceil(REACH * width), 1).clip(self.shape)  # pixels at a tile's edge weigh the same
        weights: Float32Array = border_weights(self.truth(around)[0], weight, width)
        return weights[region.shift(-around.top, -around.left).slices]

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
        digest = hashlib.blake2b(self.record.id.encode(), digest_size=HASH_BYTES)
        for region in layout(Region(0, 0, *self.record.mask_shape), 64 * block):
            labels, corrected = self._mask_truth(region)
            digest.update(labels.tobytes())
            offset = np.array((region.top, region.left))
            for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1:
                here = labels == label
                corners = [
                    (np.argwhere(_block_any(pixels, block)) * block + offset).astype(np.int32)
                    for pixels in (here, here & corrected)
                ]
                found.setdefault(int(label), []).append(LabelledBlocks(*corners))
        self.labels_hash = digest.hexdigest()
        return {
            label: LabelledBlocks(*(np.concatenate(corners) for corners in zip(*parts, strict=True)))
            for label, parts in found.items()
        }

    def _mask_truth(self, region: Region) -> tuple[UInt8Array, BoolArray]:
        if self._cache and self._cached_truth is None:
            self._cached_truth = self._ground_truth.labels_and_corrections(Region(0, 0, *self.record.mask_shape))
        if self._cached_truth is None:
            return self._ground_truth.labels_and_corrections(region)
        labels, corrected = self._cached_truth
        return labels[region.slices], corrected[region.slices]

    def _sample(
        self, region: Region, read: Callable[[Region], tuple[npt.NDArray[np.generic], ...]]
    ) -> tuple[npt.NDArray[Any], ...]:
        """Return arrays of the mask's grid, sampled at the pixel centres of a box of the working grid."""
        rows = self._positions(region.top, region.height, 0)
        columns = self._positions(region.left, region.width, 1)
        top, left = int(rows.min()), int(columns.min())
        box = Region(top, left, int(rows.max()) - top + 1, int(columns.max()) - left + 1)
        pick = np.ix_(rows - top, columns - left)
        return tuple(array[pick] for array in read(box))

    def _positions(self, start: int, count: int, axis: int) -> npt.NDArray[np.intp]:
        """Return the mask pixels below working pixels along an axis, mirrored beyond the slide."""
        here = mirror(np.arange(start, start + count), self.shape[axis])
        positions: npt.NDArray[np.intp] = np.floor((here + 0.5) * self.factor).astype(np.intp)
        return positions.clip(0, self.record.mask_shape[axis] - 1)


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


def _rgb(pixels: UInt8Array) -> UInt8Array:
    return pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=-1)


def _block_any(pixels: BoolArray, block: int) -> BoolArray:
    """Return which blocks hold any true pixel."""
    rows, columns = pixels.shape
    padded = np.pad(pixels, [(0, -rows % block), (0, -columns % block)])
    blocks = padded.reshape(-(-rows // block), block, -(-columns // block), block)
    found: BoolArray = np.logical_or.reduce(blocks, axis=(1, 3))
    return found
