"""A grid of augmented samples of a tile, by which a user judges the settings.  It does not know the window."""

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from napari_pathseg.classes import class_table
from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.augmentation import Augmentation
from napari_pathseg.engine.dataset.tiles import Tile
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array

SAMPLES, SIDE, GAP = 4, 160, 2  # samples along each side of the grid; pixels of a sample, and between two


def augmentation_grid(tile: Tile, config: TrainConfig, seed: int) -> UInt8Array:
    """Return a grid of four by four variants of a tile; the first is the tile itself.

    Parameters
    ----------
    tile
        A square tile of any size.
    config
        Only its group *Augmentation* is used.
    seed
        The same seed gives the same variants.

    Returns
    -------
    grid : RGB pixels, 4 x 160 and three gaps of 2 along each side
        The outlines of the classes have the first colours of the palette.
    """
    augment, rng = Augmentation(config), np.random.default_rng(seed)
    whole = SAMPLES * (SIDE + GAP) - GAP
    grid = np.full((whole, whole, 3), 255, np.uint8)
    for number in range(SAMPLES**2):
        top, left = (SIDE + GAP) * (number // SAMPLES), (SIDE + GAP) * (number % SAMPLES)
        grid[top : top + SIDE, left : left + SIDE] = _sample(augment(tile, rng) if number else tile)
    return grid


def _sample(tile: Tile) -> UInt8Array:
    """Return a tile resized to a sample, with the outlines of its classes."""
    size = [SIDE, SIDE]
    image = tv_tensors.Image(torch.from_numpy(tile.pixels).permute(2, 0, 1))
    mask = tv_tensors.Mask(torch.from_numpy(np.ascontiguousarray(tile.labels))[None])
    pixels: UInt8Array = functional.resize(image, size, antialias=True).permute(1, 2, 0).numpy().copy()
    labels: UInt8Array = functional.resize(mask, size)[0].numpy()
    outline = _outline(labels)
    table = class_table([(str(number), None) for number in range(1, max(2, int(labels.max())) + 1)])
    colours = np.array(table.colors, np.uint8)
    pixels[outline] = colours[labels[outline]]
    return pixels


def _outline(labels: UInt8Array) -> BoolArray:
    """Return the pixels whose class is higher than that of a neighbour: a line of one pixel."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    lowest = np.minimum.reduce(neighbours)
    outline: BoolArray = labels > lowest
    return outline
