"""Flat pictures, PNG and JPEG: read through Pillow, decoded once and kept.

A picture whose pixels would take more than 256 MiB is refused.  EXIF orientation is ignored, so
that contours drawn on the stored pixels stay on them.
"""

import threading
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from napari_pathseg.data.averaging import Pixels
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.pixel_size import mpp_from_dpi
from napari_pathseg.data.slide import DECODER_ERRORS, MAXIMUM_DECODED_BYTES, Slide
from napari_pathseg.errors import UnsupportedSlideError

# Pillow's modes: what to convert to; alpha is dropped, 16 bits keep their upper 8.
_MODES = {
    "1": "L", "L": "L", "LA": "L", "I;16": "I;16", "P": "RGB", "PA": "RGB", "RGB": "RGB", "RGBA": "RGB", "RGBX": "RGB"
}  # fmt: skip


class PictureSlide(Slide):
    """A PNG or JPEG as a slide of one level."""

    def __init__(self, path: Path) -> None:
        try:
            with Image.open(path, formats=("PNG", "JPEG")) as picture:
                mode, (columns, rows), dpi = picture.mode, picture.size, picture.info.get("dpi", (0, 0))
        except UnidentifiedImageError:
            raise UnsupportedSlideError("the file is neither.") from None
        except DECODER_ERRORS as error:
            raise UnsupportedSlideError(f"its header could not be read ({error}); copy it again.") from error
        if mode not in _MODES:
            raise UnsupportedSlideError(f"its colours are {mode}; save it as RGB or grey.")
        channels = 3 if _MODES[mode] == "RGB" else 1
        if rows * columns * channels > MAXIMUM_DECODED_BYTES:
            raise UnsupportedSlideError(
                f"its {rows} x {columns} pixels need more than {MAXIMUM_DECODED_BYTES >> 20} MiB at once; "
                "save it as a tiled TIFF."
            )
        super().__init__(path, [(rows, columns)], mpp_from_dpi(float(dpi[0])), channels)
        self._whole: Pixels | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Let the file go."""
        super().close()
        self._whole = None

    def _decode(self, level: int, box: Region) -> Pixels:
        with self._lock:
            if self._whole is None:
                self._whole = _decode_whole(self.path)
            return self._whole[box.slices].copy()


def _decode_whole(path: Path) -> Pixels:
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        wanted = _MODES[picture.mode]
        if wanted == "I;16":
            return (np.asarray(picture) >> 8).astype(np.uint8)
        return np.array(picture if picture.mode == wanted else picture.convert(wanted))
