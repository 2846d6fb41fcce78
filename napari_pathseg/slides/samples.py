"""How stored samples become the 8 bits that are shown: their significant bits, and transparency.

Arrays only.  Cameras store 8, 10, 12 or 14 bits in 16; taken as 16 bits these are black.  What is
transparent is shown on white, as glass is.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry.arrays import UInt8Array

# Of cameras.  Slides of one camera differ in their brightest pixel, but hardly in the depth that it falls into.
_DEPTHS = (8, 10, 12, 14, 16)
_BAND_SAMPLES = 1 << 20  # put on white at once
MAX_MEASURED_BYTES = 64 << 20  # of the samples that are read to find the largest one
MAX_MEASURED_CHUNKS = 64


def depth_of(largest: int) -> int:
    """Return the depth, 8 to 16 bits, of a camera whose largest sample is `largest`.

    >>> depth_of(3987)
    12
    """
    return next(depth for depth in _DEPTHS if largest < 1 << depth or depth == _DEPTHS[-1])


class MeasuredDepth:
    """How many bits the samples of a slide use, measured when it is first asked for; threads may ask at once.

    Parameters
    ----------
    largest_samples
        Returns the largest sample of each part of the slide that is read for it.
    """

    def __init__(self, largest_samples: Callable[[], Iterable[int]]) -> None:
        self._largest_samples = largest_samples
        self._bits: int | None = None
        self._lock = threading.Lock()

    @property
    def bits(self) -> int:
        """The number of bits, as :func:`depth_of` has it."""
        with self._lock:
            if self._bits is None:
                self._bits = depth_of(max(self._largest_samples(), default=0))
            return self._bits


def depth_note(bits: int) -> str:
    """Return a sentence that says how samples of 16 bits are shown of which `bits` are used, empty if all are.

    The same for all slides of a camera, so that they can be named together.
    """
    if bits == 16:
        return ""
    return (
        f"16-bit samples of which {bits} bits are used, with no range stated: 0 to {(1 << bits) - 1} is shown as black "
        "to white. If that is wrong, save the file with SignificantBits (OME) or MaxSampleValue"
    )


def to_8_bits(stored: npt.NDArray[Any], bits: int) -> UInt8Array:
    """Return unsigned samples of `bits` significant bits as 0 to 255; larger ones are white."""
    pixels: UInt8Array
    if bits > 8:
        upper = stored >> (bits - 8)
        pixels = np.minimum(upper, 255, out=upper).astype(np.uint8)
    elif bits < 8:
        pixels = (stored.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8)
    elif stored.dtype.itemsize > 1:
        pixels = np.minimum(stored, 255).astype(np.uint8)
    else:
        pixels = stored.astype(np.uint8, copy=False)
    return pixels


def over_white(pixels: UInt8Array, alpha: UInt8Array, *, premultiplied: bool = False) -> UInt8Array:
    """Return pixels (rows, columns) or (rows, columns, 3) on white, where `alpha` (rows, columns) is their opacity.

    `premultiplied`: they are multiplied by it already ("associated alpha").
    """
    if alpha.min(initial=255) == 255:
        return pixels
    on_white = np.empty(pixels.shape, np.uint8)
    rows = max(1, _BAND_SAMPLES // max(1, pixels[0].size))
    for top in range(0, len(pixels), rows):  # 16-bit copies of all pixels would take eight times their memory
        band = slice(top, top + rows)
        opacity = alpha[band].astype(np.uint16).reshape(*alpha[band].shape, *[1] * (pixels.ndim - alpha.ndim))
        shown = pixels[band].astype(np.uint16)
        if premultiplied:
            on_white[band] = np.minimum(shown + (255 - opacity), 255)
        else:
            on_white[band] = (shown * opacity + 255 * (255 - opacity) + 127) // 255
    return on_white
