"""Scoring a network on held-out slides while it learns."""

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.data.geometry import Region
from napari_pathseg.engine.dataset import LearningSet, LearningSlide
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.networks import UNet
from napari_pathseg.engine.scores import Confusion
from napari_pathseg.engine.tiles import Pixels, grow

_SIDE = 512
_HALO = 32
_MOST_TILES = 24


def as_tensor(pixels: Pixels) -> Tensor:
    """Return RGB tiles, shape (n, rows, columns, 3), as the network takes them."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 1)


@torch.inference_mode()
def predict_region(network: UNet, device: Device, slide: LearningSlide, region: Region) -> Pixels:
    """Return 8-bit probabilities, shape (classes, rows, columns), of a small box of a slide."""
    grown = grow(region, _HALO, UNet.multiple)
    pixels = device.send(as_tensor(slide.pixels(grown)[None]))
    with device.autocast():
        logits = network(pixels)[0]
    return crop_probabilities(logits, _HALO, region)


def crop_probabilities(logits: Tensor, halo: int, region: Region) -> Pixels:
    """Cut the halo off logits (classes, rows, columns) and return 8-bit probabilities."""
    inner = logits[:, halo : halo + region.height, halo : halo + region.width].float()
    result: Pixels = (inner.softmax(dim=0) * 255).round().to(torch.uint8).cpu().numpy()
    return result


class Validator:
    """The held-out tiles of a run: the same ones for every score in it."""

    def __init__(self, held_out: LearningSet, classes: int, rng: np.random.Generator) -> None:
        self._classes = classes
        self._tiles = list(held_out.spread(_SIDE, _MOST_TILES, rng))

    def score(self, network: UNet, device: Device) -> Confusion:
        """Return the pixels of the held-out tiles by true and predicted class."""
        network.eval()
        confusion = Confusion.empty(self._classes)
        for slide, region in self._tiles:
            probabilities = predict_region(network, device, slide, region)
            confusion.add(slide.labels(region), (probabilities.argmax(axis=0) + 1).astype(np.uint8))
        return confusion
