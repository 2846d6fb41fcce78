"""Prediction of a small box of a slide: from its pixels to the probabilities of each class."""

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

_HALO = 32


def as_tensor(pixels: UInt8Array) -> Tensor:
    """Convert RGB tiles, shape (n, rows, columns, 3), to the network's input, shape (n, 3, rows, columns)."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 1)


@torch.inference_mode()
def predict_region(
    network: Network | TestTimeAugmentation, device: Device, slide: SlidePatchSource, region: Region, halo: int = _HALO
) -> UInt8Array:
    """Return the 8-bit class probabilities, shape (classes, rows, columns), of a small box on the mask grid."""
    work = slide.on_working_grid(region)
    grown = grow(work, halo, network.multiple)
    pixels = device.send(as_tensor(slide.pixels(grown)[None]))
    context = device.send(as_tensor(slide.context(grown)[None])) if network.surroundings is not None else None
    with device.autocast():
        logits = network(pixels, context)[0]
    probabilities = logits[:, halo : halo + work.height, halo : halo + work.width].float().softmax(dim=0)
    if slide.factor != 1:
        probabilities = _resample_to_mask_grid(probabilities, work, region, slide.factor)
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


def most_likely_classes(probabilities: UInt8Array) -> UInt8Array:
    """Return the most likely class of each pixel, counted from 1."""
    classes: UInt8Array = (probabilities.argmax(axis=0) + 1).astype(np.uint8)
    return classes
