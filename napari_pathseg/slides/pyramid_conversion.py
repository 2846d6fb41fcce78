"""Convert a slide that cannot be read in parts into a tiled pyramid in another file.

Some programs write a slide as one giant strip; showing any of it means decoding all of it.  If the
codec allows it (none, deflate), the strip is read row by row, so that only a few bands of rows are in
memory; a slide of small strips or tiles is read band by band; any other is decoded once, if there is
enough memory.
"""

import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tifffile import COMPRESSION, TiffPage

from napari_pathseg.errors import OutOfMemoryError, ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import TILE_SIDE, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.appearance import square_mpp
from napari_pathseg.slides.orientation import UPRIGHT
from napari_pathseg.slides.pyramid_writer import PyramidWriter
from napari_pathseg.slides.readers.tiff import TiffSlide
from napari_pathseg.slides.readers.tiff_chunks import chunk_shape
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.slides.samples import depth_of
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.machine import free_memory
from napari_pathseg.storage.portable import ConcurrentFileReader
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding

_UNLIMITED = 1 << 62
_ROWS = TILE_SIDE
_READ_BYTES = 1 << 20
# Smaller strips are decoded one at a time.
_GIANT_BYTES = 1 << 20
_STREAMED = (COMPRESSION.NONE, COMPRESSION.ADOBE_DEFLATE, COMPRESSION.DEFLATE)
_PREDICTORS = (1, 2)


def memory_to_convert(path: Path, page: int | None = None) -> int:
    """Estimate how many bytes of memory `convert` needs: some bands of rows, and the largest decoded piece.

    Raises
    ------
    UnsupportedSlideError
        If no reader takes the slide, or its pixels are not square.
    """
    with open_slide(path, page, max_chunk_bytes=_UNLIMITED) as slide:
        square_mpp(slide)  # a pyramid would state square ones
        return _memory(slide)


def convert(path: Path, target: Path, page: int | None = None) -> Generator[float, None, None]:
    """Write a slide as a tiled pyramid with the same pixels; yield the fraction done, 0 to 1.

    `target` appears once everything is written, and not at all if the iterator is closed or fails.

    Raises
    ------
    UnsupportedSlideError
        If no reader opens the slide, or its pixels cannot be decoded.
    OutOfMemoryError
        If it must be decoded at once and there is not enough free memory.
    ProjectError
        If `target` cannot be written.
    """
    if target.resolve() == path.resolve():
        raise ValueError(f"{target} is the slide itself; write the pyramid to another file.")
    with open_slide(path, page, max_chunk_bytes=_UNLIMITED) as slide:
        needed, free = _memory(slide), free_memory()
        if needed > free:
            raise OutOfMemoryError(
                f"{path.name} can only be decoded at once, which needs {_gigabytes(needed)} of memory; "
                f"{_gigabytes(free)} are free. Close other programs, or convert it on a larger computer."
            )
        done = 0
        with replace_file(target) as partial, partial.open("wb") as file:
            pyramid = PyramidWriter(file, slide.shape, slide.channels, slide.mpp)
            for rows in _bands(slide):
                pyramid.add(rows)
                done += len(rows)
                yield min(done / slide.shape[0], 0.999)
            pyramid.finish()
        yield 1.0


def write_pyramid(
    target: Path, pixels: Any, mpp: float | None, report: Callable[[float], bool] = lambda _: False
) -> None:
    """Write an image that is no file as a tiled pyramid; `target` appears once everything is written.

    Parameters
    ----------
    target
        The new file.
    pixels
        8 bits, (rows, columns) or (rows, columns, 3 or 4); of an array on disk a band of rows is read at a time.  A
        fourth channel is left out.
    mpp
        Micrometres per pixel; None if unknown.
    report
        Called with the fraction done, 0 to 1; if it returns True, nothing is written.

    Raises
    ------
    ProjectError
        If `target` cannot be written, or `report` stopped it.
    """
    rows, columns = pixels.shape[:2]
    with replace_file(target) as partial, partial.open("wb") as file:
        pyramid = PyramidWriter(file, (rows, columns), 1 if len(pixels.shape) == 2 else 3, mpp)
        for top in range(0, rows, _ROWS):
            if report(top / rows):
                raise ProjectError(f"Writing {target.name} was stopped; it was not added.")
            band = np.asarray(pixels[top : top + _ROWS])
            pyramid.add(band if band.ndim == 2 else np.ascontiguousarray(band[..., :3]))
        pyramid.finish()


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _memory(slide: Slide) -> int:
    """Estimate the peak memory of a conversion, in bytes."""
    bands = 6 * _ROWS * slide.shape[1] * slide.channels
    page = _streamed_page(slide)
    if page is not None:
        return bands + 4 * _ROWS * _row_bytes(page)
    if isinstance(slide, TiffSlide):
        page = slide.pages[0]
        height, width = chunk_shape(page)
        # The stored samples, their 8-bit copies, and one more copy where samples are unpacked.
        samples = page.samplesperpixel * len(slide.pages)
        return bands + 3 * height * width * samples * (2 if page.bitspersample > 8 else 1)
    whole = slide.shape[0] * slide.shape[1] * slide.channels
    return bands + (2 * whole if whole > MAX_DECODED_BYTES else 0)


def _bands(slide: Slide) -> Iterator[UInt8Array]:
    """Yield level 0 from the top down, `_ROWS` rows at a time."""
    page = _streamed_page(slide)
    if page is not None and isinstance(slide, TiffSlide):
        yield from _streamed_bands(slide, page)
        return
    for top in range(0, slide.shape[0], _ROWS):
        yield slide.read_level(0, Region(top, 0, min(_ROWS, slide.shape[0] - top), slide.shape[1]))


def _streamed_page(slide: Slide) -> TiffPage | None:
    """Return level 0 of a slide if it consists of giant strips that can be decoded row by row."""
    if not isinstance(slide, TiffSlide) or slide.orientation != UPRIGHT or len(slide.pages) > 1:
        return None
    page = slide.pages[0]
    is_giant = page.rowsperstrip * _row_bytes(page) > _GIANT_BYTES and not page.is_tiled
    is_streamable = page.compression in _STREAMED and page.predictor in _PREDICTORS and page.fillorder == 1
    has_whole_samples = page.bitspersample in (8, 16) and page.planarconfig == 1 and page.photometric != 6
    return page if is_giant and is_streamable and has_whole_samples else None


def _row_bytes(page: TiffPage) -> int:
    return int(page.imagewidth * page.samplesperpixel * -(-page.bitspersample // 8))


def _streamed_bands(slide: TiffSlide, page: TiffPage) -> Iterator[UInt8Array]:
    """Yield the rows of a page of giant strips, decoded as they are read."""
    samples = slide.samples
    if samples.measurable:
        largest = max(int(samples.colours(rows).max()) for rows in _streamed_rows(slide, page))
        samples = replace(samples, bits=depth_of(largest))
    for rows in _streamed_rows(slide, page):
        yield samples.to_uint8(rows)


def _streamed_rows(slide: TiffSlide, page: TiffPage) -> Iterator[npt.NDArray[Any]]:
    """Yield the samples (rows, columns, samples) of a page of giant strips, as stored."""
    size = _row_bytes(page)
    kind = np.dtype(f"{page.parent.byteorder}u{page.bitspersample // 8}")
    file = ConcurrentFileReader(slide.path)
    try:
        for index in range(-(-page.imagelength // page.rowsperstrip)):
            left = min(page.rowsperstrip, page.imagelength - index * page.rowsperstrip)
            for data in _row_blocks(_stream(file, page, index), size, left):
                rows = np.frombuffer(data, kind).reshape(-1, page.imagewidth, page.samplesperpixel)
                yield np.cumsum(rows, axis=1, dtype=kind.newbyteorder("=")) if page.predictor == 2 else rows
    except (DecodeError, OSError) as error:
        raise UnsupportedSlideError(
            f"{slide.path} could not be decoded to its end ({error!s:.250}); "
            "the file is damaged: copy it again from its source."
        ) from error
    finally:
        file.close()


def _row_blocks(pieces: Iterator[bytes], size: int, rows: int) -> Iterator[bytes]:
    """Yield `rows` rows of `size` bytes, `_ROWS` of them at a time, from a stream of bytes."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while rows and len(buffer) >= size * min(_ROWS, rows):
            count = min(_ROWS, rows)
            yield bytes(buffer[: count * size])
            del buffer[: count * size]
            rows -= count
    if rows:
        raise DecodeError(f"{rows} rows are missing")


def _stream(file: ConcurrentFileReader, page: TiffPage, index: int) -> Iterator[bytes]:
    """Yield the bytes of a strip, decompressed, a few MB at a time."""
    start, count = page.dataoffsets[index], page.databytecounts[index]
    inflate: Any = None if page.compression == COMPRESSION.NONE else zlib.decompressobj()
    for offset in range(start, start + count, _READ_BYTES):
        data = file.read(offset, min(_READ_BYTES, start + count - offset))
        if inflate is None:
            yield data
            continue
        # Called once more without input, since it may hold back output that did not fit.
        while piece := _inflate(inflate, data):
            yield piece
            data = inflate.unconsumed_tail


def _inflate(inflate: Any, data: bytes) -> bytes:
    with decoding():
        return bytes(inflate.decompress(data, _READ_BYTES))
