"""TIFF slides: flat ones and pyramids, in strips or tiles, BigTIFF, SVS, NDPI, OME and their kin.

tifffile finds the pages and decodes one strip or tile at a time; which of them a read needs,
and which were decoded lately, is kept here.  What the samples of a page mean is
in :mod:`napari_pathseg.data.tiff_samples`.
"""

import logging
import math
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tifffile import TiffFile, TiffPage, TiffPageSeries

from napari_pathseg.data.averaging import Pixels
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.pixel_size import tiff_mpp
from napari_pathseg.data.slide import DECODER_ERRORS, MAXIMUM_DECODED_BYTES, Slide
from napari_pathseg.data.tiff_samples import IMAGE_CODECS, page_samples, require_small
from napari_pathseg.errors import UnsupportedSlideError

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Decoded strips and tiles that are kept: neighbouring reads share their borders.
_KEPT_BYTES = 64 << 20
# Kinds of tifffile in which the slide comes first, or is the largest; what else they hold are its
# label, macro and thumbnail.
_SLIDE_FIRST = frozenset({"svs", "ndpi", "qpi", "philips", "avs", "bif"})
_SLIDE_LARGEST = frozenset({"scn", "indica", "sis"})
_ASSOCIATED_NAMES = ("label", "macro", "thumbnail", "overview", "map")


class TiffSlide(Slide):
    """A TIFF file as a slide; `pages` holds one page for each level, finest first."""

    def __init__(self, path: Path, tiff: TiffFile, pages: list[TiffPage], mpp: float | None) -> None:
        self._samples = [page_samples(page) for page in pages]
        shapes = [(page.imagelength, page.imagewidth) for page in pages]
        super().__init__(path, shapes, mpp, self._samples[0].channels)
        self._tiff, self._pages = tiff, pages
        self._tables = [page.jpegtables for page in pages]
        self._kept: OrderedDict[tuple[int, int], Pixels] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the file go."""
        super().close()
        with self._lock:
            self._tiff.close()
            self._kept.clear()
            self._kept_bytes = 0

    def _decode(self, level: int, box: Region) -> Pixels:
        page = self._pages[level]
        height, width = chunk_shape(page)
        across = -(-page.imagewidth // width)
        pixels = np.empty((box.height, box.width, 3)[: 2 + self.channels // 3], np.uint8)
        for row in range(box.top // height, -(-box.bottom // height)):
            for column in range(box.left // width, -(-box.right // width)):
                chunk = self._chunk(level, row * across + column)
                part = Region(row * height, column * width, height, width).intersect(box)
                source = part.shift(-row * height, -column * width)
                pixels[part.shift(-box.top, -box.left).slices] = chunk[source.slices]
        return pixels

    def _chunk(self, level: int, index: int) -> Pixels:
        """Return a decoded strip or tile, from memory where it was used lately."""
        with self._lock:
            if (level, index) in self._kept:
                self._kept.move_to_end((level, index))
                return self._kept[level, index]
        page, samples = self._pages[level], self._samples[level]
        # Outside the lock: threads decode side by side.
        planes = [self._segment(level, index + plane * chunk_count(page)) for plane in range(samples.planes)]
        stored = [plane for plane in planes if plane is not None]
        if len(stored) == len(planes):
            chunk = samples.to_uint8(np.concatenate(stored, axis=-1))
        else:
            # Scanners leave out tiles of empty glass: white in colour, black in fluorescence.
            chunk = np.full((*chunk_shape(page), samples.channels), 255 if samples.channels == 3 else 0, np.uint8)
            chunk = chunk[..., 0] if samples.channels == 1 else chunk
        with self._lock:
            if (level, index) not in self._kept:
                self._kept[level, index] = chunk
                self._kept_bytes += chunk.nbytes
            while self._kept_bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._kept_bytes -= self._kept.popitem(last=False)[1].nbytes
        return chunk

    def _segment(self, level: int, index: int) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]] | None:
        """Return the samples of a strip or tile (rows, columns, samples) as stored, None for one left out."""
        page = self._pages[level]
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if not offset or not count:
            return None
        with self._lock:
            file = self._tiff.filehandle
            file.seek(offset)
            data = file.read(count)
        if page.compression in IMAGE_CODECS:
            require_small(data)
        with quiet():
            decoded = page.decode(data, index, jpegtables=self._tables[level], jpegheader=page.jpegheader)[0]
        return None if decoded is None else decoded[0]


def open_tiff(path: Path) -> TiffSlide:
    """Open a TIFF as a slide.

    Raises
    ------
    UnsupportedSlideError
        If it is no TIFF, damaged, a stack, or its pixels are neither colour nor grey: which of them.
    """
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            raise UnsupportedSlideError("the file is none.")
    with quiet():
        try:
            # _multifile: an OME-TIFF may name other files, which are not to be opened.
            tiff = TiffFile(path, _multifile=False)
        except DECODER_ERRORS as error:
            raise _damaged(error) from error
        try:
            return _slide_of(path, tiff)
        except UnsupportedSlideError:
            tiff.close()
            raise
        except DECODER_ERRORS as error:
            tiff.close()
            raise _damaged(error) from error


def chunk_shape(page: TiffPage) -> tuple[int, int]:
    """Return rows and columns of the strips or tiles of a page."""
    return (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)


def chunk_count(page: TiffPage) -> int:
    """Return how many strips or tiles one plane of a page has."""
    height, width = chunk_shape(page)
    return -(-page.imagelength // height) * -(-page.imagewidth // width)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep tifffile from logging in this thread: what it finds ends in one message or does not matter."""
    thread, logger = threading.get_ident(), logging.getLogger("tifffile")

    def elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(elsewhere)


def _damaged(error: BaseException) -> UnsupportedSlideError:
    return UnsupportedSlideError(
        f"its structure is damaged ({type(error).__name__}: {error!s:.200}); copy it again from its source."
    )


def _slide_of(path: Path, tiff: TiffFile) -> TiffSlide:
    series = tiff.series
    if not series:
        raise UnsupportedSlideError("it holds no picture.")
    main = series[0] if series[0].kind in _SLIDE_FIRST else max(series, key=_area)
    pages = _pyramid(tiff, main)
    size = path.stat().st_size
    for page in pages:
        _check_chunks(page, size)
    return TiffSlide(path, tiff, pages, tiff_mpp(tiff, pages[0], series.index(main)))


def _area(series: TiffPageSeries) -> int:
    return series.keyframe.imagelength * series.keyframe.imagewidth


def _pyramid(tiff: TiffFile, main: TiffPageSeries) -> list[TiffPage]:
    """Return the pages of the slide's levels; raise where the file is no single slide."""
    first = main.keyframe
    if not math.prod(first.shape):
        raise UnsupportedSlideError(f"its picture has {first.imagelength} x {first.imagewidth} pixels.")
    # Not the number of pages: a volume may lie in a single one.
    if math.prod(main.shape) != math.prod(first.shape):
        raise _stack(tiff, main)
    pages = [first, *(_page(level) for level in main.levels[1:])]
    pages = [page for page in pages if page_samples(page).channels == page_samples(first).channels]
    if main.kind in _SLIDE_FIRST | _SLIDE_LARGEST:
        return pages
    seen = False
    for series in tiff.series:
        if series is main:
            seen = True
        elif any(name in f"{series.name} {series.keyframe.description[:200]}".lower() for name in _ASSOCIATED_NAMES):
            continue
        elif seen and len(series) == 1 and _is_level(_page(series), pages):
            pages.append(_page(series))
        elif not _is_aside(series.keyframe, first):
            raise _stack(tiff, main)
    return pages


def _page(series: TiffPageSeries) -> TiffPage:
    """Return the first page of a series with the offsets of its own."""
    page = series.pages[0]
    return series.keyframe if page is None else page.aspage()


def _is_level(page: TiffPage, pages: list[TiffPage]) -> bool:
    """Return whether a page is the first of `pages`, a whole number of times smaller, and below the last."""
    first, last = pages[0], pages[-1]
    if not 0 < page.imagewidth < last.imagewidth or not 0 < page.imagelength < last.imagelength:
        return False
    ratio = round(first.imagewidth / page.imagewidth)
    fits = max(abs(first.imagewidth / ratio - page.imagewidth), abs(first.imagelength / ratio - page.imagelength))
    return fits <= 1 and (page.samplesperpixel, page.dtype) == (first.samplesperpixel, first.dtype)


def _is_aside(page: TiffPage, first: TiffPage) -> bool:
    """Return whether a page is a label, macro or thumbnail beside the slide's `first` page."""
    smaller = page.imagewidth * page.imagelength < first.imagewidth * first.imagelength
    return smaller and (bool(page.is_reduced) or (first.is_tiled and not page.is_tiled))


def _stack(tiff: TiffFile, main: TiffPageSeries) -> UnsupportedSlideError:
    pages = max(len(tiff.pages), sum(len(series) for series in tiff.series))
    rows, columns = main.keyframe.imagelength, main.keyframe.imagewidth
    kind = "one for each channel" if "C" in main.axes else "no pyramid"
    return UnsupportedSlideError(
        f"it has {pages} pages ({kind}), the largest of {rows} x {columns} pixels; "
        "save the page you need as a file of its own."
    )


def _check_chunks(page: TiffPage, file_size: int) -> None:
    """Raise where strips or tiles are too large, too few, or lie outside the file."""
    height, width = chunk_shape(page)
    where = f"its picture of {page.imagelength} x {page.imagewidth} pixels"
    if min(page.imagelength, page.imagewidth, height, width) < 1 or page.imagedepth != 1:
        raise UnsupportedSlideError(f"{where} has strips or tiles of {height} x {width} pixels.")
    if height * width * page.samplesperpixel * (2 if page.bitspersample > 8 else 1) > MAXIMUM_DECODED_BYTES:
        raise UnsupportedSlideError(
            f"{where} lies in strips or tiles of {height} x {width} pixels, each of which needs more than "
            f"{MAXIMUM_DECODED_BYTES >> 20} MiB; save it with tiles of 512 x 512."
        )
    wanted = chunk_count(page) * page_samples(page).planes
    offsets, counts = np.array(page.dataoffsets, np.int64), np.array(page.databytecounts, np.int64)
    if min(len(offsets), len(counts)) < wanted:
        raise UnsupportedSlideError(f"{where} needs {wanted} strips or tiles, and lists {len(offsets)}; copy it again.")
    offsets, counts = offsets[:wanted], counts[:wanted]
    present = (offsets > 0) & (counts > 0)
    if not present.any():
        raise UnsupportedSlideError(f"{where} has no pixels in the file; copy it again from its source.")
    beyond = int(np.count_nonzero(present & (counts > file_size - offsets)))
    if beyond:
        raise UnsupportedSlideError(
            f"{where} is cut short: {beyond} of {wanted} strips or tiles lie beyond the end of the file "
            f"({file_size} bytes); copy it again from its source."
        )
