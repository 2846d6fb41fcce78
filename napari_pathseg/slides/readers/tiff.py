"""TIFF slides, flat or pyramids, in strips or tiles: BigTIFF, SVS, NDPI, OME and similar formats.

tifffile finds the pages; this module chooses which of their strips or tiles a read needs, and caches the last ones.
They are checked and decoded in :mod:`napari_pathseg.slides.readers.tiff_chunks`.  What the samples of a page mean is in
:mod:`napari_pathseg.slides.readers.tiff_samples`.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import TiffImageFile
from tifffile import COMPRESSION, TiffFile, TiffPage

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.orientation import orientation_of
from napari_pathseg.slides.pixel_size import PixelSize
from napari_pathseg.slides.readers.image_file import ImageSlide
from napari_pathseg.slides.readers.tiff_channels import colour_planes, named_channels, ome_image
from napari_pathseg.slides.readers.tiff_chunks import check_chunks, chunk_count, chunk_shape, decode_chunk
from napari_pathseg.slides.readers.tiff_pages import LevelPages, count_slides, main_series, slide_pages
from napari_pathseg.slides.readers.tiff_pixel_size import tiff_pixel_size
from napari_pathseg.slides.readers.tiff_samples import Samples, page_samples, planes_as_colour
from napari_pathseg.slides.samples import MAX_MEASURED_BYTES, MAX_MEASURED_CHUNKS, MeasuredDepth, depth_note
from napari_pathseg.slides.slide import Slide
from napari_pathseg.slides.tiff_file import open_tiff_file
from napari_pathseg.storage.portable import ConcurrentFileReader
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, parsing, silence_tifffile

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Cache of decoded strips and tiles: adjacent reads share those at their borders.
_CACHE_BYTES = 64 << 20
# XOffsetFromSlideCenter and YOffsetFromSlideCenter; https://openslide.org/formats/hamamatsu/.
_NDPI_OFFSETS = (65422, 65423)


@dataclass(frozen=True)
class _TiffLevel:
    """A level as it is stored in the file: its pages, what their samples mean, and the JPEG tables of each."""

    pages: LevelPages
    samples: Samples
    tables: tuple[bytes | None, ...]

    @property
    def page(self) -> TiffPage:
        """The first of the pages, which all have the same shape and chunks."""
        return self.pages[0]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns as stored."""
        return self.page.imagelength, self.page.imagewidth


class TiffSlide(Slide):
    """A TIFF file as a slide.

    Attributes
    ----------
    pages
        The pages of level 0: one, or one for each channel.
    samples
        What their samples mean, before it was measured how many bits of them are used.
    orientation
        How the picture is turned when it is shown.
    """

    def __init__(
        self, path: Path, tiff: TiffFile, levels: list[tuple[LevelPages, Samples]], pixel_size: PixelSize | None
    ) -> None:
        self.pages, self.samples = levels[0]
        self.orientation = orientation_of(self.pages[0].tags.valueof("Orientation"))
        for page in (page for pages, _ in levels for page in pages):
            page.init_decode()  # before threads do it at the same time
        self._stored = [
            _TiffLevel(pages, samples, tuple(page.jpegtables for page in pages)) for pages, samples in levels
        ]
        shapes = [self.orientation.shape(level.shape) for level in self._stored]
        super().__init__(path, shapes, pixel_size, self.samples.channels)
        self.centre_offset_um = _centre_offset_um(self.pages[0])
        self._tiff = tiff
        self._cache: OrderedDict[tuple[int, int], UInt8Array] = OrderedDict()
        self._cached_bytes = 0
        self._lock = threading.Lock()
        self._depth = MeasuredDepth(self._largest_samples)
        self._file = ConcurrentFileReader(path)

    @property
    def notes(self) -> Sequence[str]:
        """How its 16-bit samples are shown, if their range had to be measured."""
        note = depth_note(self._depth.bits) if self.samples.measurable else ""
        return [note] if note else []

    def close(self) -> None:
        """Close the file.  Further reads raise ValueError."""
        super().close()
        self._file.close()
        with self._lock:
            self._tiff.close()
            self._cache.clear()
            self._cached_bytes = 0

    def _decode(self, level: int, box: Region) -> UInt8Array:
        stored = self.orientation.stored_box(box, self._stored[level].shape)
        return self.orientation.apply(self._decode_stored(level, stored))

    def _decode_stored(self, level: int, box: Region) -> UInt8Array:
        """Return a box of a level as it is stored in the file."""
        page = self._stored[level].page
        height, width = chunk_shape(page)
        across = -(-page.imagewidth // width)
        pixels = np.empty((box.height, box.width, 3)[: 2 + self.channels // 3], np.uint8)
        for row in range(box.top // height, -(-box.bottom // height)):
            for column in range(box.left // width, -(-box.right // width)):
                chunk = self._chunk(level, row * across + column)
                part = Region(row * height, column * width, height, width).intersect(box)
                source = part.shift(-row * height, -column * width)
                found = chunk[source.slices]
                if found.shape[:2] != (part.height, part.width) or found.shape[2:] not in ((), (1,), (3,)):
                    raise DecodeError(f"a strip or tile of {height} x {width} pixels decodes to {chunk.shape}")
                pixels[part.shift(-box.top, -box.left).slices] = found
        return pixels

    def _chunk(self, level: int, index: int) -> UInt8Array:
        """Return a decoded strip or tile, from the cache if it was used recently."""
        with self._lock:
            if (level, index) in self._cache:
                self._cache.move_to_end((level, index))
                return self._cache[level, index]
        page, samples = self._stored[level].page, self._stored[level].samples
        if samples.measurable:
            samples = replace(samples, bits=self._depth.bits)
        # Outside the lock, so that threads decode in parallel.
        stored = self._samples_of(level, index)
        if stored is not None:
            chunk = samples.to_uint8(stored)
        else:
            # Scanners leave out tiles of empty glass: white in colour, black in fluorescence.
            chunk = np.full((*chunk_shape(page), samples.channels), 255 if samples.channels == 3 else 0, np.uint8)
            chunk = chunk[..., 0] if samples.channels == 1 else chunk
        with self._lock:
            if (level, index) not in self._cache:
                self._cache[level, index] = chunk
                self._cached_bytes += chunk.nbytes
            while self._cached_bytes > _CACHE_BYTES and len(self._cache) > 1:
                self._cached_bytes -= self._cache.popitem(last=False)[1].nbytes
        return chunk

    def _samples_of(self, level: int, index: int) -> npt.NDArray[np.generic] | None:
        """Return a strip or tile (rows, columns, samples) as stored, None where any of its planes is left out."""
        count = self._stored[level].samples.planes
        planes = [
            self._segment(level, plane, index + part * chunk_count(page))
            for plane, page in enumerate(self._stored[level].pages)
            for part in range(count)
        ]
        stored = [plane for plane in planes if plane is not None]
        if len({plane.shape for plane in stored}) > 1:
            raise DecodeError(f"its planes decode to {', '.join(str(plane.shape) for plane in stored)}")
        if len(stored) < len(planes):
            return None
        return stored[0] if len(stored) == 1 else np.concatenate(stored, axis=-1)

    def _segment(self, level: int, plane: int, index: int) -> npt.NDArray[np.generic] | None:
        """Return the samples of a strip or tile (rows, columns, samples) of a page, None for one left out."""
        page, tables = self._stored[level].pages[plane], self._stored[level].tables[plane]
        return decode_chunk(page, self._file, index, tables)

    def _largest_samples(self) -> Iterator[int]:
        """Yield the largest sample of strips or tiles of the coarsest level, without those that cannot be read."""
        level = len(self._stored) - 1
        for index in _spread(self._stored[level]):
            try:
                stored = self._samples_of(level, index)
            except (DecodeError, OSError):  # reported where it is shown
                continue
            if stored is not None:
                yield int(self.samples.colours(stored).max(initial=0))


def open_tiff(path: Path, page: int | None = None, max_chunk_bytes: int = MAX_DECODED_BYTES) -> Slide:
    """Open a TIFF, or the page of a stack, as a slide.

    Raises
    ------
    UnsupportedSlideError
        If it is not a TIFF, damaged, a stack and no page is chosen, has strips or tiles of more than
        `max_chunk_bytes`, or its pixels are neither colour nor grey.
    """
    with _open(path) as tiff:
        main = main_series(tiff)
        about = ome_image(tiff, main)
        channels = named_channels(tiff, about)
        page_samples(main.keyframe, about, channels)  # raises where they cannot be read
        colour = colour_planes(tiff, main, channels)
        levels = slide_pages(tiff, main, page, colour)
        first = levels[0][0]
        if first.compression == COMPRESSION.OJPEG:
            tiff.close()
            return _open_old_jpeg(path, tiff, first, max_chunk_bytes)
        size = path.stat().st_size
        described = []
        for pages in levels:
            for one in pages:
                check_chunks(one, page_samples(one, about, channels).planes, size, max_chunk_bytes)
            samples = page_samples(pages[0], about, channels)
            if len(pages) > 1 and colour is not None:
                samples = planes_as_colour(samples, colour)
            described.append((pages, samples))
        return TiffSlide(path, tiff, described, tiff_pixel_size(tiff, first, about))


def count_tiff_pages(path: Path) -> int:
    """Return how many slides a TIFF holds; 1 for another file."""
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            return 1
    with _open(path) as tiff:
        main = main_series(tiff)
        count = count_slides(tiff, main, colour_planes(tiff, main, named_channels(tiff, ome_image(tiff, main))))
        tiff.close()
        return count


@contextmanager
def _open(path: Path) -> Iterator[TiffFile]:
    """Open a file with tifffile and close it on an error; raise UnsupportedSlideError if it is damaged."""
    with path.open("rb") as file:
        if file.read(4) not in _MAGIC:
            raise UnsupportedSlideError("the file is not a TIFF.")
    with silence_tifffile():
        try:
            tiff = open_tiff_file(path)
            try:
                # tifffile continues to parse while its attributes are read.
                with parsing("tifffile", "numpy", "imagecodecs"):
                    yield tiff
            except BaseException:
                tiff.close()
                raise
        except DecodeError as error:
            raise UnsupportedSlideError(
                f"its structure is damaged ({error}); copy it again from its source."
            ) from error


def _open_old_jpeg(path: Path, tiff: TiffFile, page: TiffPage, max_chunk_bytes: int) -> Slide:
    """Open a TIFF of old-style JPEG, deprecated in 1995, which only libtiff (in Pillow) can decode."""
    if len(tiff.pages) > 1 or page.offset != tiff.pages.first.offset:
        raise UnsupportedSlideError("its pages are old-style JPEG; save the page you need as a JPEG.")
    return ImageSlide(path, TiffImageFile, max_chunk_bytes)


def _centre_offset_um(page: TiffPage) -> tuple[float, float] | None:
    """Return the position of the slide's centre, from the private tags of NDPI, which are in nanometres."""
    offset = [page.tags.valueof(tag) for tag in _NDPI_OFFSETS]
    known = page.is_ndpi and all(isinstance(value, int) for value in offset)
    return (offset[0] / 1e3, offset[1] / 1e3) if known else None


def _spread(level: _TiffLevel) -> Sequence[int]:
    """Return some strips or tiles of a level, evenly spread, whose samples fit into `MAX_MEASURED_BYTES`."""
    height, width = chunk_shape(level.page)
    size = max(1, 2 * height * width * level.page.samplesperpixel * len(level.pages))
    most = max(1, min(MAX_MEASURED_CHUNKS, MAX_MEASURED_BYTES // size))
    count = chunk_count(level.page)
    return range(count) if count <= most else [index * count // most for index in range(most)]
