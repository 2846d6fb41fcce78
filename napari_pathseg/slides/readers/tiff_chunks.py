"""Strips and tiles of a TIFF page: checked before they are decoded, and never decoded to more than the page states.

Their data are not trusted.  Codecs of streams get the size to decode to; those of whole pictures (PNG, WebP, JPEG XL,
JPEG XR, LERC) an array to decode into, which they refuse if theirs is another size; of JPEG and JPEG 2000 the header is
read before.
"""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, TIFF, TiffPage

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.slides.readers.tiff_samples import (
    IMAGE_CODECS,
    check_numbers,
    decode_ycbcr,
    is_raw_ycbcr,
    require_number,
)
from napari_pathseg.storage.picture_headers import require_small
from napari_pathseg.storage.portable import ConcurrentFileReader
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding, silence_tifffile

_JPEG_2000 = frozenset({33003, 33004, 33005, 34712})
_SHARE_OF_JPEG_2000 = 0.6  # of the bytes that may be decoded at once: its decoder needs 4 more for each sample
_WEBP = frozenset({34927, 50001})
# Codecs of whole pictures, which decode into an array that they are given, or refuse it: LERC, PNG, JPEG XR, JPEG XL.
_INTO_ARRAYS = _WEBP | {22610, 34887, 34933, 34934, 50002, 52546}
_PADDING = 65_536  # samples by which the picture in a tile may exceed it


def chunk_shape(page: TiffPage) -> tuple[int, int]:
    """Return rows and columns of the strips or tiles of a page."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def chunk_count(page: TiffPage) -> int:
    """Return how many strips or tiles one plane of a page has."""
    height, width = chunk_shape(page)
    return -(-page.imagelength // height) * -(-page.imagewidth // width)


def decode_chunk(
    page: TiffPage, file: ConcurrentFileReader, index: int, tables: bytes | None
) -> npt.NDArray[np.generic] | None:
    """Return the samples (rows, columns, samples) of a strip or tile, None for one that is left out.

    Raises
    ------
    DecodeError
        If its data are damaged, or claim to be more than a strip or tile of the page.
    """
    offset, count = page.dataoffsets[index], page.databytecounts[index]
    if not offset or not count:
        return None
    data = file.read(offset, min(count, _max_byte_count(page)))
    height, width = chunk_shape(page)
    if page.compression in _INTO_ARRAYS:
        return _decode_picture(page, data, index)
    if page.compression in IMAGE_CODECS:
        largest = 2 * height * width * max(3, page.samplesperpixel) + _PADDING
        require_small(data, largest if page.compression in _JPEG_2000 else MAX_DECODED_BYTES)
    if is_raw_ycbcr(page):
        return decode_ycbcr(page, data, height, width)
    with decoding(), silence_tifffile():
        decoded = page.decode(data, index, jpegtables=tables, jpegheader=page.jpegheader)[0]
    return None if decoded is None else decoded[0]


def _decode_picture(page: TiffPage, data: bytes, index: int) -> npt.NDArray[np.generic]:
    """Decode a strip or tile that is a picture of its own; at the page's edges it may be smaller than others."""
    height, width = chunk_shape(page)
    across, down = -(-page.imagewidth // width), -(-page.imagelength // height)
    row, column = divmod(index % (across * down), across)
    rows, columns = min(height, page.imagelength - row * height), min(width, page.imagewidth - column * width)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    options: dict[str, Any] = {"hasalpha": True} if page.compression in _WEBP and samples == 4 else {}
    for shape in dict.fromkeys(((height, width), (rows, columns), (rows, width))):
        out = np.empty(shape if samples == 1 else (*shape, samples), page.dtype)
        try:
            with decoding():
                decoded = TIFF.DECOMPRESSORS[page.compression](data, out=out, **options)
        except DecodeError as error:
            refusal = error
            continue
        return np.asarray(decoded).reshape(*shape, samples)
    raise refusal


def read_page(page: TiffPage, file: ConcurrentFileReader) -> npt.NDArray[Any]:
    """Return the samples of a whole page whose strips or tiles were checked: (rows, columns), or with samples behind.

    Raises
    ------
    DecodeError
        If one is damaged.
    """
    height, width = chunk_shape(page)
    across, count = -(-page.imagewidth // width), chunk_count(page)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    pixels = np.zeros((page.imagelength, page.imagewidth, page.samplesperpixel), page.dtype)
    for index in range(count * planes):
        chunk = decode_chunk(page, file, index, page.jpegtables)
        if chunk is None:
            continue
        row, column = divmod(index % count, across)
        part = pixels[row * height : (row + 1) * height, column * width : (column + 1) * width]
        part = part if planes == 1 else part[..., index // count, None]
        found = chunk[: part.shape[0], : part.shape[1]]
        if found.shape != part.shape:
            raise DecodeError(f"a strip or tile of {height} x {width} pixels decodes to {chunk.shape}")
        part[...] = found
    return pixels[..., 0] if page.samplesperpixel == 1 else pixels


def check_chunks(page: TiffPage, planes: int, file_size: int, max_chunk_bytes: int) -> None:
    """Check the strips or tiles of a page before any is decoded; of each, `planes` make one.

    Raises
    ------
    UnsupportedSlideError
        If they need more than `max_chunk_bytes` each, are too few, or lie outside the file, or a tag holds no number.
    """
    check_numbers(page)
    require_number("bitspersample", page.bitspersample)
    height, width = chunk_shape(page)
    where = f"its image of {page.imagelength} x {page.imagewidth} pixels"
    if min(page.imagelength, page.imagewidth, height, width) < 1:
        raise UnsupportedSlideError(f"{where} has strips or tiles of {height} x {width} pixels.")
    size = height * width * page.samplesperpixel * -(-page.bitspersample // 8)
    most = int(max_chunk_bytes * (_SHARE_OF_JPEG_2000 if page.compression in _JPEG_2000 else 1))
    if size > most:
        raise UnsupportedSlideError(
            f"{where} lies in strips or tiles of {height} x {width} pixels, each of which needs more than "
            f"{most >> 20} MiB; convert it to a pyramid, or save it with tiles of 512 x 512."
        )
    wanted = chunk_count(page) * planes
    offsets = _as_positions("dataoffsets", page.dataoffsets)
    counts = _as_positions("databytecounts", page.databytecounts)
    if min(len(offsets), len(counts)) < wanted:
        raise UnsupportedSlideError(
            f"{where} needs {wanted} strips or tiles, and lists {min(len(offsets), len(counts))}; copy it again."
        )
    offsets, counts = offsets[:wanted], np.minimum(counts[:wanted], _max_byte_count(page))
    present = (offsets > 0) & (counts > 0)
    if not present.any():
        raise UnsupportedSlideError(f"{where} has no pixels in the file; copy it again from its source.")
    beyond = int(np.count_nonzero(present & (counts > file_size - offsets)))
    if beyond:
        raise UnsupportedSlideError(
            f"{where} is cut short: {beyond} of {wanted} strips or tiles lie beyond the end of the file "
            f"({file_size} bytes); copy it again from its source."
        )


def _as_positions(name: str, values: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the values of a tag that lists offsets or byte counts; raise if it lists something else."""
    listed = np.asarray(values)
    if listed.ndim == 1 and listed.size == 0:
        return np.empty(0, np.int64)
    if listed.ndim != 1 or listed.dtype.kind not in "iu" or int(listed.max()) > np.iinfo(np.int64).max:
        raise UnsupportedSlideError(f"its tag {name} lists no positions in a file; copy it again from its source.")
    return listed.astype(np.int64)


def _max_byte_count(page: TiffPage) -> int:
    """Return the most bytes a strip or tile can have; the tag of an uncompressed one may claim more."""
    if page.compression != COMPRESSION.NONE or not isinstance(page.bitspersample, int):
        return sys.maxsize
    height, width = chunk_shape(page)
    samples = page.samplesperpixel if page.planarconfig == 1 else 1
    return int(height * -(-width * samples * page.bitspersample // 8))
