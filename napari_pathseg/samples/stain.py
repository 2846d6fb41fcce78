"""Render the image that a scanner would record of given amounts of haematoxylin and eosin.

Light is absorbed by the law of Beer and Lambert: intensity = white * exp(-amounts @ colours).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry.arrays import Float32Array
from napari_pathseg.samples.fields import noise

# Optical densities of red, green, blue: haematoxylin, eosin.
_RUIFROK = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])  # Ruifrok & Johnston 2001
_MACENKO = np.array([[0.563, 0.720, 0.406], [0.216, 0.801, 0.558]])  # Macenko et al. 2009


@dataclass(frozen=True)
class Stain:
    """How a laboratory stains and scans a slide.

    Attributes
    ----------
    haematoxylin, eosin
        Strength of each dye; 1 is typical.
    warmth
        0 for the bluish pinks of Ruifrok's colours, 1 for the reddish ones of Macenko's.
    white
        Red, green and blue of bare glass.
    blur
        Standard deviation of the optical blur, in pixels.
    """

    haematoxylin: float = 1.0
    eosin: float = 1.0
    warmth: float = 0.4
    white: tuple[float, float, float] = (243.0, 241.0, 243.0)
    blur: float = 0.8


def random_stain(rng: np.random.Generator) -> Stain:
    """Return the random stain of another laboratory."""
    return Stain(
        haematoxylin=rng.uniform(0.8, 1.15),
        eosin=rng.uniform(0.65, 1.1),
        warmth=rng.uniform(0.3, 0.75),
        white=(rng.uniform(238, 247), rng.uniform(237, 245), rng.uniform(238, 246)),
        blur=rng.uniform(0.65, 0.95),
    )


def render(
    haematoxylin: Float32Array, eosin: Float32Array, stain: Stain, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return the RGB image of amounts of both dyes, with blur, uneven light and sensor noise."""
    shape = haematoxylin.shape
    # The thickness of sections, the uptake of dyes and their hue all vary.
    thickness = 1 + 0.08 * noise(shape, 60, rng)
    amounts = [
        ndimage.gaussian_filter(np.float32(strength) * dye, stain.blur, truncate=3)
        * (thickness + 0.065 * noise(shape, 45, rng))
        for strength, dye in ((stain.haematoxylin, haematoxylin), (stain.eosin, eosin))
    ]
    warmth = np.float32(stain.warmth) + np.float32(0.055) * noise(shape, 45, rng)
    light = 1 + 0.012 * noise(shape, 600, rng)
    grain = rng.standard_normal(shape, dtype=np.float32)
    image = np.empty((*shape, 3), np.uint8)
    for channel in range(3):
        absorbed = sum(
            amount * (np.float32(cold) + warmth * np.float32(warm - cold))
            for amount, cold, warm in zip(amounts, _RUIFROK[:, channel], _MACENKO[:, channel], strict=True)
        )
        signal = np.float32(stain.white[channel]) * light * np.exp(-absorbed)
        image[..., channel] = np.clip(signal + 1.3 * np.roll(grain, channel * 7, axis=0) + 0.5, 0, 255)
    return image
