"""Prediction of a small box of a slide: from its pixels to the probability of each class."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.blending import GaussianBlending
from napari_pathseg.engine.inference.tta import TestTimeAugmentation
from napari_pathseg.engine.runtime.choice import SegmentationNetwork
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import most_likely_classes

SHIFT = 16  # working pixels, half of what a pixel of the deepest features spans
OFFSETS = ((0, 0), (SHIFT, SHIFT), (0, SHIFT), (SHIFT, 0))  # of shifted passes: rows and columns a tile begins earlier


def as_tensor(pixels: UInt8Array) -> Tensor:
    """Convert RGB tiles, shape (n, rows, columns, 3), to the network's input, shape (n, 3, rows, columns)."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 1)


@dataclass(frozen=True)
class RegionPredictor:
    """A network on its device that predicts small boxes of a slide's mask grid.

    Attributes
    ----------
    network
        The network, in eval mode.
    device
        Where it computes.
    halo
        Working pixels predicted around a box and cropped again, in every pass at least so many.
    shifts
        Passes whose probabilities are averaged: the first of `OFFSETS`.
    together
        Working pixels along a block of tiles that are computed as one; 0: each alone.
    """

    network: SegmentationNetwork | TestTimeAugmentation | GaussianBlending
    device: Device
    halo: int
    shifts: int = 1
    together: int = 0

    def read(self, slide: SlidePatchSource, region: Region) -> "BoxPixels":
        """Read what is needed to predict a box; a thread may do so while another box is computed.

        Raises
        ------
        UnsupportedSlideError
            If the pixels cannot be decoded.
        """
        work = slide.on_working_grid(region)
        passes = []
        for down, right in OFFSETS[: self.shifts]:
            grown = aligned(work, self.halo, self.network.multiple, (down, right))
            context = None if self.network.surroundings is None else slide.context(grown)
            passes.append(_Pass(slide.pixels(grown), context, work.shift(-grown.top, -grown.left)))
        return BoxPixels(region, work, slide.factor, passes)

    def compute(self, box: "BoxPixels") -> Tensor:
        """Return the class probabilities of a box that was read, shape (classes, rows, columns), on the device."""
        return self.compute_both(box)[0]

    @torch.inference_mode()
    def compute_both(self, box: "BoxPixels") -> tuple[Tensor, Tensor | None]:
        """Return the class probabilities of a box that was read, and the disagreement of their positions if several.

        Their shapes are (classes, rows, columns) and (rows, columns); see `disagreement_of`.
        """
        if not self.compares_positions:
            answers = [self._answer(each) for each in box.passes]
            mean = torch.stack(answers).mean(dim=0) if len(answers) > 1 else answers[0]
            return self._on_mask(mean, box), None
        total: Tensor | float = 0.0
        entropy: Tensor | float = 0.0
        count = 0
        for answer in (answer for each in box.passes for answer in self._answers(each)):
            total, entropy, count = total + answer, entropy + entropy_of(answer), count + 1
        mean = torch.as_tensor(total) / count
        disagreement = disagreement_of(mean, torch.as_tensor(entropy) / count)
        return self._on_mask(mean, box), self._on_mask(disagreement[None], box)[0]

    @property
    def compares_positions(self) -> bool:
        """Whether a tile is predicted in several positions whose answers are known one by one."""
        network = self.network
        return isinstance(network, TestTimeAugmentation) and network.count * self.shifts > 1

    def _on_mask(self, values: Tensor, box: "BoxPixels") -> Tensor:
        return values if box.factor == 1 else resample_to_mask_grid(values, box.work, box.region, box.factor)

    def probabilities(self, slide: SlidePatchSource, region: Region) -> Tensor:
        """Return the class probabilities of a box, shape (classes, rows, columns), on the device."""
        return self.compute(self.read(slide, region))

    def classes(self, slide: SlidePatchSource, region: Region) -> UInt8Array:
        """Return the class of each pixel of a box, as a stored prediction has it."""
        return most_likely_classes(to_8_bits(self.probabilities(slide, region)))

    # -- as a prediction of a slide uses it

    def block(self, factor: float) -> int:
        """Return the mask pixels along a block of a slide whose working pixels are `factor` mask pixels wide."""
        return int(self.together * factor)

    def read_tiles(
        self, slide: SlidePatchSource, tiles: Sequence[Region], whole: Region
    ) -> list[tuple["BoxPixels", list[Region]]]:
        """Read what is needed to predict tiles of a block, which is `whole`, or each alone: boxes and their tiles."""
        if self.together:
            return [(self.read(slide, whole), list(tiles))]
        return [(self.read(slide, tile), [tile]) for tile in tiles]

    def compute_tiles(
        self, read: list[tuple["BoxPixels", list[Region]]]
    ) -> Iterator[tuple[Region, Tensor, Tensor | None]]:
        """Yield tiles that were read with what `compute_both` returns."""
        for box, tiles in read:
            mean, disagreement = self.compute_both(box)
            for tile in tiles:
                part = tile.shift(-box.region.top, -box.region.left).slices
                yield tile, mean[:, *part], None if disagreement is None else disagreement[part]

    def _answers(self, each: "_Pass") -> Iterator[Tensor]:
        """Yield the probabilities of each symmetry of a pass."""
        assert isinstance(self.network, TestTimeAugmentation)
        pixels = self.device.send(as_tensor(each.pixels[None]))
        context = None if each.context is None else self.device.send(as_tensor(each.context[None]))
        with self.device.autocast():
            for probabilities in self.network.answers(pixels, context):
                yield probabilities[0][:, *each.kept.slices].float()

    def _answer(self, each: "_Pass") -> Tensor:
        pixels = self.device.send(as_tensor(each.pixels[None]))
        context = None if each.context is None else self.device.send(as_tensor(each.context[None]))
        with self.device.autocast():
            logits = self.network(pixels, context)[0]
        probabilities: Tensor = logits[:, *each.kept.slices].float().softmax(dim=0)
        return probabilities


class _Pass(NamedTuple):
    """What a network sees of a box in one pass, and the part of it that is kept."""

    pixels: UInt8Array
    context: UInt8Array | None
    kept: Region


class BoxPixels(NamedTuple):
    """A box of a mask's grid, the box of the working grid that covers it, and its pixels for each pass."""

    region: Region
    work: Region
    factor: float
    passes: list[_Pass]


def aligned(box: Region, halo: int, multiple: int, shift: tuple[int, int] = (0, 0)) -> Region:
    """Return a box grown by `halo` to multiples of the slide's grid, from `shift` pixels earlier.

    A network's coarse features lie on a grid that begins with its input; so that is the same for all tiles.
    """
    (down, right), (top, left) = shift, ((edge - halo) // multiple * multiple for edge in (box.top, box.left))
    height = -(-(box.bottom + halo - top + down) // multiple) * multiple
    width = -(-(box.right + halo - left + right) // multiple) * multiple
    return Region(top - down, left - right, height, width)


def entropy_of(probabilities: Tensor) -> Tensor:
    """Return the entropy of the classes of each pixel, in nats, of probabilities (classes, rows, columns)."""
    entropy: Tensor = torch.special.entr(probabilities).sum(dim=0)
    return entropy


def disagreement_of(mean: Tensor, entropy: Tensor) -> Tensor:
    """Return how much positions disagree, 0 to 1: the root of their mutual information by the logarithm of the classes.

    It is the entropy of the mean prediction less the mean entropy of the predictions: 0 where each position gives the
    same probabilities, however unsure they are.

    Parameters
    ----------
    mean, entropy
        The means over the positions, (classes, rows, columns) and (rows, columns).
    """
    information = (entropy_of(mean) - entropy) / math.log(max(2, len(mean)))
    return information.clamp(0, 1).sqrt()


def to_8_bits(probabilities: Tensor) -> UInt8Array:
    """Return values from 0 to 1 as they are stored, 0 to 255."""
    result: UInt8Array = (probabilities * 255).round().to(torch.uint8).cpu().numpy()
    return result


def resample_to_mask_grid(values: Tensor, work: Region, region: Region, factor: float) -> Tensor:
    """Interpolate values, shape (classes, rows, columns), from a box of the working grid to one of the mask grid."""
    for axis, (first, start, count) in enumerate(
        ((work.top, region.top, region.height), (work.left, region.left, region.width)), start=1
    ):
        size = values.shape[axis]
        positions = ((torch.arange(start, start + count) + 0.5) / factor - 0.5 - first).clamp(0, size - 1)
        below = positions.floor().long().clamp(max=max(0, size - 2))
        weight = (positions - below).to(values).view([-1 if a == axis else 1 for a in range(3)])
        below = below.to(values.device)
        above = (below + 1).clamp(max=size - 1)
        values = values.index_select(axis, below) * (1 - weight) + values.index_select(axis, above) * weight
    return values
