"""The features of a tile of a slide, computed once and kept, and what a linear classifier makes of them.

A tile is a square of the working grid, `SIDE` pixels wide and aligned to it; those at the edge of a slide are smaller.
Its features are those of `networks.linear_head`, each scale where it lies, in half precision, with one cell more on
each side, so that interpolated answers have no seam between tiles.  Together they take about 8 numbers a pixel.

A classifier is applied to each scale where it lies, and its answers are interpolated to where they are wanted, by one
matrix for rows and one for columns.  For a coarse answer only the cells around each place that is wanted are read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.region_predictor import as_tensor
from napari_pathseg.engine.live.discriminant import LinearClassifier
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.errors import BundleError
from napari_pathseg.geometry import TILE_SIDE, Region
from napari_pathseg.geometry.arrays import Float32Array, Float64Array, UInt8Array

SIDE = TILE_SIDE  # working pixels
HALO = 32  # working pixels that the encoder sees around a tile, too; with 64 it takes 1.23 times as long
_MARGIN = 1  # cells
_PROBE = 128  # pixels; shows how the scales of an encoder lie
_LARGEST = 65504.0  # number of half precision

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class TileFeatures:
    """The features of a tile.

    Attributes
    ----------
    region
        The tile, on the working grid.
    strides
        Working pixels between the cells of each scale.
    levels
        Scales in half precision, shape (rows, columns, numbers), with one cell around the tile.
    """

    region: Region
    strides: tuple[int, ...]
    levels: tuple[Tensor, ...]

    @classmethod
    def cut(cls, levels: Sequence[Tensor], strides: Sequence[int], around: Region, tile: Region) -> "TileFeatures":
        """Return the features of a tile out of the network's, shape (1, numbers, rows, columns), of a box around it."""
        parts = []
        for level, stride in zip(levels, strides, strict=True):
            top, left = ((a - b) // stride - _MARGIN for a, b in ((tile.top, around.top), (tile.left, around.left)))
            rows, columns = _cells(tile, stride)
            part = level[0, :, top : top + rows, left : left + columns].clamp(-_LARGEST, _LARGEST)
            parts.append(part.movedim(0, -1).half().cpu().contiguous())
        return cls(tile, tuple(strides), tuple(parts))

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return sum(level.nbytes for level in self.levels)

    def at(self, rows: Indices, columns: Indices) -> Float32Array:
        """Return the features of pixels of the tile (n, numbers), interpolated; rows and columns begin at the tile."""
        found = []
        for level, stride in zip(self.levels, self.strides, strict=True):
            (up, down), (left, right) = (_positions(index, stride) for index in (rows, columns))
            wide = level.shape[1]
            flat = level.reshape(-1, level.shape[-1])
            total = torch.zeros(len(rows), level.shape[-1])
            for row, row_weight in ((up, 1 - down), (up + 1, down)):
                for column, weight in ((left, 1 - right), (left + 1, right)):
                    weights = torch.from_numpy((row_weight * weight).astype(np.float32))
                    total += flat[torch.from_numpy(row * wide + column)].float() * weights[:, None]
            found.append(total)
        features: Float32Array = torch.cat(found, dim=1).numpy()
        return features


@dataclass(frozen=True, eq=False)
class ScaleWeights:
    """A linear classifier as it is applied: weights (numbers, classes) of each scale, and the bias (classes)."""

    weights: tuple[Tensor, ...]
    bias: Tensor

    @classmethod
    def of(cls, classifier: LinearClassifier, widths: Sequence[int]) -> "ScaleWeights":
        """Split a classifier by the number of features of each scale."""
        whole = torch.from_numpy(classifier.weights.T.astype(np.float32)).contiguous()
        return cls(torch.split(whole, list(widths)), torch.from_numpy(classifier.bias.astype(np.float32)))

    @torch.inference_mode()
    def logits(self, tile: TileFeatures, rows: Float64Array, columns: Float64Array) -> Tensor:
        """Return logits (classes, rows, columns) at positions of the working grid, whole numbers at pixel centres."""
        total = self.bias[:, None, None]
        pixels = _are_pixels(rows) and _are_pixels(columns)
        for stride, shape in _shapes_by_stride(tile).items():
            down, down_weights = _interpolation(rows, stride, tile.region.top, shape[0])
            across, across_weights = _interpolation(columns, stride, tile.region.left, shape[1])
            answers = self._answers(tile, stride, down, across)
            if not pixels:
                total = total + down_weights @ answers @ across_weights.T
                continue
            fine = F.interpolate(answers[None], scale_factor=float(stride), mode="bilinear")[0]
            top = int(rows[0]) - tile.region.top - (int(down[0]) - _MARGIN) * stride
            left = int(columns[0]) - tile.region.left - (int(across[0]) - _MARGIN) * stride
            total = total + fine[:, top : top + len(rows), left : left + len(columns)]
        return total

    def _answers(self, tile: TileFeatures, stride: int, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the sum of the answers (classes, rows, columns) of scales at some of their cells."""
        found = []
        for level, each, weights in zip(tile.levels, tile.strides, self.weights, strict=True):
            if each == stride:
                cells = _picked(_picked(level, rows, 0), columns, 1)
                found.append(cells.reshape(-1, cells.shape[-1]).float() @ weights)
        return sum(found[1:], found[0]).view(len(rows), len(columns), -1).movedim(-1, 0).contiguous()

    def answer(self, tile: TileFeatures, box: Region, step: int, factor: float) -> UInt8Array:
        """Return the likeliest class but Background and its probability from 0 to 255, shape (2, rows, columns).

        The parameters are those of `probabilities`.
        """
        best, classes = self.probabilities(tile, box, step, factor)[BACKGROUND:].max(dim=0)
        found: UInt8Array = torch.stack([(classes + 1 + BACKGROUND).byte(), (best * 255).round().byte()]).numpy()
        return found

    def probabilities(self, tile: TileFeatures, box: Region, step: int, factor: float) -> Tensor:
        """Return the probability of each class, shape (classes, rows, columns).

        Parameters
        ----------
        tile
            The features of a tile.
        box
            The box of the mask's grid, inside the tile.
        step
            Mask pixels along a side of an answer.
        factor
            Mask pixels along a working pixel.
        """
        rows, columns = (
            _centres(start, count, step) / factor - 0.5
            for start, count in ((box.top, box.height), (box.left, box.width))
        )
        if factor <= step:
            return self.logits(tile, rows, columns).softmax(dim=0)
        # There are fewer working pixels than answers: these are interpolated, as in a prediction.
        known = [np.arange(math.floor(places[0]), math.ceil(places[-1]) + 1.0) for places in (rows, columns)]
        (_, down), (_, across) = (
            _interpolation(places, 1, int(origin[0]) + _MARGIN, len(origin))
            for places, origin in zip((rows, columns), known, strict=True)
        )
        return down @ self.logits(tile, *known).softmax(dim=0) @ across.T


class TileEncoder:
    """Computes the features of tiles.

    Parameters
    ----------
    network
        A network with its encoder's weights, in eval mode, on `device`.
    device
        Where it computes.

    Attributes
    ----------
    strides, widths
        Working pixels between the cells of each scale, and the number of features there.

    Raises
    ------
    BundleError
        If the encoder's scales do not lie on whole pixels.
    """

    def __init__(self, network: LinearHead, device: Device) -> None:
        self._network, self._device = network, device
        self.widths = network.widths
        sides = [level.shape[-1] for level in self._encode(np.zeros((_PROBE, _PROBE, 3), np.uint8))]
        self.strides = tuple(_PROBE // side for side in sides)
        if any(stride * side != _PROBE or HALO % stride for stride, side in zip(self.strides, sides, strict=True)):
            raise BundleError(
                "The features of this encoder do not lie on a grid of whole pixels. Choose another encoder, such as "
                "tf_efficientnet_lite0 or resnet34."
            )

    @torch.inference_mode()
    def encode(self, slide: SlidePatchSource, tile: Region) -> TileFeatures:
        """Return the features of a tile of a slide, which is mirrored beyond its edge."""
        around = grow(tile, HALO, self._network.multiple)
        return TileFeatures.cut(self._encode(slide.pixels(around)), self.strides, around, tile)

    def shapes(self, tile: Region) -> list[tuple[int, int, int]]:
        """Return the shapes of a tile's scales."""
        return [(*_cells(tile, stride), width) for stride, width in zip(self.strides, self.widths, strict=True)]

    @torch.inference_mode()
    def _encode(self, pixels: UInt8Array) -> list[Tensor]:
        with self._device.autocast():
            return self._network.encode(self._device.send(as_tensor(pixels[None])))


def _cells(tile: Region, stride: int) -> tuple[int, int]:
    """Return the rows and columns of cells that are kept of a tile."""
    return -(-tile.height // stride) + 2 * _MARGIN, -(-tile.width // stride) + 2 * _MARGIN


def _positions(index: Indices, stride: int) -> tuple[Indices, Float64Array]:
    """Return the cell before each pixel of a tile, and how far it is on the way to the next."""
    at = (index + 0.5) / stride - 0.5 + _MARGIN
    below = np.floor(at).astype(np.intp)
    return below, at - below


def _shapes_by_stride(tile: TileFeatures) -> dict[int, tuple[int, ...]]:
    return {stride: tuple(level.shape) for level, stride in zip(tile.levels, tile.strides, strict=True)}


def _are_pixels(positions: Float64Array) -> bool:
    """Return whether positions are those of neighbouring pixels, which are interpolated faster."""
    return float(positions[0]).is_integer() and bool((np.diff(positions) == 1).all())


def _interpolation(positions: Float64Array, stride: int, start: int, count: int) -> tuple[Tensor, Tensor]:
    """Return which of `count` cells are needed at positions, and their weights (positions, cells).

    `start` is the position of the tile, whose first cell lies one before it.
    """
    at = ((positions - start + 0.5) / stride - 0.5 + _MARGIN).clip(0, count - 1)
    below = np.floor(at).astype(np.intp).clip(max=max(0, count - 2))
    above = (below + 1).clip(max=count - 1)
    needed, places = np.unique(np.concatenate([below, above]), return_inverse=True)
    weights, each = np.zeros((len(at), len(needed)), np.float32), np.arange(len(at))
    np.add.at(weights, (each, places[: len(at)]), 1 - (at - below))
    np.add.at(weights, (each, places[len(at) :]), at - below)
    return torch.from_numpy(needed), torch.from_numpy(weights)


def _picked(level: Tensor, needed: Tensor, axis: int) -> Tensor:
    return level if len(needed) == level.shape[axis] else level.index_select(axis, needed)


def _centres(start: int, count: int, step: int) -> Float64Array:
    """Return where answers lie along an axis: the centre of each `step` pixels, of the rest at the end."""
    edges = np.append(np.arange(start, start + count, step), start + count).astype(np.float64)
    centres: Float64Array = (edges[:-1] + edges[1:]) / 2
    return centres
