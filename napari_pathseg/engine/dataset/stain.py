"""Stain normalisation and stain jitter.

Stains add up in optical density, so each change of colour here is a small matrix on the
logarithm of the pixels.  A normaliser is fitted once to a slide's thumbnail and is then
cheap for each tile; its target is published, so a project stores nothing for it.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_pathseg.geometry.arrays import UInt8Array

Matrix = npt.NDArray[np.floating]
Normaliser = Callable[[UInt8Array], UInt8Array]

# Red, green and blue density of haematoxylin, eosin and a residual (DAB), a row each [Ruifrok & Johnston 2001].
RGB_FROM_HED: Matrix = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
HED_FROM_RGB: Matrix = np.linalg.inv(RGB_FROM_HED)

# Macenko's reference: densities of haematoxylin and eosin, a column each, and their maximum
# amounts; then the white level, alpha and beta of his published code.
_MACENKO_STAINS: Matrix = np.array([[0.5626, 0.2159], [0.7201, 0.8012], [0.4062, 0.5581]])
_MACENKO_AMOUNTS: Matrix = np.array([1.9705, 1.0308])
_WHITE, _PERCENTILE, _MIN_DENSITY = 240.0, 1.0, 0.15
_MIN_STAIN_ANGLE = 0.05  # sine of the angle between two stains; below it they count as one

# RGB to LMS, LMS to l-alpha-beta [Reinhard 2001, equations 4 and 6].
_LMS: Matrix = np.array([[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]])
_LAB: Matrix = np.diag([3**-0.5, 6**-0.5, 2**-0.5]) @ np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]])
# Mean and deviation of l-alpha-beta in TCGA-A2-A3XS-DX1 [Amgad et al. 2019], HistomicsTK's target.
_REINHARD_MEAN: Matrix = np.array([8.74108109, -0.12440419, 0.0444982])
_REINHARD_DEVIATION: Matrix = np.array([0.6135447, 0.10989545, 0.0286032])

_MIN_TISSUE_PIXELS = 500  # to estimate a staining
_MAX_SAMPLED_PIXELS = 1 << 20  # of a thumbnail
_MIN_BRIGHTNESS = 20  # of the brightest channel; darker pixels are the border of a scan, not tissue
_MIN_COLOR_RANGE = 8  # between the channels of the median pixel; below it a slide has no colour


def stain_normaliser(method: str, thumbnail: UInt8Array) -> Normaliser | None:
    """Return a function that normalises a slide's pixels to the reference staining.

    Parameters
    ----------
    method
        "none", "macenko" or "reinhard".
    thumbnail
        RGB of the whole slide at low resolution, shape (rows, columns, 3); only tissue is used.

    Returns
    -------
    normalise : function of RGB pixels of any size, or None
        None leaves the slide unchanged: the method is "none", or the thumbnail shows too
        little tissue, no colour, or a single stain.

    References
    ----------
    .. [1] Macenko et al., A method for normalizing histology slides for quantitative
       analysis, ISBI 2009.
    .. [2] Reinhard et al., Color transfer between images, IEEE CG&A 21(5), 2001.
    .. [3] Amgad et al., Structured crowdsourcing enables convolutional segmentation of
       histology images, Bioinformatics 35(18), 2019.
    """
    if method == "none":
        return None
    fit = {"macenko": _fit_macenko, "reinhard": _fit_reinhard}[method]
    tissue = _tissue_pixels(thumbnail)
    return None if tissue is None else fit(tissue)


def to_planes(pixels: UInt8Array) -> Tensor:
    """Return RGB pixels (rows, columns, 3) as float32 (3, rows, columns), still 0 to 255."""
    return torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.float32, order="C"))


def to_pixels(planes: Tensor) -> UInt8Array:
    """Return float32 (3, rows, columns) as RGB pixels, rounded and clipped to 0 ... 255."""
    rounded = (planes + 0.5).clamp_(0, 255).numpy().astype(np.uint8)
    return np.stack(list(rounded), axis=-1)  # a third of the time of a transposed copy


def transform_density(planes: Tensor, matrix: Matrix, offset: Matrix) -> Tensor:
    """Return the planes after replacing ``log(planes + 1)`` by ``matrix @ log(planes + 1) + offset``."""
    mixed = torch.addmm(_column(offset), _float(matrix), planes.reshape(3, -1).add(1).log_())
    return mixed.exp_().sub_(1).clamp_(0, 255).reshape(planes.shape)


def hed_transform(scale: Matrix, shift: Matrix) -> tuple[Matrix, Matrix]:
    """Return matrix and offset for `transform_density` that scale and shift the amounts of H, E and residual.

    Amounts are in natural optical density, ``log(256) - log(value + 1)``.
    """
    matrix = RGB_FROM_HED.T @ np.diag(scale) @ HED_FROM_RGB.T
    return matrix, np.log(256) * (1 - matrix.sum(axis=1)) - RGB_FROM_HED.T @ shift


def _float(values: Matrix) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def _column(values: Matrix) -> Tensor:
    return _float(values)[:, None]


def _tissue_pixels(thumbnail: UInt8Array) -> Matrix | None:
    """Return the RGB values of tissue, shape (pixels, 3), or None if there is too little of it, or no colour."""
    values = thumbnail.reshape(-1, 3)
    values = values[:: len(values) // _MAX_SAMPLED_PIXELS + 1]
    brightest = values.max(axis=1)
    glass = _WHITE * np.exp(-_MIN_DENSITY) - 1
    values = values[(brightest >= _MIN_BRIGHTNESS) & (values.min(axis=1) < glass)]
    if len(values) < _MIN_TISSUE_PIXELS or np.median(np.ptp(values, axis=1)) < _MIN_COLOR_RANGE:
        return None
    tissue: Matrix = values.astype(np.float64)
    return tissue


def _fit_macenko(tissue: Matrix) -> Normaliser | None:
    """Estimate the two stains in the plane of largest variance, and the maximum amount of each."""
    density = np.log(_WHITE) - np.log(tissue + 1)
    density = density[density.mean(axis=1) >= _MIN_DENSITY]  # of the mean, because pale eosin hardly absorbs red
    if len(density) < _MIN_TISSUE_PIXELS:
        return None
    plane = np.linalg.eigh(np.cov(density.T))[1][:, 1:]
    across, along = (density @ plane).T
    angles = np.percentile(np.arctan2(along, across), [_PERCENTILE, 100 - _PERCENTILE])
    first, second = (plane @ [np.cos(angle), np.sin(angle)] for angle in angles)
    stains = np.stack([first, second] if first[0] > second[0] else [second, first], axis=1)
    unmix = np.linalg.pinv(stains)
    amounts = np.percentile(density @ unmix.T, 99, axis=0)
    if np.linalg.norm(np.cross(first, second)) < _MIN_STAIN_ANGLE or (amounts < _MIN_DENSITY).any():
        return None
    matrix = _MACENKO_STAINS @ np.diag(_MACENKO_AMOUNTS / amounts) @ unmix
    return partial(_apply_macenko, matrix, np.log(_WHITE) * (1 - matrix.sum(axis=1)))


def _apply_macenko(matrix: Matrix, offset: Matrix, pixels: UInt8Array) -> UInt8Array:
    return to_pixels(transform_density(to_planes(pixels), matrix, offset))


def _fit_reinhard(tissue: Matrix) -> Normaliser | None:
    """Scale and shift l-alpha-beta so that tissue has the mean and deviation of the target."""
    lab = np.log(np.maximum(tissue @ _LMS.T, 1)) @ _LAB.T
    deviation = lab.std(axis=0)
    if (deviation < 1e-3).any():
        return None
    gain = _REINHARD_DEVIATION / deviation
    back = np.linalg.inv(_LAB)
    offset = back @ (_REINHARD_MEAN - gain * lab.mean(axis=0))
    return partial(_apply_reinhard, back @ np.diag(gain) @ _LAB, offset)


def _apply_reinhard(matrix: Matrix, offset: Matrix, pixels: UInt8Array) -> UInt8Array:
    planes = to_planes(pixels)
    logs = (_float(_LMS) @ planes.reshape(3, -1)).clamp_(min=1).log_()
    mixed = torch.addmm(_column(offset), _float(matrix), logs).exp_()
    return to_pixels((_float(np.linalg.inv(_LMS)) @ mixed).reshape(planes.shape))
