"""How the tissue of a slide looks, in numbers that slides can be compared by: brightness, stain and sharpness.

Arrays only.  What is odd in a slide by itself is in `appearance.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.json_schema import PixelSize

_WHITE, _PALEST, _DARKEST = 240.0, 0.15, 20  # grey of glass; least density, and brightest channel, of tissue
_LEAST_PIXELS = 500  # of tissue, to measure its stain
_BRIGHTEST = 99  # percent of the pixels are darker than the brightness
_FINE, _COARSE = 1.0, 2.0  # pixels: structures up to the first are fine, from there to the second coarse
_LEAST_VARIANCE = 1e-3  # grey values squared; less is a flat picture
_DIGITS = 4

_Density = Annotated[float, Meta(ge=0, le=10)]
_Direction = Annotated[tuple[_Density, _Density, _Density], Meta()]


@dataclass(frozen=True)
class Look:
    """How the tissue of a slide looks.

    Attributes
    ----------
    brightness
        Mean of red, green and blue that 99 % of the pixels do not exceed, 0 to 255.
    density
        Mean optical density of the tissue, natural logarithm.
    pale, dense
        Density of red, green and blue in the paler and the denser half of the tissue, as vectors of length 1: mostly
        eosin and haematoxylin in an H&E stain.
    sharpness
        Logarithm to the base 2 of the variance of fine structures by that of coarser ones.
    mpp
        Micrometres per level-0 pixel, None if unknown.
    """

    brightness: Annotated[float, Meta(ge=0, le=255)]
    density: _Density
    pale: _Direction
    dense: _Direction
    sharpness: Annotated[float, Meta(ge=-100, le=100)]
    mpp: PixelSize | None = None


def measure_look(tiles: Sequence[UInt8Array], mpp: float | None = None) -> Look | None:
    """Return how RGB tiles of a slide look, all at the same scale; None if they show too little tissue.

    Parameters
    ----------
    tiles
        Arrays (rows, columns, 3) of at least 8 pixels along a side.
    mpp
        Micrometres per level-0 pixel of the slide.
    """
    values = np.concatenate([tile.reshape(-1, 3) for tile in tiles]) if tiles else np.empty((0, 3), np.uint8)
    is_tissue = (values.max(axis=1) >= _DARKEST) & (values.min(axis=1) < _WHITE * np.exp(-_PALEST) - 1)
    tissue = values[is_tissue].astype(np.float32)
    if len(tissue) < _LEAST_PIXELS:
        return None
    density = np.maximum(np.log(_WHITE) - np.log(tissue + 1), 0)
    amount = density.mean(axis=1)
    is_pale = amount <= np.median(amount)
    pale = density[is_pale].mean(axis=0)
    dense = density[~is_pale].mean(axis=0) if not is_pale.all() else pale
    brightness = float(np.percentile(values.mean(axis=1), _BRIGHTEST))
    return Look(
        round(brightness, _DIGITS),
        round(float(amount.mean()), _DIGITS),
        _direction(pale),
        _direction(dense),
        round(_sharpness(tiles), _DIGITS),
        mpp,
    )


def _direction(density: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    red, green, blue = density / max(float(np.linalg.norm(density)), 1e-6)
    return round(float(red), _DIGITS), round(float(green), _DIGITS), round(float(blue), _DIGITS)


def _sharpness(tiles: Sequence[UInt8Array]) -> float:
    from scipy import ndimage  # it takes 0.2 s, and bundles only hold looks

    fine = coarse = _LEAST_VARIANCE
    for tile in tiles:
        grey = tile.mean(axis=2, dtype=np.float32)
        smooth = ndimage.gaussian_filter(grey, _FINE)
        fine += float((grey - smooth).var()) * grey.size
        coarse += float((smooth - ndimage.gaussian_filter(grey, _COARSE)).var()) * grey.size
    return float(np.log2(fine / coarse))
