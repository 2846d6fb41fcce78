"""What the samples of a TIFF page mean, and how they become 8-bit colour or grey.

Alpha and extra samples are dropped.  Samples of fewer than 8 bits are stretched to 0 to 255; of longer
ones the upper 8 of the significant bits are kept: those of MaxSampleValue if the file gives it, else of
BitsPerSample.  White-is-zero is inverted, palettes become colour.  Signed, floating-point, CMYK and Lab
samples are refused: their range is not known.

YCbCr that is not JPEG (raw, LZW, deflate or PackBits) often has fewer chroma samples.  A data unit holds
the Y samples of a block of pixels, row by row, then one Cb and one Cr; a strip or tile is such units row by
row.  Source: TIFF 6.0, section 21, YCbCrSubSampling, YCbCrCoefficients (default: CCIR 601-1) and
ReferenceBlackWhite (default: 0 255 128 255 128 255).
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, SAMPLEFORMAT, TIFF, TiffPage

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding

# Aperio's JPEG 2000 without a colour transform: the samples are YCbCr whatever the tags say.
_APERIO_YCBCR = 33003
_GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
_READABLE = (*_GREY, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR)
# Common names of photometric interpretations.
_PLAIN_NAMES: dict[int, str] = {PHOTOMETRIC.SEPARATED: "CMYK", **dict.fromkeys(_GREY, "grey")}
# Codecs of whole images (JPEG and its kin), which turn YCbCr into RGB themselves.
IMAGE_CODECS = frozenset({6, 7, 22610, 33005, 34712, 34892, 33007, 50001, 50002, 33004, _APERIO_YCBCR})

# Frame header of JPEG (ITU T.81, B.2.2): rows, columns; image size of JPEG 2000 (T.800, A.5.1).
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\x00.[\x08\x0c](..)(..)", re.DOTALL)
_JPEG_2000_SIZE = re.compile(rb"\xff\x4f\xff\x51....(....)(....)", re.DOTALL)
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_CCIR_601 = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Samples:
    """How the stored samples of a page become uint8.

    Attributes
    ----------
    channels
        3 for colour, 1 for grey.
    planes
        How many strips or tiles make one: 1, or 3 where red, green and blue are stored separately.
    bits
        Significant bits of a sample.
    invert
        Whether zero is white.
    palette
        Colours by index (n, 3), or None.
    ycbcr
        Whether the samples are still YCbCr.
    """

    channels: int
    planes: int
    bits: int
    invert: bool = False
    palette: UInt8Array | None = None
    ycbcr: bool = False

    def to_uint8(self, stored: npt.NDArray[Any]) -> UInt8Array:
        """Turn (rows, columns, samples) as stored into (rows, columns, 3) or (rows, columns)."""
        if self.palette is not None:
            try:
                colours: UInt8Array = self.palette[stored[..., 0].astype(np.intp)]
            except IndexError as error:
                raise DecodeError(f"a pixel lies outside the palette of {len(self.palette)} colours") from error
            return colours
        stored = stored[..., :3] if self.channels == 3 else stored[..., 0]
        pixels: UInt8Array
        if self.bits > 8:
            pixels = np.minimum(stored >> (self.bits - 8), 255).astype(np.uint8)
        elif self.bits < 8:
            pixels = (stored.astype(np.uint16) * 255 // ((1 << self.bits) - 1)).astype(np.uint8)
        else:
            pixels = stored.astype(np.uint8, copy=False)
        if self.ycbcr:
            image = Image.frombytes("YCbCr", pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes())
            pixels = np.array(image.convert("RGB"))
        return ~pixels if self.invert else pixels


def page_samples(page: TiffPage) -> Samples:
    """Return what the samples of a page mean.

    Raises
    ------
    UnsupportedSlideError
        If they are neither colour nor grey of 1 to 16 bits, or their compression is unknown.
    """
    _require_codec(page)
    bits, count, photometric = page.bitspersample, page.samplesperpixel, page.photometric
    if page.sampleformat != SAMPLEFORMAT.UINT or not isinstance(bits, int) or not 1 <= bits <= 16:
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(int(page.sampleformat), "unknown")
        raise UnsupportedSlideError(f"its samples are {kind} numbers of {bits} bits; save it as 8-bit RGB or grey.")
    colour = photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR)
    if photometric not in _READABLE or not 0 <= count - (3 if colour else 1) <= 1:
        meaning = _PLAIN_NAMES.get(photometric, getattr(photometric, "name", str(photometric)))
        raise UnsupportedSlideError(f"its pixels are {meaning} of {count} samples; save it as 8-bit RGB or grey.")
    if photometric == PHOTOMETRIC.YCBCR and page.compression not in IMAGE_CODECS and bits != 8:
        raise UnsupportedSlideError(f"its YCbCr pixels have {bits} bits; save it as 8-bit RGB.")
    return Samples(
        channels=3 if colour or photometric == PHOTOMETRIC.PALETTE else 1,
        planes=3 if colour and page.planarconfig == PLANARCONFIG.SEPARATE else 1,
        bits=bits if photometric == PHOTOMETRIC.PALETTE else _significant_bits(page),
        invert=photometric == PHOTOMETRIC.MINISWHITE,
        palette=_palette(page) if photometric == PHOTOMETRIC.PALETTE else None,
        ycbcr=page.compression == _APERIO_YCBCR,
    )


def require_small(data: bytes) -> None:
    """Raise DecodeError if the header of a JPEG or JPEG 2000 tile claims far more pixels than any tile has.

    Its decoder would believe it: a file of 4 kB can ask for 10 GB.
    """
    for pattern in (_JPEG_FRAME, _JPEG_2000_SIZE):
        for frame in pattern.finditer(data):
            rows, columns = (int.from_bytes(size, "big") for size in frame.groups())
            if 3 * rows * columns > MAX_DECODED_BYTES:
                raise DecodeError(f"a strip or tile claims {rows} x {columns} pixels")


def _require_codec(page: TiffPage) -> None:
    """Raise unless the pixels of a page can be decompressed."""
    try:
        known = page.compression == COMPRESSION.NONE or TIFF.DECOMPRESSORS[page.compression] is not None
    except KeyError:
        known = False
    if not known:
        name = getattr(page.compression, "name", page.compression)
        raise UnsupportedSlideError(f"its compression {name} is unknown here; save it with JPEG, LZW or deflate.")


def _significant_bits(page: TiffPage) -> int:
    """Return how many bits of a 9- to 16-bit sample are used: cameras store 12 bits in 16 and say so."""
    bits = page.bitspersample
    stated = page.tags.valueof("MaxSampleValue")
    largest = max(stated) if isinstance(stated, tuple) and stated else stated
    if bits > 8 and isinstance(largest, int):
        return min(bits, max(8, largest.bit_length()))
    return bits


def _palette(page: TiffPage) -> UInt8Array:
    """Return the colours of a palette page (n, 3), from 16-bit entries, or 8-bit ones of old writers."""
    entries = np.asarray(page.colormap)
    if entries.ndim != 2 or len(entries) != 3:
        raise UnsupportedSlideError("its palette is missing; save it as 8-bit RGB.")
    return (entries >> 8 if entries.max() > 255 else entries).astype(np.uint8).T.copy()


def is_raw_ycbcr(page: TiffPage) -> bool:
    """Return whether a page holds YCbCr that its codec does not turn into RGB."""
    return page.photometric == PHOTOMETRIC.YCBCR and page.compression not in IMAGE_CODECS


def decode_ycbcr(page: TiffPage, data: bytes, rows: int, columns: int) -> UInt8Array:
    """Return a strip or tile of at most `rows` x `columns` as RGB.

    Raises
    ------
    DecodeError
        If it holds too few samples, or they are in separate planes or predicted.
    """
    if page.planarconfig != PLANARCONFIG.CONTIG or page.predictor != 1:
        raise DecodeError("its YCbCr samples are in planes or predicted")
    across, down = page.subsampling or (1, 1)
    if across not in (1, 2, 4) or down not in (1, 2, 4):
        raise DecodeError(f"its YCbCr subsampling is {across} x {down}")
    blocks, unit = -(-columns // across), across * down + 2
    size = -(-rows // down) * blocks * unit
    if page.compression != COMPRESSION.NONE:
        with decoding():
            data = bytes(TIFF.DECOMPRESSORS[page.compression](data, out=size))
    # The last strip of a page may be shorter.
    lines = min(len(data), size) // (blocks * unit)
    if not lines:
        raise DecodeError(f"a strip or tile of {len(data)} bytes holds no row of YCbCr")
    units = np.frombuffer(data, np.uint8, lines * blocks * unit).reshape(lines, blocks, unit)
    luma = units[..., :-2].reshape(lines, blocks, down, across).swapaxes(1, 2).reshape(lines * down, blocks * across)
    chroma = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    return _ycbcr_to_rgb(page, luma, chroma)[:rows, :columns]


def _ycbcr_to_rgb(page: TiffPage, luma: UInt8Array, chroma: UInt8Array) -> UInt8Array:
    """Turn Y and (Cb, Cr) into RGB, as TIFF 6.0 says in section 21."""
    black_white = _rationals(page.tags.valueof("ReferenceBlackWhite"), _FULL_RANGE)
    red, green, blue = _rationals(page.tags.valueof("YCbCrCoefficients"), _CCIR_601)
    y = (luma - np.float32(black_white[0])) * np.float32(255 / (black_white[1] - black_white[0]))
    cb = (chroma[..., 0] - np.float32(black_white[2])) * np.float32(127 / (black_white[3] - black_white[2]))
    cr = (chroma[..., 1] - np.float32(black_white[4])) * np.float32(127 / (black_white[5] - black_white[4]))
    r = y + np.float32(2 - 2 * red) * cr
    b = y + np.float32(2 - 2 * blue) * cb
    g = (y - np.float32(red) * r - np.float32(blue) * b) / np.float32(green)
    pixels: UInt8Array = np.rint(np.stack([r, g, b], axis=-1)).clip(0, 255).astype(np.uint8)
    return pixels


def _rationals(value: Any, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the numbers of a tag of rationals, stored as alternating numerators and denominators."""
    if not isinstance(value, tuple) or len(value) != 2 * len(default) or not all(value[1::2]):
        return default
    return tuple(top / bottom for top, bottom in zip(value[::2], value[1::2], strict=True))
