"""How tiles are varied while a network learns: turned, warped, stained otherwise, spoiled.

Picture, labels and weights move together: one warp is one sampling, in which labels and
weights take the nearest pixel and are never mixed.  All random numbers come from the
`Generator` that is passed, so a seed repeats a tile bit for bit.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import imagecodecs
import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.dataset.stain import remix, shift_hed, to_pixels, to_planes
from napari_pathseg.engine.dataset.tiles import Tile
from napari_pathseg.geometry.arrays import Float32Array

Scalar = TypeVar("Scalar", bound=np.generic)
_KNOTS = 8  # control points of bending along each side
_CONTEXT = 4  # how much coarser the context is than the tile


class Augmentation:
    """Draws variants of tiles, as the settings of the group *Augmentation* say.

    References
    ----------
    .. [1] Ronneberger, Fischer, Brox, U-Net, MICCAI 2015: bending by random shifts of a coarse grid.
    .. [2] Rueckert et al., Nonrigid registration using free-form deformations, IEEE TMI
       18(8), 1999: cubic B-splines between the points of that grid.
    .. [3] Tellez et al., Quantifying the effects of data augmentation and stain color
       normalization in convolutional neural networks for computational pathology, Medical
       Image Analysis 58, 2019: the jitter of haematoxylin and eosin.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config

    def __call__(self, tile: Tile, rng: np.random.Generator) -> Tile:
        """Return a variant of a square tile; the tile itself stays as it is.

        Its context is turned, rotated, shifted, sheared, zoomed and stained with it, but neither
        bent nor spoiled.  What a warp fetches from beyond the tile is mirrored, labels too.
        """
        tile = self._turn(tile, rng)
        planes = to_planes(tile.pixels)
        around = None if tile.context is None else to_planes(tile.context)
        labels, weights = tile.labels, tile.weights
        if rng.random() < self._config.geometric_p:
            warp = _Warp.draw(self._config, rng)
            shifts = warp.displacement(len(labels))
            planes, labels = _warp_planes(planes, shifts), _warp_mask(labels, shifts)
            weights = None if weights is None else _warp_mask(weights, shifts)
            around = None if around is None else _warp_planes(around, warp.around().displacement(len(labels)))
        if self._config.stain_jitter > 0:
            restain = _draw_stain(self._config.stain_jitter, rng, grey=_is_grey(planes))
            planes, around = restain(planes), None if around is None else restain(around)
        if rng.random() < self._config.degrade_p:
            planes = _spoil(planes, self._config, rng)
        return Tile(to_pixels(planes), labels, weights, None if around is None else to_pixels(around))

    def _turn(self, tile: Tile, rng: np.random.Generator) -> Tile:
        if not self._config.flip_rotate:
            return tile
        number = int(rng.integers(8))
        pixels, labels = turn(number, tile.pixels, tile.labels)
        weights = None if tile.weights is None else np.ascontiguousarray(turn(number, tile.weights)[0])
        context = None if tile.context is None else turn(number, tile.context)[0]
        return Tile(pixels, np.ascontiguousarray(labels), weights, context)


def turn(number: int, *arrays: npt.NDArray[Scalar]) -> list[npt.NDArray[Scalar]]:
    """Return views of the arrays in one of the eight positions of a square, by number 0 to 7."""
    turned = [np.rot90(array, number % 4) for array in arrays]
    return [array[::-1] for array in turned] if number >= 4 else turned


@dataclass(frozen=True)
class _Warp:
    """Where the pixels of a warped tile come from.

    Attributes
    ----------
    matrix
        From (row, column) about the centre of the warped tile to those of the tile.
    shift
        Added to these, as a share of the side.
    bend
        Added to these, in pixels: control points, shape (2, knots, knots).
    """

    matrix: Float32Array
    shift: Float32Array
    bend: Float32Array

    @classmethod
    def draw(cls, config: TrainConfig, rng: np.random.Generator) -> "_Warp":
        """Draw each change evenly up to its limit."""
        angle, slant = np.radians(rng.uniform(-1, 1, 2) * (config.rotation, config.shear))
        zoom = (1 + config.zoom) ** rng.uniform(-1, 1)  # as often n times larger as n times smaller
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shear = np.array([[1, 0], [np.tan(slant), 1]])
        shift = rng.uniform(-config.shift, config.shift, 2)
        bend = rng.uniform(-config.elastic, config.elastic, (2, _KNOTS, _KNOTS))
        return cls(*(values.astype(np.float32) for values in (rotation @ shear / zoom, shift, bend)))

    def around(self) -> "_Warp":
        """Return the warp of the context, which is coarser and has no need to bend."""
        return replace(self, shift=self.shift / np.float32(_CONTEXT), bend=np.zeros_like(self.bend))

    def displacement(self, side: int) -> Tensor:
        """Return what torchvision's ``elastic`` takes: x and y in half sides, shape (1, side, side, 2)."""
        steps = np.arange(side, dtype=np.float32)
        about = steps - np.float32((side - 1) / 2)
        # By torch: a product of numpy's wakes OpenBLAS's threads, which then spin for 50 ms on the
        # cores of the next training step.
        basis, bend = torch.from_numpy(_spline_basis(side)), torch.from_numpy(self.bend)
        bent = (basis @ bend @ basis.T).numpy()
        shifts = np.empty((1, side, side, 2), np.float32)
        for axis, here in enumerate((steps[:, None], steps[None, :])):
            down, right = self.matrix[axis]
            start = np.float32((side - 1) / 2 + self.shift[axis] * side)
            source = bent[axis]
            source += (down * about + start)[:, None]
            source += right * about
            shifts[0, ..., 1 - axis] = (_mirror(source, side) - here) * np.float32(2 / side)
        return torch.from_numpy(shifts)


def _mirror(positions: Float32Array, side: int) -> Float32Array:
    """Fold positions back into 0 ... side - 1, the edge pixel not repeated."""
    period = np.float32(2 * (side - 1))
    folded: Float32Array = np.abs(positions - period * np.rint(positions / period))
    return folded


def _spline_basis(side: int) -> Float32Array:
    """Return the share of each control point in each pixel, shape (side, knots); a row adds up to 1."""
    position = np.linspace(0, _KNOTS - 3, side)
    first = np.minimum(position.astype(int), _KNOTS - 4)
    t = position - first
    basis = np.zeros((side, _KNOTS), np.float32)
    shares = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    for number, share in enumerate(shares):
        basis[np.arange(side), first + number] = share / 6
    return basis


def _warp_planes(planes: Tensor, shifts: Tensor) -> Tensor:
    warped: Tensor = functional.elastic(tv_tensors.Image(planes), shifts).as_subclass(Tensor)
    return warped


def _warp_mask(mask: npt.NDArray[Scalar], shifts: Tensor) -> npt.NDArray[Scalar]:
    warped = functional.elastic(tv_tensors.Mask(torch.from_numpy(mask)), shifts)  # takes the nearest for a mask
    values: npt.NDArray[Scalar] = warped.as_subclass(Tensor).numpy()
    return values


def _is_grey(planes: Tensor) -> bool:
    return torch.equal(planes[0], planes[1]) and torch.equal(planes[1], planes[2])


def _draw_stain(strength: float, rng: np.random.Generator, *, grey: bool) -> Callable[[Tensor], Tensor]:
    """Draw another staining, for a grey tile another contrast and brightness."""
    if grey:
        contrast = 1 + rng.uniform(-strength, strength)
        brightness = 127.5 * (1 - contrast + rng.uniform(-strength, strength))
        return lambda planes: (planes * contrast + brightness).clamp_(0, 255)
    scale, shift = rng.uniform(-strength, strength, (2, 3))
    matrix, offset = shift_hed(1 + scale, shift / 2)  # by half as much: a shift tints glass, too
    return partial(remix, matrix=matrix, offset=offset)


def _spoil(planes: Tensor, config: TrainConfig, rng: np.random.Generator) -> Tensor:
    """Blur, add noise, compress: one or more of those that are wanted, in a scanner's order."""
    limits = ((_blur, config.blur), (_add_noise, config.noise), (_compress, 100 - config.jpeg))
    wanted = [(spoil, limit) for spoil, limit in limits if limit > 0]
    if not wanted:
        return planes
    chosen = int(rng.integers(1, 1 << len(wanted)))  # a bit for each
    for number, (spoil, limit) in enumerate(wanted):
        if chosen >> number & 1:
            planes = spoil(planes, limit, rng)
    return planes


def _blur(planes: Tensor, largest: float, rng: np.random.Generator) -> Tensor:
    # One axis after the other; torchvision's takes both at once: twice the time, and the square of it for a wide blur.
    sigma = rng.uniform(0, largest)
    return torch.from_numpy(ndimage.gaussian_filter(planes.numpy(), (0, sigma, sigma), mode="mirror", truncate=3))


def _add_noise(planes: Tensor, largest: float, rng: np.random.Generator) -> Tensor:
    shape = (1 if _is_grey(planes) else 3, *planes.shape[1:])  # a grey tile stays grey
    noise = rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(0, largest))
    return (planes + torch.from_numpy(noise)).clamp_(0, 255)


def _compress(planes: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    quality = int(rng.integers(100 - int(most), 100))
    # Not by torchvision, whose codecs are deprecated since 0.29.
    return to_planes(imagecodecs.jpeg8_decode(imagecodecs.jpeg8_encode(to_pixels(planes), quality)))
