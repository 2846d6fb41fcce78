"""Pixels packed into a line of text, as the window and its worker send each other small boxes of a mask."""

import base64
import binascii
import zlib

import numpy as np

from napari_pathseg.geometry.arrays import UInt8Array

_LEVEL = 1  # of zlib: labels and smooth probabilities shrink well, and it must not take longer than the model


def pack(pixels: UInt8Array) -> str:
    """Return an array of bytes as text; `unpack` returns it again, given its shape."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(pixels).tobytes(), _LEVEL)).decode("ascii")


def unpack(text: str, shape: tuple[int, ...]) -> UInt8Array:
    """Return the array of `shape` that `pack` made a text of.

    Raises
    ------
    ValueError
        If the text is not one of `pack`, or of an array of another size.
    """
    size = int(np.prod(shape))
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ValueError(f"The pixels cannot be unpacked ({error}).") from error
    if len(content) != size:
        raise ValueError(f"The pixels are not those of an array of shape {shape}.")
    return np.frombuffer(content, np.uint8).reshape(shape).copy()
