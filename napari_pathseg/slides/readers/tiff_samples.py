"""What the samples of a TIFF page mean, and how they become 8-bit colour or grey.

What is transparent is shown on white; other extra samples are dropped.  Samples of fewer than 8 bits are stretched to
0 to 255; of longer ones the upper 8 of the significant bits are kept: those that OME's SignificantBits or
(S)MaxSampleValue give, else of BitsPerSample; of 16 bits of which nothing is said the reader measures how many are
used.  White-is-zero is inverted, palettes become colour; grey of three samples, or three pages, is colour where
:func:`~napari_pathseg.slides.channels.colour_channels` says so.  Signed, floating-point, CMYK and Lab samples are
refused: their range is not known.

YCbCr that is not JPEG (raw, LZW, deflate or PackBits) often has fewer chroma samples.  A data unit holds
the Y samples of a block of pixels, row by row, then one Cb and one Cr; a strip or tile is such units row by
row.  Source: TIFF 6.0, section 21, YCbCrSubSampling, YCbCrCoefficients (default: CCIR 601-1) and
ReferenceBlackWhite (default: 0 255 128 255 128 255).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, SAMPLEFORMAT, TIFF, TiffPage

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.channels import Channel, ColourChannels, colour_channels
from napari_pathseg.slides.ome import OmeImage
from napari_pathseg.slides.samples import over_white, to_8_bits
from napari_pathseg.storage.untrusted import DecodeError, decoding

# Aperio's JPEG 2000 without a colour transform: the samples are YCbCr whatever the tags say.
_APERIO_YCBCR = 33003
_GREY = (PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK)
_EXTRA_ASSOCIATED, _EXTRA_ALPHA = 1, 2  # TIFF 6.0, ExtraSamples; 0 is not alpha
_READABLE = (*_GREY, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR)
# Common names of photometric interpretations.
_PLAIN_NAMES: dict[int, str] = {PHOTOMETRIC.SEPARATED: "CMYK", **dict.fromkeys(_GREY, "grey")}
# Codecs of whole images (JPEG and its kin), which turn YCbCr into RGB themselves.
IMAGE_CODECS = frozenset({6, 7, 22610, 33005, 34712, 34892, 33007, 50001, 50002, 33004, _APERIO_YCBCR})

# Tags with which we compute.
_NUMBERS = ("imagelength", "imagewidth", "imagedepth", "tilelength", "tilewidth", "rowsperstrip", "samplesperpixel")
_SUBSAMPLINGS = list(itertools.product((1, 2, 4), repeat=2))
_FULL_RANGE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_CCIR_601 = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Samples:
    """How the stored samples of a page, or of pages of a channel each, become uint8.

    Attributes
    ----------
    channels
        3 for colour, 1 for grey.
    planes
        How many strips or tiles of a page make one: 1, or its samples where these are stored separately.
    bits
        Significant bits of a sample.
    measurable
        Whether `bits` are all that there are because nothing is said of how many are used.
    shown
        Which of the stored samples are grey, or red, green and blue.
    alpha
        Which of them is the opacity; None for an opaque picture.
    premultiplied
        Whether the colours are multiplied by the opacity.
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
    measurable: bool = False
    shown: tuple[int, ...] = (0,)
    alpha: int | None = None
    premultiplied: bool = False
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
        pixels = to_8_bits(self.colours(stored), self.bits)
        if self.ycbcr:
            image = Image.frombytes("YCbCr", pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes())
            pixels = np.array(image.convert("RGB"))
        pixels = ~pixels if self.invert else pixels
        if self.alpha is None or stored.shape[-1] <= self.alpha:
            return pixels
        return over_white(pixels, to_8_bits(stored[..., self.alpha], self.bits), premultiplied=self.premultiplied)

    def colours(self, stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the samples that are shown, without alpha."""
        if self.channels == 1:
            return stored[..., self.shown[0]]
        return stored[..., :3] if self.shown == (0, 1, 2) else stored[..., list(self.shown)]


def check_numbers(page: TiffPage) -> None:
    """Raise UnsupportedSlideError unless tags hold one number each; in a damaged file they may be text."""
    for name in _NUMBERS:
        require_number(name, getattr(page, name))


def require_number(name: str, value: object) -> None:
    """Raise UnsupportedSlideError unless a tag holds one number."""
    if not isinstance(value, int):
        raise UnsupportedSlideError(f"its tag {name} is {value!r:.60}, not one number; copy it again from its source.")


def page_samples(page: TiffPage, about: OmeImage | None = None, channels: Sequence[Channel] = ()) -> Samples:
    """Return what the samples of a page mean, where `about` and `channels` is what the file says of them elsewhere.

    Raises
    ------
    UnsupportedSlideError
        If they are neither colour nor grey of 1 to 16 bits, or their compression is unknown.
    """
    check_numbers(page)
    _require_codec(page)
    bits, count, photometric = page.bitspersample, page.samplesperpixel, page.photometric
    if page.sampleformat != SAMPLEFORMAT.UINT or not isinstance(bits, int) or not 1 <= bits <= 16:
        kind = {1: "unsigned", 2: "signed", 3: "floating-point"}.get(int(page.sampleformat), "unknown")
        raise UnsupportedSlideError(f"its samples are {kind} numbers of {bits} bits; save it as 8-bit RGB or grey.")
    shown, alpha = _shown(page, channels)
    if photometric not in _READABLE or not shown:
        meaning = _PLAIN_NAMES.get(photometric, getattr(photometric, "name", str(photometric)))
        raise UnsupportedSlideError(f"its pixels are {meaning} of {count} samples; save it as 8-bit RGB or grey.")
    if photometric == PHOTOMETRIC.YCBCR and page.compression not in IMAGE_CODECS and bits != 8:
        raise UnsupportedSlideError(f"its YCbCr pixels have {bits} bits; save it as 8-bit RGB.")
    used = bits if photometric == PHOTOMETRIC.PALETTE else _significant_bits(page, about)
    separate = page.planarconfig == PLANARCONFIG.SEPARATE
    return Samples(
        channels=3 if photometric == PHOTOMETRIC.PALETTE else len(shown),
        planes=1 + max((*shown, alpha or 0)) if separate else 1,
        bits=used or bits,
        measurable=used is None,
        shown=shown,
        alpha=alpha,
        premultiplied=alpha is not None and _EXTRA_ASSOCIATED in page.extrasamples,
        invert=photometric == PHOTOMETRIC.MINISWHITE,
        palette=tiff_palette(page) if photometric == PHOTOMETRIC.PALETTE else None,
        ycbcr=page.compression == _APERIO_YCBCR,
    )


def planes_as_colour(plane: Samples, colour: ColourChannels) -> Samples:
    """Return the samples of pages of one channel each, read in the order red, green, blue and perhaps alpha."""
    alpha = None if colour.alpha is None else 3
    return replace(plane, channels=3, planes=1, shown=(0, 1, 2), alpha=alpha)


def _shown(page: TiffPage, channels: Sequence[Channel]) -> tuple[tuple[int, ...], int | None]:
    """Return which samples of a page are shown, none if they cannot be, and which is the opacity."""
    count = page.samplesperpixel
    needed = 3 if page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) else 1
    if 0 <= count - needed <= 1:
        has_alpha = bool(set(page.extrasamples) & {_EXTRA_ASSOCIATED, _EXTRA_ALPHA})
        transparent = has_alpha and count > needed and page.photometric in (*_GREY, PHOTOMETRIC.RGB)
        return tuple(range(needed)), needed if transparent else None
    colour = colour_channels(channels, count, page.bitspersample) if page.photometric in _GREY else None
    return ((colour.red, colour.green, colour.blue), colour.alpha) if colour else ((), None)


def _require_codec(page: TiffPage) -> None:
    """Raise unless the pixels of a page can be decompressed."""
    try:
        known = page.compression == COMPRESSION.NONE or TIFF.DECOMPRESSORS[page.compression] is not None
    except KeyError:
        known = False
    if not known:
        name = getattr(page.compression, "name", page.compression)
        raise UnsupportedSlideError(f"its compression {name} cannot be read; save it with JPEG, LZW or deflate.")


def _significant_bits(page: TiffPage, about: OmeImage | None) -> int | None:
    """Return how many bits of a sample are used; None for 16 bits of which nothing is said, or that all are.

    Cameras store 12 bits in 16.  Some writers state 16 for whatever is stored so.
    """
    bits = page.bitspersample
    if bits <= 8:
        return bits
    stated = [about.significant_bits] if about is not None and about.significant_bits else []
    for name in ("MaxSampleValue", "SMaxSampleValue"):
        value = page.tags.valueof(name)
        largest = max(value) if isinstance(value, tuple) and value else value
        if isinstance(largest, int | float) and math.isfinite(largest) and largest > 0:
            stated.append(int(largest).bit_length())
    used = max(8, min([bits, *stated]))
    return None if used == 16 else used


def tiff_palette(page: TiffPage) -> UInt8Array:
    """Return the colours of a palette page (n, 3), from 16-bit entries, or 8-bit ones of old writers.

    Raises
    ------
    UnsupportedSlideError
        If it has none.
    """
    entries = np.asarray(page.colormap)
    if entries.ndim != 2 or len(entries) != 3 or not entries.size or entries.dtype.kind not in "iu":
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
    subsampling = page.subsampling or (1, 1)
    if subsampling not in _SUBSAMPLINGS:
        raise DecodeError(f"its YCbCr subsampling is {subsampling!r:.60}")
    across, down = subsampling
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
    if not green or any(black_white[at] == black_white[at + 1] for at in (0, 2, 4)):
        raise DecodeError("the range or the coefficients of its YCbCr are 0")
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
