"""What the samples of a TIFF page mean, and how they become 8-bit colour or grey.

The rule: alpha and extra samples are dropped.  Samples of fewer than 8 bits are stretched to 0 to
255; of more, the upper 8 of the significant bits are kept, which are those of MaxSampleValue
where the file gives it, else of BitsPerSample.  White-is-zero is inverted, palettes become
colour.  Signed, floating-point, CMYK and Lab samples are refused: their range is not known.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, SAMPLEFORMAT, TIFF, TiffPage

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.storage.untrusted import MAXIMUM_DECODED_BYTES

# Aperio's JPEG 2000 without a colour transform: the samples are YCbCr whatever the tags say.
_APERIO_YCBCR = 33003
_READABLE = (
    PHOTOMETRIC.MINISWHITE, PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB, PHOTOMETRIC.PALETTE, PHOTOMETRIC.YCBCR
)  # fmt: skip
# What people call the photometric interpretations that TIFF names otherwise.
_PLAIN_NAMES: dict[int, str] = {
    PHOTOMETRIC.SEPARATED: "CMYK", PHOTOMETRIC.MINISBLACK: "grey", PHOTOMETRIC.MINISWHITE: "grey"
}  # fmt: skip
# Codecs that hold whole pictures (JPEG and its kin), and turn YCbCr into RGB themselves.
IMAGE_CODECS = frozenset({6, 7, 22610, 33005, 34712, 34892, 33007, 50001, 50002, 33004, _APERIO_YCBCR})


# Frame header of JPEG (ITU T.81, B.2.2): rows, columns; image size of JPEG 2000 (T.800, A.5.1).
_JPEG_FRAME = re.compile(rb"\xff[\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf]\x00.[\x08\x0c](..)(..)", re.DOTALL)
_JPEG_2000_SIZE = re.compile(rb"\xff\x4f\xff\x51....(....)(....)", re.DOTALL)


@dataclass(frozen=True)
class Samples:
    """How the stored samples of a page become uint8.

    Attributes
    ----------
    channels
        3 for colour, 1 for grey.
    planes
        How many strips or tiles make one: 1, or 3 where red, green and blue lie apart.
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
    palette: npt.NDArray[np.uint8] | None = None
    ycbcr: bool = False

    def to_uint8(self, stored: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Turn (rows, columns, samples) as stored into (rows, columns, 3) or (rows, columns)."""
        if self.palette is not None:
            colours: npt.NDArray[np.uint8] = self.palette[stored[..., 0].astype(np.intp)]
            return colours
        stored = stored[..., :3] if self.channels == 3 else stored[..., 0]
        pixels: npt.NDArray[np.uint8]
        if self.bits > 8:
            pixels = np.minimum(stored >> (self.bits - 8), 255).astype(np.uint8)
        elif self.bits < 8:
            pixels = (stored.astype(np.uint16) * 255 // ((1 << self.bits) - 1)).astype(np.uint8)
        else:
            pixels = stored.astype(np.uint8, copy=False)
        if self.ycbcr:
            picture = Image.frombytes("YCbCr", pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes())
            pixels = np.array(picture.convert("RGB"))
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
    """Raise ValueError where a JPEG or JPEG 2000 tile says that it is far larger than any tile is.

    Its decoder would believe it: a file of 4 kB can ask for 10 GB.
    """
    for pattern in (_JPEG_FRAME, _JPEG_2000_SIZE):
        for frame in pattern.finditer(data):
            rows, columns = (int.from_bytes(size, "big") for size in frame.groups())
            if 3 * rows * columns > MAXIMUM_DECODED_BYTES:
                raise ValueError(f"a strip or tile claims {rows} x {columns} pixels")


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
    """Return the bits that a 9- to 16-bit sample uses: cameras put 12 bits into 16 and say so."""
    bits = page.bitspersample
    stated = page.tags.valueof("MaxSampleValue")
    largest = max(stated) if isinstance(stated, tuple) and stated else stated
    if bits > 8 and isinstance(largest, int):
        return min(bits, max(8, largest.bit_length()))
    return bits


def _palette(page: TiffPage) -> npt.NDArray[np.uint8]:
    """Return the colours of a palette page (n, 3), from 16-bit entries, or 8-bit ones of old writers."""
    entries = np.asarray(page.colormap)
    if entries.ndim != 2 or len(entries) != 3:
        raise UnsupportedSlideError("its palette is missing; save it as 8-bit RGB.")
    return (entries >> 8 if entries.max() > 255 else entries).astype(np.uint8).T.copy()
