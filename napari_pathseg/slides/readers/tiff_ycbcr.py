"""YCbCr pages of a TIFF that are no JPEG: raw, LZW, deflate or PackBits, often with fewer chroma samples.

A data unit holds the Y samples of a block of pixels, row by row, then one Cb and one Cr; a strip
or tile is such units row by row.  Source: TIFF 6.0, section 21, YCbCrSubSampling and
ReferenceBlackWhite (its defaults, 0 255 128 255 128 255, and the coefficients of CCIR 601-1
are taken; what other values a file gives is heeded for black and white only).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, TIFF, TiffPage

from napari_pathseg.slides.readers.tiff_samples import IMAGE_CODECS

_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_CCIR_601 = (0.299, 0.587, 0.114)


def is_raw_ycbcr(page: TiffPage) -> bool:
    """Return whether the samples of a page are YCbCr that its codec does not turn into RGB."""
    return page.photometric == PHOTOMETRIC.YCBCR and page.compression not in IMAGE_CODECS


def decode_ycbcr(page: TiffPage, data: bytes, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Return a strip or tile of at most `rows` x `columns` as RGB.

    Raises
    ------
    ValueError
        If it holds fewer samples than it must, or they lie in separate planes or are predicted.
    """
    if page.planarconfig != PLANARCONFIG.CONTIG or page.predictor != 1:
        raise ValueError("its YCbCr samples are in planes or predicted")
    across, down = page.subsampling or (1, 1)
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise ValueError(f"its YCbCr subsampling is {across} x {down}")
    blocks, unit = -(-columns // across), across * down + 2
    size = -(-rows // down) * blocks * unit
    if page.compression != COMPRESSION.NONE:
        data = bytes(TIFF.DECOMPRESSORS[page.compression](data, out=size))
    # The last strip of a page holds the rows that are left.
    lines = min(len(data), size) // (blocks * unit)
    if not lines:
        raise ValueError(f"a strip or tile of {len(data)} bytes holds no row of YCbCr")
    units = np.frombuffer(data, np.uint8, lines * blocks * unit).reshape(lines, blocks, unit)
    luma = units[..., :-2].reshape(lines, blocks, down, across).swapaxes(1, 2).reshape(lines * down, blocks * across)
    chroma = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    return _rgb(page, luma, chroma)[:rows, :columns]


def _rgb(page: TiffPage, luma: npt.NDArray[np.uint8], chroma: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Turn Y and (Cb, Cr) into RGB, as TIFF 6.0 says in section 21."""
    black_white = _numbers(page.tags.valueof("ReferenceBlackWhite"), _FULL_RANGE)
    red, green, blue = _numbers(page.tags.valueof("YCbCrCoefficients"), _CCIR_601)
    y = (luma - np.float32(black_white[0])) * np.float32(255 / (black_white[1] - black_white[0]))
    cb = (chroma[..., 0] - np.float32(black_white[2])) * np.float32(127 / (black_white[3] - black_white[2]))
    cr = (chroma[..., 1] - np.float32(black_white[4])) * np.float32(127 / (black_white[5] - black_white[4]))
    r = y + np.float32(2 - 2 * red) * cr
    b = y + np.float32(2 - 2 * blue) * cb
    g = (y - np.float32(red) * r - np.float32(blue) * b) / np.float32(green)
    pixels: npt.NDArray[np.uint8] = np.rint(np.stack([r, g, b], axis=-1)).clip(0, 255).astype(np.uint8)
    return pixels


def _numbers(value: Any, otherwise: tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers of a tag of rationals, which come as numerators and denominators in turn."""
    if not isinstance(value, tuple) or len(value) != 2 * len(otherwise) or not all(value[1::2]):
        return otherwise
    return tuple(top / bottom for top, bottom in zip(value[::2], value[1::2], strict=True))
