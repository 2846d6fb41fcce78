"""Flat images, PNG, JPEG, JPEG 2000 and BMP: read through Pillow, decoded once and kept.

An image whose pixels would take more than 256 MiB is refused unless the caller allows more.
The EXIF orientation is applied (see :mod:`napari_pathseg.slides.orientation`).
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.orientation import exif_orientation
from napari_pathseg.slides.pixel_size import mpp_from_dpi
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding, suppress_warnings

# Pillow's modes: what to convert to; alpha is dropped, 16 bits keep their upper 8.
_MODES = {
    **dict.fromkeys(("1", "L", "LA"), "L"),
    "I;16": "I;16",
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBX"), "RGB"),
}

Plugin = Callable[[Path], Image.Image]
# How such files begin.  The plugins are called by name: Image.open would apply Pillow's own
# limit on pixels, which is global and smaller than ours for grey images.
_PLUGINS: tuple[tuple[bytes, Plugin], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"BM", BmpImageFile),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImageFile),
    (b"\xff\x4f\xff\x51", Jpeg2KImageFile),
)


class ImageSlide(Slide):
    """A flat image as a slide of one level."""

    def __init__(self, path: Path, plugin: Plugin, max_chunk_bytes: int = MAX_DECODED_BYTES) -> None:
        try:
            with decoding(), suppress_warnings(), plugin(path) as image:
                mode, (columns, rows), info = image.mode, image.size, image.info
        except DecodeError as error:
            raise UnsupportedSlideError(f"its header could not be read ({error}); copy it again.") from error
        if mode not in _MODES:
            raise UnsupportedSlideError(f"its colours are {mode}; save it as RGB or grey.")
        channels = 3 if _MODES[mode] == "RGB" else 1
        if rows * columns * channels > max_chunk_bytes:
            raise UnsupportedSlideError(
                f"its {rows} x {columns} pixels need more than {max_chunk_bytes >> 20} MiB at once; "
                "convert it to a pyramid, or save it as a tiled TIFF."
            )
        self._orientation = exif_orientation(info.get("exif"))
        shape = self._orientation.shape((rows, columns))
        super().__init__(path, [shape], mpp_from_dpi(_dpi(info)), channels)
        self._plugin, self._mode = plugin, _MODES[mode]
        self._whole: UInt8Array | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the file and drop its pixels."""
        super().close()
        self._whole = None

    def _decode(self, level: int, box: Region) -> UInt8Array:
        with self._lock:
            if self._whole is None:
                self._whole = self._orientation.apply(_decode_whole(self.path, self._plugin, self._mode))
            return self._whole[box.slices].copy()


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
        raise UnsupportedSlideError("the file is neither.")
    if page:
        raise UnsupportedSlideError(f"page {page} was asked for; the image is page 0.")
    return ImageSlide(path, plugins[0], max_chunk_bytes)


def _decode_whole(path: Path, plugin: Plugin, mode: str) -> UInt8Array:
    """Return all pixels, converted to one of Pillow's modes."""
    with decoding(), suppress_warnings(), plugin(path) as image:
        image.load()
        pixels = np.array(image if image.mode == mode else image.convert(mode))
    return (pixels >> 8).astype(np.uint8) if mode == "I;16" else pixels


def _dpi(info: dict[Any, Any]) -> float:
    """Return the dots per inch of an image, 0 where it has none."""
    dpi = info.get("dpi", (0, 0))
    return float(dpi[0]) if isinstance(dpi, tuple) and dpi else 0.0
