"""How tiles are varied while a network learns: turned, flipped, and stained otherwise."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def turn(number: int, *arrays: npt.NDArray[np.generic]) -> list[npt.NDArray[np.generic]]:
    """Return the arrays in one of the eight positions of a square, by number 0 to 7."""
    turned = [np.rot90(array, number % 4) for array in arrays]
    return [array[::-1] for array in turned] if number >= 4 else turned


def vary_stain(pixels: Pixels, strength: float, rng: np.random.Generator) -> Pixels:
    """Return RGB pixels as another staining and scanner would show them.

    Each channel's optical density is scaled, and shifted a little; the idea is Tellez et
    al. 2018, without the unmixing into stains.
    """
    if strength == 0:
        return pixels
    density = np.log(256.0) - np.log(np.arange(256, dtype=np.float32) + 1)
    table = np.empty((3, 256), np.float32)
    common = rng.uniform(-strength, strength)
    for channel in range(3):
        scale = 1 + common + rng.uniform(-strength, strength) / 2
        shift = rng.uniform(-strength, strength) / 4
        table[channel] = np.exp(np.log(256.0) - density * scale - shift) - 1
    rounded = np.clip(table + 0.5, 0, 255).astype(np.uint8)
    return np.stack([rounded[channel][pixels[..., channel]] for channel in range(3)], axis=-1)
