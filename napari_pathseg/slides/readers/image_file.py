"""Flat pictures, PNG, JPEG, JPEG 2000 and BMP: read through Pillow, decoded once and kept.

A picture whose pixels would take more than 256 MiB is refused unless the caller allows more.
The orientation that EXIF gives is heeded (see :mod:`napari_pathseg.slides.orientation`).
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

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.orientation import exif_orientation
from napari_pathseg.slides.pixel_size import mpp_from_dpi
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.untrusted import DECODER_ERRORS, MAXIMUM_DECODED_BYTES, no_warnings

# Pillow's modes: what to convert to; alpha is dropped, 16 bits keep their upper 8.
_MODES = {
    "1": "L", "L": "L", "LA": "L", "I;16": "I;16", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB", "RGBX": "RGB"
}  # fmt: skip

Plugin = Callable[[Path], Image.Image]
# What such files begin with.  The plugins are called by name: Image.open would ask Pillow's own
# limit on pixels, which is everybody's and smaller than ours for grey pictures.
_PLUGINS: tuple[tuple[bytes, Plugin], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"\xff\xd8\xff", JpegImageFile),
    (b"BM", BmpImageFile),
    (b"\0\0\0\x0cjP  \r\n\x87\n", Jpeg2KImageFile),
    (b"\xff\x4f\xff\x51", Jpeg2KImageFile),
)


class PictureSlide(Slide):
    """A flat picture as a slide of one level."""

    def __init__(self, path: Path, plugin: Plugin, largest: int = MAXIMUM_DECODED_BYTES) -> None:
        try:
            with no_warnings(), plugin(path) as picture:
                mode, (columns, rows), notes = picture.mode, picture.size, picture.info
        except DECODER_ERRORS as error:
            raise UnsupportedSlideError(f"its header could not be read ({error!s:.200}); copy it again.") from error
        if mode not in _MODES:
            raise UnsupportedSlideError(f"its colours are {mode}; save it as RGB or grey.")
        channels = 3 if _MODES[mode] == "RGB" else 1
        if rows * columns * channels > largest:
            raise UnsupportedSlideError(
                f"its {rows} x {columns} pixels need more than {largest >> 20} MiB at once; "
                "convert it to a pyramid, or save it as a tiled TIFF."
            )
        self._orientation = exif_orientation(notes.get("exif"))
        shape = self._orientation.shape((rows, columns))
        super().__init__(path, [shape], mpp_from_dpi(_dpi(notes)), channels)
        self._plugin = plugin
        self._whole: UInt8Array | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the file go."""
        super().close()
        self._whole = None

    def _decode(self, level: int, box: Region) -> UInt8Array:
        with self._lock:
            if self._whole is None:
                self._whole = self._orientation.turn(_decode_whole(self.path, self._plugin))
            return self._whole[box.slices].copy()


def open_picture(path: Path, page: int | None = None, largest_chunk: int = MAXIMUM_DECODED_BYTES) -> PictureSlide:
    """Open a PNG, JPEG, JPEG 2000 or BMP as a slide.

    Raises
    ------
    UnsupportedSlideError
        If it is none of them, has another page than 0, is larger than allowed, or its colours cannot be shown.
    """
    with path.open("rb") as file:
        begin = file.read(12)
    plugins = [plugin for magic, plugin in _PLUGINS if begin.startswith(magic)]
    if not plugins:
        raise UnsupportedSlideError("the file is neither.")
    if page:
        raise UnsupportedSlideError(f"page {page} was asked for; the picture is page 0.")
    return PictureSlide(path, plugins[0], largest_chunk)


def _decode_whole(path: Path, plugin: Plugin) -> UInt8Array:
    with no_warnings(), plugin(path) as picture:
        picture.load()
        wanted = _MODES[picture.mode]
        if wanted == "I;16":
            return (np.asarray(picture) >> 8).astype(np.uint8)
        return np.array(picture if picture.mode == wanted else picture.convert(wanted))


def _dpi(notes: dict[Any, Any]) -> float:
    """Return the dots per inch that a picture gives, 0 where it gives none."""
    dpi = notes.get("dpi", (0, 0))
    return float(dpi[0]) if isinstance(dpi, tuple) and dpi else 0.0
