"""Tissue detection: separate tissue from glass by colour, or by darkness where a slide has none.

Otsu's threshold [1]_ always splits a histogram in two, even for a slide without glass or
without tissue.  So it is limited from both sides: an empty slide stays empty, and one full
of tissue stays whole.  Colours are compared with the slide's own glass, so that tinted glass
is still glass; it differs from pale tissue in having no structure once noise is averaged
out.  Stains are not distinguished.

References
----------
.. [1] Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on
   Systems, Man and Cybernetics 9 (1979) 62-66.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.settings import Settings, setting
from napari_pathseg.slides.slide import Slide

_ASSUMED_MPP = 0.5  # of a slide without a pixel size: a 20x scan
_MIN_GRID_SIDE = 64  # pixels: a small image gets a finer grid
_MAX_GRID_SIDE = 4096  # pixels: the grid of the largest slide fits into memory
_MAX_SPECK = 0.05  # share of the image; also of holes
# Of 255.  Averaged glass, balanced, stays below 10 in saturation; pale fat and mucin begin at 20.
_COLOUR_LIMITS = (10, 20)
_PALEST_COLOUR, _MOST_GLASS = 4, 0.995  # of 255; share of the glass that is paler than all tissue
_DARKNESS_LIMITS = (12, 40)  # uneven light makes glass up to 12 darker than itself
_MIN_GLASS_GREY, _MAX_GLASS_SATURATION = 200, 30  # of what can be glass by its colour alone
_NOISE_WINDOW, _GLASS_WINDOW = 3, 5  # pixels
_MAX_GLASS_DEVIATION = 0.7  # grey values between neighbours, without noise: glass has 0.2, tissue 4 to 30
_MIN_GLASS = 0.005  # share of the image; one full of tissue has 0.001 that could be glass
_BRIGHTER = 5  # grey values
_MAX_BRIGHTER = 0.1  # share of what is not flat that is brighter than glass: dust and edges, but not tissue
_MIN_CONTRAST = 20.0  # grey values between tissue and glass that is not bright
_BLACK = 25  # darker is outside the scan, or the background of fluorescence
_MIN_INK_SATURATION = 140  # of green and blue ink; stains of these colours are paler
_INK_RIM = 3  # pixels around ink that are mixed with glass
_COUNT_BATCH = 1 << 20  # pixels counted at a time
_MAX_INK = 0.33  # share of the tissue; more green and blue is a stain, as in trichromes


@dataclass(frozen=True, kw_only=True)
class TissueConfig(Settings):
    """How tissue is detected on a slide."""

    mpp: float = setting(8.0, "Pixel size at which tissue is detected.", unit="um", minimum=1.0, maximum=64.0)
    specks_um2: float = setting(
        10_000.0, "Pieces smaller than this are left out.", unit="um2", minimum=0.0, maximum=1e8
    )
    holes_um2: float = setting(
        100_000.0, "Holes smaller than this count as tissue.", unit="um2", minimum=0.0, maximum=1e9
    )


@dataclass(frozen=True, eq=False)
class TissueMask:
    """The tissue of a slide, as a mask on a coarse grid.

    Attributes
    ----------
    pixels
        True where there is tissue, on the grid.
    downsample
        Level-0 pixels per pixel of the grid.
    shape
        Rows and columns of the slide's level 0.
    mpp
        Micrometres per level-0 pixel, or None if unknown.
    edited
        Whether a person changed it; such a mask is never recomputed.
    """

    pixels: BoolArray
    downsample: int
    shape: tuple[int, int]
    mpp: float | None
    edited: bool = False

    def __post_init__(self) -> None:
        wanted = grid_shape(self.shape, self.downsample)
        if self.pixels.shape != wanted or self.pixels.dtype != bool:
            raise ValueError(
                f"pixels are {self.pixels.dtype} of {self.pixels.shape}; a slide of {self.shape} at downsample "
                f"{self.downsample} needs bool of {wanted}."
            )

    @property
    def area_mm2(self) -> float | None:
        """The area of the tissue in square millimetres, or None where the pixel size is unknown."""
        if self.mpp is None:
            return None
        return int(self.pixels.sum()) * (self.mpp * self.downsample / 1000) ** 2

    def touches(self, region: Region) -> bool:
        """Return whether there is tissue in a box of level-0 pixels, or next to it."""
        step, (rows, columns) = self.downsample, self.pixels.shape
        top, left = max(0, region.top // step - 1), max(0, region.left // step - 1)
        bottom, right = min(rows, -(-region.bottom // step) + 1), min(columns, -(-region.right // step) + 1)
        return bool(self.pixels[top:bottom, left:right].any())

    def edit(self, pixels: BoolArray) -> "TissueMask":
        """Return the mask with `pixels` that a person drew."""
        return replace(self, pixels=pixels, edited=True)


def find_tissue(slide: Slide, config: TissueConfig | None = None) -> TissueMask:
    """Find the tissue of a slide.

    A slide without a pixel size is assumed to have 0.5 um per pixel.  On a small image, the
    sizes of specks and holes are limited to a twentieth of it.

    Raises
    ------
    UnsupportedSlideError
        If the slide's pixels cannot be decoded.
    """
    config = config or TissueConfig()
    mpp = slide.mpp or _ASSUMED_MPP
    downsample = min(max(1, round(config.mpp / mpp)), max(1, min(slide.shape) // _MIN_GRID_SIDE))
    downsample = max(downsample, -(-max(slide.shape) // _MAX_GRID_SIDE))
    shape = grid_shape(slide.shape, downsample)
    image = slide.read_grid(Region(0, 0, *shape), downsample)
    most, pixel_um2 = _MAX_SPECK * shape[0] * shape[1], (mpp * downsample) ** 2
    specks, holes = (min(area / pixel_um2, most) for area in (config.specks_um2, config.holes_um2))
    return TissueMask(tissue_of(image, specks, holes), downsample, slide.shape, slide.mpp)


def tissue_of(image: UInt8Array, specks: float = 0, holes: float = 0) -> BoolArray:
    """Return which pixels of an image, colour or grey, are tissue.

    Parameters
    ----------
    image
        A slide at low resolution, averaged.
    specks, holes
        Numbers of pixels below which pieces and holes are removed.
    """
    if image.ndim == 3:
        tissue = _tidy(_coloured(image), specks, holes)
        if tissue.any():
            return tissue
        image = image.mean(axis=2).astype(np.uint8)  # no colour: a grey image saved as colour, or an empty slide
    black = _without_small(image < _BLACK, holes)
    tissue = _dark(image, black) & ~ndimage.binary_dilation(black, iterations=2)
    return _tidy(tissue, specks, holes)


def _tidy(tissue: BoolArray, specks: float, holes: float) -> BoolArray:
    return _without_small(~_without_small(~tissue, holes), specks)


def _without_small(mask: BoolArray, size: float) -> BoolArray:
    """Return the mask without its pieces of fewer than `size` pixels."""
    pieces, count = ndimage.label(mask)
    keep = _histogram(pieces, count + 1) >= size
    keep[0] = False
    return np.asarray(keep[pieces])


def _coloured(image: UInt8Array) -> BoolArray:
    """Return which pixels are more saturated than the glass, except ink; all of them if the image shows no glass."""
    low, black = _extremes(image)[0], _extremes(image)[1] < _BLACK
    grey = image.mean(axis=2).astype(np.uint8)
    glass = _glass(grey, (low >= _MIN_GLASS_GREY) & (_saturation(image) <= _MAX_GLASS_SATURATION))
    balanced = image if glass is None else _balance(image, glass)
    saturation = _saturation(balanced)
    tissue = ~black
    if glass is not None:
        palest = _quantile(saturation[glass], _MOST_GLASS) + 1
        limits = min(max(palest, _PALEST_COLOUR), _COLOUR_LIMITS[0]), _COLOUR_LIMITS[1]
        tissue &= saturation > _threshold(saturation[~black], limits)
    elif _glass_level(grey, black) is not None:
        tissue &= saturation > _threshold(saturation[~black], _COLOUR_LIMITS)
    return tissue & ~_pen(balanced, saturation, tissue)


def _balance(image: UInt8Array, glass: BoolArray) -> UInt8Array:
    """Return the image with the colour of its glass made white."""
    white = np.array([median(image[glass, channel]) for channel in range(3)])
    table = np.minimum(np.arange(256)[:, None] * 255 / white + 0.5, 255).astype(np.uint8)
    return np.stack([table[image[..., channel], channel] for channel in range(3)], axis=2)


def _glass(grey: UInt8Array, possible: BoolArray) -> BoolArray | None:
    """Return which of the `possible` pixels are glass, which is flat and brighter than what is not flat; None without.

    Pale tissue can be as bright as glass, and flat in places, but then much of the tissue is brighter than these.
    """
    flat = _flat(grey)
    glass = ndimage.binary_opening(flat & possible, np.ones((3, 3), bool))
    if glass.mean() < _MIN_GLASS:
        return None
    others = grey[~flat]
    brighter = (others > median(grey[glass]) + _BRIGHTER).mean() if others.size else 0.0
    return None if brighter > _MAX_BRIGHTER else glass


def _flat(grey: UInt8Array) -> BoolArray:
    """Return which pixels differ from their neighbours as little as glass does.

    Noise is averaged out first: it has no structure, and even very pale tissue has.
    """
    value = ndimage.uniform_filter(grey.astype(np.float32), _NOISE_WINDOW)
    variance = ndimage.uniform_filter(value**2, _GLASS_WINDOW) - ndimage.uniform_filter(value, _GLASS_WINDOW) ** 2
    return np.asarray(variance < _MAX_GLASS_DEVIATION**2)


def _saturation(image: UInt8Array) -> UInt8Array:
    """Return the saturation of HSV, 0 to 255."""
    low, high = _extremes(image)
    return ((high - low).astype(np.uint16) * np.uint16(255) // np.maximum(high, 1)).astype(np.uint8)


def _extremes(image: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Return the minimum and maximum over each pixel's channels; ten times faster than along an axis of 3."""
    red, green, blue = (image[..., channel] for channel in range(3))
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def _pen(image: UInt8Array, saturation: UInt8Array, tissue: BoolArray) -> BoolArray:
    """Return which pixels are green or blue ink, with its rim; none if these are the colours of the stain."""
    red, green = image[..., 0], image[..., 1]
    cool = tissue & (green > red)
    ink = cool & (saturation >= _MIN_INK_SATURATION)
    if not ink.any() or cool.sum() > _MAX_INK * tissue.sum():
        return np.zeros_like(tissue)
    for _ in range(_INK_RIM):  # scipy's own iterations with a mask would block all other threads
        ink = ndimage.binary_dilation(ink) & cool
    return np.asarray(ink)


def _dark(grey: UInt8Array, black: BoolArray) -> BoolArray:
    """Return which pixels of a grey image are darker than its glass; all of them if it shows no glass."""
    glass = _glass_level(grey, black)
    if glass is None:
        return np.ones(grey.shape, bool)
    darkness = np.clip(glass - grey.astype(np.int16), 0, 255).astype(np.uint8)
    return np.asarray(darkness > _threshold(darkness[~black], _DARKNESS_LIMITS))


def _glass_level(grey: UInt8Array, black: BoolArray) -> int | None:
    """Return the grey value of the glass, which is flat, and bright or brighter than the rest; None without glass."""
    flat = _flat(grey) & ~black
    bright = _glass(grey, (grey >= _MIN_GLASS_GREY) & ~black)
    if bright is not None:
        return int(median(grey[bright]))
    cut = otsu(grey[~black])
    above, below = (grey > cut) & ~black, (grey <= cut) & ~black
    if not above.any() or not below.any() or flat[above].mean() < 0.5:
        return None
    level = np.median(grey[above])
    return int(level) if level - np.median(grey[below]) >= _MIN_CONTRAST else None


def _histogram(values: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
    """Return how often each number below `length` occurs; in batches, since numpy blocks other threads."""
    counts, flat = np.zeros(length, np.int64), values.ravel()
    for first in range(0, flat.size, _COUNT_BATCH):
        counts += np.bincount(flat[first : first + _COUNT_BATCH], minlength=length)
    return counts


def median(values: UInt8Array) -> float:
    """Return the median without blocking other threads, as numpy's does."""
    below = _histogram(values, 256).cumsum()
    middle = (values.size - 1) // 2, values.size // 2
    return float(np.searchsorted(below, middle, "right").mean())


def _quantile(values: UInt8Array, share: float) -> int:
    """Return the smallest value that `share` of the values do not exceed."""
    return int(np.searchsorted(_histogram(values, 256).cumsum(), share * values.size))


def _threshold(values: UInt8Array, limits: tuple[int, int]) -> int:
    return min(max(otsu(values), limits[0]), limits[1])


def otsu(values: UInt8Array) -> int:
    """Return Otsu's threshold, the highest value of the lower class; 0 if all values are equal."""
    counts = _histogram(values, 256).astype(np.float64)
    lower = counts.cumsum()
    upper = lower[-1] - lower
    weighted: npt.NDArray[np.float64] = (counts * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        step = weighted / lower - (weighted[-1] - weighted) / upper
    between = np.nan_to_num(lower * upper * step**2)
    return int(between.argmax())
