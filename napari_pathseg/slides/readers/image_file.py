"""Flat images, PNG, JPEG, JPEG 2000 and BMP: read through Pillow, decoded once and kept.

An image whose pixels would take more than 256 MiB is refused unless the caller allows more.
The EXIF orientation is applied (see :mod:`napari_pathseg.slides.orientation`).  What is transparent is shown on white.
PNG and JPEG 2000 of 16 bits are decoded by imagecodecs, since Pillow keeps the upper 8 bits of colours, of which a
camera of 12 bits uses four.
"""

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.orientation import exif_orientation
from napari_pathseg.slides.pixel_size import PixelSize, pixel_size_from_dpi
from napari_pathseg.slides.samples import depth_note, depth_of, over_white, to_8_bits
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.picture_headers import require_few_scans
from napari_pathseg.storage.regular_files import read_regular
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding, suppress_warnings

# Pillow's modes: what to convert to; 16 bits keep their upper 8.
_MODES = {
    **dict.fromkeys(("1", "L", "LA"), "L"),
    "I;16": "I;16",
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX"), "RGB"),
}

_TRANSPARENT = {"L": "LA", "RGB": "RGBA"}
_WITH_ALPHA = ("LA", "PA", "RGBA")
_PNG_START, _JPEG_2000_START = b"\x89PNG\r\n\x1a\n", b"\xff\x4f\xff\x51"
# Depth of the first component in the header of JPEG 2000 (T.800, A.5.1): bits less one, after sizes and counts.
_JPEG_2000_DEPTH = re.compile(rb"\xff\x4f\xff\x51.{38}(.)", re.DOTALL)
_HEADER_BYTES = 1 << 16
_BAND_PIXELS = 1 << 22  # converted at once
_SHARE_OF_JPEG_2000 = 0.6  # of the bytes that may be decoded at once: its decoder needs 4 more for each sample

Plugin = Callable[[Path], Image.Image]
Decode = Callable[[bytes], npt.NDArray[Any]]
# The first bytes of such files.  The plugins are called by name: Image.open would apply Pillow's own
# limit on pixels, which is global and smaller than ours for grey images.
_PLUGINS: tuple[tuple[bytes, Plugin], ...] = (
    (_PNG_START, PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"BM", BmpImageFile),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImageFile),
    (_JPEG_2000_START, Jpeg2KImageFile),
)


class _Pixels(NamedTuple):
    """Decoded pixels, and how samples of 16 bits are shown."""

    pixels: UInt8Array
    note: str = ""


class ImageSlide(Slide):
    """A flat image as a slide of one level."""

    def __init__(self, path: Path, plugin: Plugin, max_chunk_bytes: int = MAX_DECODED_BYTES) -> None:
        try:
            if plugin is JpegImageFile:
                require_few_scans(read_regular(path, max_chunk_bytes))
            with decoding(), suppress_warnings(), plugin(path) as image:
                mode, (columns, rows), info = image.mode, image.size, image.info
        except (DecodeError, OSError) as error:
            raise UnsupportedSlideError(f"its header could not be read ({error}); copy it again.") from error
        if mode not in _MODES:
            raise UnsupportedSlideError(f"its colours are {mode}; save it as RGB or grey.")
        channels = 3 if _MODES[mode] == "RGB" else 1
        self._deep = _deep_decoder(path)
        stored = (channels + (mode in _WITH_ALPHA)) * (1 if self._deep is None else 2)
        most = max_chunk_bytes * (_SHARE_OF_JPEG_2000 if plugin is Jpeg2KImageFile else 1)
        if rows * columns * stored > most:
            raise UnsupportedSlideError(
                f"its {rows} x {columns} pixels need more than {int(most) >> 20} MiB at once; "
                "convert it to a pyramid, or save it as a tiled TIFF."
            )
        self._orientation = exif_orientation(info.get("exif"))
        shape = self._orientation.shape((rows, columns))
        super().__init__(path, [shape], _pixel_size(info), channels)
        self._plugin, self._mode = plugin, _MODES[mode]
        if mode in _WITH_ALPHA or "transparency" in info:
            self._mode = _TRANSPARENT.get(self._mode, self._mode)
        self._whole: _Pixels | None = None
        self._lock = threading.Lock()

    @property
    def notes(self) -> Sequence[str]:
        """How its 16-bit samples are shown."""
        return [note] if self._deep is not None and (note := self._load().note) else []

    def close(self) -> None:
        """Close the file and drop its pixels."""
        super().close()
        self._whole = None

    def _decode(self, level: int, box: Region) -> UInt8Array:
        return self._load().pixels[box.slices].copy()

    def _load(self) -> _Pixels:
        """Return the decoded pixels; they are decoded once."""
        with self._lock:
            if self._whole is None:
                if self._deep is None:
                    whole = _Pixels(_decode_whole(self.path, self._plugin, self._mode))
                else:
                    whole = _decode_deep(self.path, self._deep, self.channels)
                self._whole = whole._replace(pixels=self._orientation.apply(whole.pixels))
            return self._whole


def open_image(path: Path, page: int | None = None, max_chunk_bytes: int = MAX_DECODED_BYTES) -> ImageSlide:
    """Open a PNG, JPEG, JPEG 2000 or BMP as a slide.

    Raises
    ------
    UnsupportedSlideError
        If it has another format, another page than 0 is requested, it is larger than allowed, or its colours cannot
        be shown.
    """
    with path.open("rb") as file:
        begin = file.read(12)
    plugins = [plugin for magic, plugin in _PLUGINS if begin.startswith(magic)]
    if not plugins:
        raise UnsupportedSlideError("it does not recognise the file.")
    if page:
        raise UnsupportedSlideError(f"it has no page {page}; the image is page 0.")
    return ImageSlide(path, plugins[0], max_chunk_bytes)


def _deep_decoder(path: Path) -> Decode | None:
    """Return the decoder of a PNG or JPEG 2000 of 16-bit samples, None for any other image."""
    with path.open("rb") as file:
        begin = file.read(_HEADER_BYTES)
    if begin.startswith(_PNG_START):
        return imagecodecs.png_decode if begin[24:25] == b"\x10" else None
    found = _JPEG_2000_DEPTH.search(begin)
    return imagecodecs.jpeg2k_decode if found is not None and found[1] == b"\x0f" else None


def _decode_whole(path: Path, plugin: Plugin, mode: str) -> UInt8Array:
    """Return all pixels, converted to one of Pillow's modes; with alpha they are put on white."""
    with decoding(), suppress_warnings(), plugin(path) as image:
        image.load()
        columns, rows = image.size
        pixels = np.empty((rows, columns, 3)[: 2 + (mode in ("RGB", "RGBA"))], np.uint8)
        step = max(1, _BAND_PIXELS // max(1, columns))
        for top in range(0, rows, step):  # a converted copy of the whole would take twice its memory
            band = image.crop((0, top, columns, min(rows, top + step)))
            pixels[top : top + step] = _shown(np.asarray(band if band.mode == mode else band.convert(mode)), mode)
    return pixels


def _shown(stored: npt.NDArray[Any], mode: str) -> npt.NDArray[Any]:
    """Return pixels of one of Pillow's modes as 8-bit grey or colour, on white where they are transparent."""
    if mode == "I;16":
        return stored >> 8
    if mode in _WITH_ALPHA:
        return over_white(stored[..., 0] if mode == "LA" else stored[..., :3], stored[..., -1])
    return stored


def _decode_deep(path: Path, decode: Decode, channels: int) -> _Pixels:
    """Return all pixels of an image of 16-bit samples, and how these are shown."""
    with decoding():
        stored = decode(read_regular(path, MAX_DECODED_BYTES))
    planes = stored if stored.ndim == 3 else stored[..., None]
    alpha = planes.shape[-1] in (2, 4)
    colours = planes[..., :-1] if alpha else planes
    largest = int(colours.max(initial=0))
    bits = depth_of(largest)
    shown = to_8_bits(colours, bits)
    shown = np.repeat(shown, channels, axis=-1) if shown.shape[-1] < channels else shown
    pixels = shown if channels == 3 else shown[..., 0]
    if alpha:
        pixels = over_white(pixels, to_8_bits(planes[..., -1], bits))
    return _Pixels(np.ascontiguousarray(pixels), depth_note(bits))


def _pixel_size(info: dict[Any, Any]) -> PixelSize | None:
    """Return the pixel size of an image that gives its dots per inch."""
    dpi = info.get("dpi")
    return pixel_size_from_dpi(float(dpi[0]), float(dpi[-1])) if isinstance(dpi, tuple) and dpi else None
