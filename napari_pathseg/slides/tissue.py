"""Tissue detection: separate tissue from glass by colour, or by darkness where a slide has none.

Otsu's threshold [1]_ always cuts a histogram in two, a slide without glass or without
tissue too.  So it is held between what glass cannot reach and what it can: an empty slide
stays empty and tissue all over stays whole.  Colours are judged against the slide's own
glass, so that a tinted one is still glass.  Stains are not distinguished.

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
_LEAST_SIDE = 64  # grid pixels across a small picture, which is looked at more finely
_MOST_SIDE = 4096  # grid pixels along the largest slide, so that it fits into memory
_LARGEST_SPECK = 0.05  # share of a picture; also of holes
# Of 255.  Averaged glass, balanced, stays below 10 in saturation; pale fat and mucin begin at 20.
_COLOUR_LIMITS = (10, 20)
_DARKNESS_LIMITS = (12, 40)  # uneven light makes glass up to 12 darker than itself
_GLASS_DARKEST, _GLASS_TINT = 200, 30  # grey value and saturation of what can be glass by its colour alone
_FLAT = 2.5  # grey values that glass varies by from one pixel to the next (0.4); tissue varies by 12 to 40
_LEAST_GLASS = 0.005  # share of a picture; tissue all over has 0.001 that could be glass
_STEP = 20.0  # grey values between tissue and a glass that is not bright
_BLACK = 25  # what no light passed through: outside the scan, or fluorescence's dark ground
_PEN = 140  # saturation of green and blue ink; stains of these colours are paler
_PEN_RIM = 3  # pixels around ink that are mixed with glass
_AT_ONCE = 1 << 20  # pixels that are counted in one go
_MOST_PEN = 0.33  # share of the tissue from which on green and blue are a stain, as in trichromes


@dataclass(frozen=True, kw_only=True)
class TissueConfig(Settings):
    """How tissue is found on a slide."""

    mpp: float = setting(8.0, "Pixel size at which tissue is looked for.", unit="um", minimum=1.0, maximum=64.0)
    specks_um2: float = setting(
        10_000.0, "Pieces smaller than this are left out.", unit="um2", minimum=0.0, maximum=1e8
    )
    holes_um2: float = setting(
        100_000.0, "Holes smaller than this count as tissue.", unit="um2", minimum=0.0, maximum=1e9
    )


@dataclass(frozen=True, eq=False)
class TissueMask:
    """Where on a slide tissue lies.

    Attributes
    ----------
    pixels
        True where there is tissue, on the grid.
    downsample
        Level-0 pixels per pixel of the grid.
    shape
        Rows and columns of the slide's level 0.
    mpp
        Micrometres per level-0 pixel, or None where the slide does not say.
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
                f"{self.downsample} takes bool of {wanted}."
            )

    @property
    def area_mm2(self) -> float | None:
        """The area of the tissue in square millimetres, or None where the pixel size is unknown."""
        if self.mpp is None:
            return None
        return int(self.pixels.sum()) * (self.mpp * self.downsample / 1000) ** 2

    def edit(self, pixels: BoolArray) -> "TissueMask":
        """Return the mask with `pixels` that a person drew."""
        return replace(self, pixels=pixels, edited=True)


def find_tissue(slide: Slide, config: TissueConfig | None = None) -> TissueMask:
    """Find where on a slide tissue lies.

    A slide without a pixel size counts as one of 0.5 um per pixel.  On a small
    picture, specks and holes are at most a twentieth of it.

    Raises
    ------
    UnsupportedSlideError
        If the slide's pixels cannot be decoded.
    """
    config = config or TissueConfig()
    mpp = slide.mpp or _ASSUMED_MPP
    downsample = min(max(1, round(config.mpp / mpp)), max(1, min(slide.shape) // _LEAST_SIDE))
    downsample = max(downsample, -(-max(slide.shape) // _MOST_SIDE))
    shape = grid_shape(slide.shape, downsample)
    picture = slide.read_grid(Region(0, 0, *shape), downsample)
    most, pixel_um2 = _LARGEST_SPECK * shape[0] * shape[1], (mpp * downsample) ** 2
    specks, holes = (min(area / pixel_um2, most) for area in (config.specks_um2, config.holes_um2))
    return TissueMask(tissue_of(picture, specks, holes), downsample, slide.shape, slide.mpp)


def tissue_of(picture: UInt8Array, specks: float = 0, holes: float = 0) -> BoolArray:
    """Return where a picture, colour or grey, shows tissue.

    Parameters
    ----------
    picture
        A slide at low resolution, averaged.
    specks, holes
        Pieces, and holes, of fewer pixels than this are removed.
    """
    if picture.ndim == 3:
        tissue = _tidy(_coloured(picture), specks, holes)
        if tissue.any():
            return tissue
        picture = picture.mean(axis=2).astype(np.uint8)  # nothing coloured: grey saved as colour, or empty
    black = _without_small(picture < _BLACK, holes)
    tissue = _dark(picture, black) & ~ndimage.binary_dilation(black, iterations=2)
    return _tidy(tissue, specks, holes)


def _tidy(tissue: BoolArray, specks: float, holes: float) -> BoolArray:
    return _without_small(~_without_small(~tissue, holes), specks)


def _without_small(mask: BoolArray, size: float) -> BoolArray:
    """Return the mask without its pieces of fewer than `size` pixels."""
    pieces, count = ndimage.label(mask)
    keep = _histogram(pieces, count + 1) >= size
    keep[0] = False
    return np.asarray(keep[pieces])


def _coloured(picture: UInt8Array) -> BoolArray:
    """Return where a picture is more saturated than its glass, ink aside."""
    balanced = _balance(picture)
    saturation = _saturation(balanced)
    black = _extremes(picture)[1] < _BLACK
    tissue = (saturation > _threshold(saturation[~black], _COLOUR_LIMITS)) & ~black
    return tissue & ~_pen(balanced, saturation, tissue)


def _balance(picture: UInt8Array) -> UInt8Array:
    """Return the picture with the colour of its glass made white; unchanged where none is seen."""
    glass = picture[(_extremes(picture)[0] >= _GLASS_DARKEST) & (_saturation(picture) <= _GLASS_TINT)]
    if len(glass) < _LEAST_GLASS * picture[..., 0].size:
        return picture
    white = np.array([median(glass[:, channel]) for channel in range(3)])
    table = np.minimum(np.arange(256)[:, None] * 255 / white + 0.5, 255).astype(np.uint8)
    return np.stack([table[picture[..., channel], channel] for channel in range(3)], axis=2)


def _saturation(picture: UInt8Array) -> UInt8Array:
    """Return HSV's saturation, 0 to 255."""
    low, high = _extremes(picture)
    return ((high - low).astype(np.uint16) * np.uint16(255) // np.maximum(high, 1)).astype(np.uint8)


def _extremes(picture: UInt8Array) -> tuple[UInt8Array, UInt8Array]:
    """Return the least and the greatest of each pixel's colours; ten times faster than along an axis of 3."""
    red, green, blue = (picture[..., channel] for channel in range(3))
    return np.minimum(np.minimum(red, green), blue), np.maximum(np.maximum(red, green), blue)


def _pen(picture: UInt8Array, saturation: UInt8Array, tissue: BoolArray) -> BoolArray:
    """Return where a green or blue pen wrote, with its rim; nothing where that is the stain."""
    red, green = picture[..., 0], picture[..., 1]
    cool = tissue & (green > red)
    ink = cool & (saturation >= _PEN)
    if not ink.any() or cool.sum() > _MOST_PEN * tissue.sum():
        return np.zeros_like(tissue)
    for _ in range(_PEN_RIM):  # at once with a mask, scipy would hold up all other threads
        ink = ndimage.binary_dilation(ink) & cool
    return np.asarray(ink)


def _dark(grey: UInt8Array, black: BoolArray) -> BoolArray:
    """Return where a grey picture is darker than its glass; all of it where it shows no glass."""
    glass = _glass_level(grey, black)
    if glass is None:
        return np.ones(grey.shape, bool)
    darkness = np.clip(glass - grey.astype(np.int16), 0, 255).astype(np.uint8)
    return np.asarray(darkness > _threshold(darkness[~black], _DARKNESS_LIMITS))


def _glass_level(grey: UInt8Array, black: BoolArray) -> int | None:
    """Return the grey value of the glass, which is flat, and bright or brighter than the rest; None without."""
    value = grey.astype(np.float32)
    variance = ndimage.uniform_filter(value**2, 3) - ndimage.uniform_filter(value, 3) ** 2
    flat = (variance < _FLAT**2) & ~black
    bright = flat & (grey >= _GLASS_DARKEST)
    if bright.mean() >= _LEAST_GLASS:
        return int(median(grey[bright]))
    cut = otsu(grey[~black])
    above, below = (grey > cut) & ~black, (grey <= cut) & ~black
    if not above.any() or not below.any() or flat[above].mean() < 0.5:
        return None
    level = np.median(grey[above])
    return int(level) if level - np.median(grey[below]) >= _STEP else None


def _histogram(values: npt.NDArray[Any], length: int) -> npt.NDArray[np.int64]:
    """Return how often each number below `length` occurs; in parts, since numpy blocks other threads."""
    counts, flat = np.zeros(length, np.int64), values.ravel()
    for first in range(0, flat.size, _AT_ONCE):
        counts += np.bincount(flat[first : first + _AT_ONCE], minlength=length)
    return counts


def median(values: UInt8Array) -> float:
    """Return the median without blocking other threads, as numpy's does."""
    below = _histogram(values, 256).cumsum()
    middle = (values.size - 1) // 2, values.size // 2
    return float(np.searchsorted(below, middle, "right").mean())


def _threshold(values: UInt8Array, limits: tuple[int, int]) -> int:
    return min(max(otsu(values), limits[0]), limits[1])


def otsu(values: UInt8Array) -> int:
    """Return the value that ends the lower of the two classes which differ most; 0 where all are equal."""
    counts = _histogram(values, 256).astype(np.float64)
    lower = counts.cumsum()
    upper = lower[-1] - lower
    weighted: npt.NDArray[np.float64] = (counts * np.arange(256)).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        step = weighted / lower - (weighted[-1] - weighted) / upper
    between = np.nan_to_num(lower * upper * step**2)
    return int(between.argmax())
