"""Prediction of many tiles at once with a network in three stages, see `networks.division`.

For a block of tiles: the shallow layers cell by cell, the deep ones over the whole block with a wide margin, the fine
ones tile by tile.  Each stage has the margin that it needs; only that of the deep layers may be chosen smaller.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.region_predictor import aligned, as_tensor, resample_to_mask_grid
from napari_pathseg.engine.networks.division import SEAM, Division
from napari_pathseg.engine.networks.network import Network
from napari_pathseg.engine.networks.receptive_field import Input, margin_of
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.machine import memory_limit

_CELL = 1024  # working pixels along what the shallow layers compute at once; in a view, 1536 take 1.4 times as long
_LARGEST_BLOCK = 4096  # working pixels along a side
_BLOCK_SHARE = 0.05  # of the memory, for the features of a block; the layers take about as much besides
_BLOCK_BYTES = (150e6, 1.2e9)  # at least and at most
_MIRRORED = 8  # features beyond a margin that is not exact; halves what it changes
_SMALLEST_BLOCK = 512  # working pixels along a side
_FARTHEST = 512  # pixels; no shallow or fine layers see that far
_PROBE = 64  # pixels


_FAILED = (RuntimeError, TypeError, ValueError)  # of a conversion


@dataclass(frozen=True)
class DividedPredictor:
    """A divided network on its device that predicts blocks of tiles of a slide's mask grid.

    Attributes
    ----------
    network
        The network, in eval mode, in three stages.
    device
        Where it computes.
    halo
        Working pixels around a block that the deep layers see.
    multiple
        The network's: the grid of working pixels that its coarsest features lie on.
    margins
        Working pixels around a cell that the shallow layers see, and around a tile that the fine ones see.
    exact
        Whether `halo` is as far as the deep layers see.
    dtype
        Of the features that are kept until their block is done.
    bytes_per_pixel
        Of the features of a working pixel.
    """

    network: Division
    device: Device
    halo: int
    multiple: int
    margins: tuple[int, int]
    exact: bool
    dtype: torch.dtype
    bytes_per_pixel: float

    @classmethod
    def of(cls, network: Network, device: Device, halo: int, bfloat16: bool) -> "DividedPredictor | None":
        """Return the predictor of a network on its device, None if it cannot be divided.

        `bfloat16` tells whether its layers are computed in bfloat16, by whatever runtime.
        """
        division = network.divide()
        if division is None:
            return None
        like = next(network.parameters())
        with torch.inference_mode():
            features = division.shallow(like.new_zeros(1, 3, _PROBE, _PROBE))
            coarse = division.deep(features[-1])
        answers = [Input(each.shape[1], stride) for each, stride in zip(coarse, division.coarse_strides, strict=True)]
        inputs = [Input(level.shape[1], stride) for level, stride in zip(features, division.strides, strict=True)]
        shallow = margin_of(division.shallow, [Input(3)], _FARTHEST, like)
        fine = margin_of(division.fine, [*answers, *inputs[:-1]], _FARTHEST, like)
        if shallow is None or fine is None:
            return None
        numbers = sum(level.numel() for level in (*features, *coarse)) / _PROBE**2
        deep = margin_of(division.deep, inputs[-1:], -(-halo // _PROBE) * _PROBE, like)
        margins = (_whole(shallow, SEAM), _whole(fine, division.coarse_strides[-1]))
        dtype = torch.bfloat16 if bfloat16 else torch.float32
        exact = deep is not None and deep <= halo
        return cls(division, device, halo, network.multiple, margins, exact, dtype, numbers * dtype.itemsize)

    def block(self, factor: float) -> int:
        """Return the mask pixels along a block of a slide whose working pixels are `factor` mask pixels wide."""
        fewest, most = _BLOCK_BYTES
        features = min(max(_BLOCK_SHARE * memory_limit(), fewest), most)  # not what is free: a run may go on later
        side = 2 ** int(math.log2(features / self.bytes_per_pixel) / 2)  # so that blocks lie in those of others
        return int(min(max(side, _SMALLEST_BLOCK), _LARGEST_BLOCK) * factor)

    def read_tiles(self, slide: SlidePatchSource, tiles: Sequence[Region], whole: Region) -> "_Block":
        """Read what the first cell of a block needs, which is `whole`; a thread may do so meanwhile.

        The others are read while the block is computed.  The answer of a tile depends on the block, but not on which
        other tiles of it are predicted.

        Raises
        ------
        UnsupportedSlideError
            If the pixels cannot be decoded.
        """
        works = [slide.on_working_grid(tile) for tile in tiles]
        extent = slide.on_working_grid(whole)
        wide = aligned(extent, self.halo, self.multiple)
        around = grow(wide, self.margins[0], 1) if self.exact else wide  # far from the tiles, one margin is enough
        near = aligned(extent, self.margins[1], self.network.coarse_strides[-1]).intersect(wide)
        cells = _cells(wide)
        seen = [grow(cell, self.margins[0], 1).intersect(around) for cell in cells]
        first = slide.pixels(seen[0])
        return _Block(list(tiles), works, slide.factor, slide.pixels, cells, seen, first, wide, near)

    @torch.inference_mode()
    def compute_tiles(self, block: "_Block") -> Iterator[tuple[Region, Tensor, None] | None]:
        """Yield tiles of a block with their class probabilities (classes, rows, columns), on the device.

        None is yielded now and then meanwhile, so that the caller may stop.

        Raises
        ------
        UnsupportedSlideError
            If the pixels cannot be decoded.
        """
        features: list[Tensor] = []
        for cell, seen, pixels in block.read_ahead():
            self._compute_cell(block, cell, seen, pixels, features)
            yield None
        *finer, seam = features
        coarse = self._coarse_answer(seam)
        del seam, features
        yield None
        for tile, work in zip(block.tiles, block.works, strict=True):
            probabilities = self._answer(block, work, coarse, finer)
            if block.factor != 1:
                probabilities = resample_to_mask_grid(probabilities, work, tile, block.factor)
            yield tile, probabilities, None

    def _compute_cell(
        self, block: "_Block", cell: Region, seen: Region, pixels: UInt8Array, features: list[Tensor]
    ) -> None:
        """Compute the shallow features of a cell of a block, and copy what is kept of them into `features`."""
        with self.device.autocast():
            levels = self.network.shallow(self.device.send(as_tensor(pixels[None])))
        kept = block.kept(len(levels))
        if not features:
            features += [self._empty(level, box, stride) for level, box, stride in self._by_scale(levels, kept)]
        for whole, (level, box, stride) in zip(features, self._by_scale(levels, kept), strict=True):
            part = cell.intersect(box)
            if not part.empty:
                into = _cut(whole, part, box, stride)
                into.copy_(_cut(level, part, seen, stride))

    def _empty(self, level: Tensor, box: Region, stride: int) -> Tensor:
        """Return memory for features like `level` of a box."""
        shape = (1, level.shape[1], box.height // stride, box.width // stride)
        return torch.empty(shape, dtype=self.dtype, device=level.device, memory_format=torch.channels_last)

    def _coarse_answer(self, seam: Tensor) -> Sequence[Tensor]:
        beyond = 0 if self.exact else min(_MIRRORED, *(side - 1 for side in seam.shape[-2:]))
        if beyond < _MIRRORED:
            with self.device.autocast():
                return self.network.deep(seam)
        padded = F.pad(seam, [beyond] * 4, mode="reflect").contiguous(memory_format=torch.channels_last)
        with self.device.autocast():
            answers = self.network.deep(padded)
        cut = [beyond * SEAM // stride for stride in self.network.coarse_strides]
        return [answer[..., each:-each, each:-each] for answer, each in zip(answers, cut, strict=True)]

    def _by_scale(self, levels: Sequence[Tensor], kept: Sequence[Region]) -> Iterator[tuple[Tensor, Region, int]]:
        return zip(levels, kept, self.network.strides, strict=True)

    def _answer(self, block: "_Block", work: Region, coarse: Sequence[Tensor], finer: Sequence[Tensor]) -> Tensor:
        """Return the class probabilities of a box of the working grid."""
        strides = self.network.coarse_strides
        box = aligned(work, self.margins[1], strides[-1]).intersect(block.near)
        parts = [_cut(level, box, block.wide, stride) for level, stride in zip(coarse, strides, strict=True)]
        parts += [
            _cut(level, box, block.near, stride) for level, stride in zip(finer, self.network.strides, strict=False)
        ]
        with self.device.autocast():
            logits = self.network.fine(*(part.contiguous(memory_format=torch.channels_last) for part in parts))[0]
        kept = work.shift(-box.top, -box.left)
        probabilities: Tensor = logits[:, *kept.slices].float().softmax(dim=0)
        return probabilities


class _Block(NamedTuple):
    """Tiles of a mask's grid, the boxes of the working grid that cover them, and the pixels that are needed for them.

    The shallow layers compute one of the `cells` after another, of the pixels in the box of the same number in `seen`,
    of which the first are read.  `wide` is the box of the deep layers, `near` that of the fine ones.
    """

    tiles: list[Region]
    works: list[Region]
    factor: float
    read: Callable[[Region], UInt8Array]
    cells: list[Region]
    seen: list[Region]
    first: UInt8Array
    wide: Region
    near: Region

    def read_ahead(self) -> Iterator[tuple[Region, Region, UInt8Array]]:
        """Yield the cells with the boxes that they see and the pixels there; the next ones are read meanwhile."""
        pixels = self.first
        with ThreadPoolExecutor(1, "cells-read") as reader:
            for number, (cell, seen) in enumerate(zip(self.cells, self.seen, strict=True), start=1):
                following = reader.submit(self.read, self.seen[number]) if number < len(self.cells) else None
                yield cell, seen, pixels
                if following is not None:
                    pixels = following.result()

    def kept(self, scales: int) -> list[Region]:
        """Return the box in which the features of each scale are kept: the last ones are those of the deep layers."""
        return [*[self.near] * (scales - 1), self.wide]


def _cells(box: Region) -> list[Region]:
    """Return a box in equal parts."""
    rows, columns = (_divided(side) for side in (box.height, box.width))
    return [
        Region(top, left, bottom - top, right - left).shift(box.top, box.left)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]


def _divided(side: int) -> list[int]:
    """Return where equal parts of a side, none longer than `_CELL`, begin and end."""
    count = max(1, round(side / _CELL))
    length = _whole(-(-side // count), SEAM)
    return [*range(0, side, length), side]


def _whole(pixels: int, stride: int) -> int:
    return -(-pixels // stride) * stride


def _cut(level: Tensor, part: Region, box: Region, stride: int) -> Tensor:
    """Return the features of a part of a box, out of those of the box."""
    top, left, height, width = (value // stride for value in part.shift(-box.top, -box.left))
    return level[..., top : top + height, left : left + width]
