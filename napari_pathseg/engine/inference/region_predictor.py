"""Prediction of a small box of a slide: from its pixels to the probability of each class."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.dataset.tiles import grow
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.tta import TestTimeAugmentation
from napari_pathseg.engine.networks import Network
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
    """

    network: Network | TestTimeAugmentation
    device: Device
    halo: int
    shifts: int = 1

    @torch.inference_mode()
    def probabilities(self, slide: SlidePatchSource, region: Region) -> Tensor:
        """Return the class probabilities of a box, shape (classes, rows, columns), on the device."""
        work = slide.on_working_grid(region)
        passes = [self._shifted_pass(slide, work, offset) for offset in OFFSETS[: self.shifts]]
        probabilities = torch.stack(passes).mean(dim=0) if len(passes) > 1 else passes[0]
        return probabilities if slide.factor == 1 else _resample_to_mask_grid(probabilities, work, region, slide.factor)

    def probabilities_8_bit(self, slide: SlidePatchSource, region: Region) -> UInt8Array:
        """Return the class probabilities of a box, shape (classes, rows, columns), as they are stored: 0 to 255."""
        return to_8_bits(self.probabilities(slide, region))

    def classes(self, slide: SlidePatchSource, region: Region) -> UInt8Array:
        """Return the class of each pixel of a box, as a stored prediction has it."""
        return most_likely_classes(self.probabilities_8_bit(slide, region))

    def _shifted_pass(self, slide: SlidePatchSource, work: Region, offset: tuple[int, int]) -> Tensor:
        """Return the probabilities of a box of the working grid, from a tile that begins `offset` pixels earlier."""
        down, right = offset
        earlier = Region(work.top - down, work.left - right, work.height + down, work.width + right)
        grown = grow(earlier, self.halo, self.network.multiple)
        pixels = self.device.send(as_tensor(slide.pixels(grown)[None]))
        context = None
        if self.network.surroundings is not None:
            context = self.device.send(as_tensor(slide.context(grown)[None]))
        with self.device.autocast():
            logits = self.network(pixels, context)[0]
        top, left = self.halo + down, self.halo + right
        probabilities: Tensor = logits[:, top : top + work.height, left : left + work.width].float().softmax(dim=0)
        return probabilities


def to_8_bits(probabilities: Tensor) -> UInt8Array:
    """Return probabilities as they are stored, 0 to 255."""
    result: UInt8Array = (probabilities * 255).round().to(torch.uint8).cpu().numpy()
    return result


def _resample_to_mask_grid(values: Tensor, work: Region, region: Region, factor: float) -> Tensor:
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
