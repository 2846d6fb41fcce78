"""Slides that OpenSlide opens and no other reader here does: MRXS, BIF, VMS, DICOM and more.

OpenSlide is an extra of this package and is loaded only for such a file.  Its canvas may be much
larger than the slide: ``openslide.bounds-*`` say where the slide lies on it, in level-0 pixels,
and a slide here is that box alone; the offset is added in this module and nowhere else.  Its
pixels have alpha (no scanned pixel there) and are laid over the slide's own background colour.
Source: https://openslide.org/api/python/, "Standard properties".
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.pixel_size import mean_mpp
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.untrusted import MAXIMUM_DECODED_BYTES

if TYPE_CHECKING:
    from openslide import OpenSlide

# The TIFFs that the TIFF reader leaves to OpenSlide; what else it refuses stays refused, since
# OpenSlide takes a stack for a slide and a file cut short for a whole one.
_TIFFS = frozenset({"ventana", "trestle", "leica"})
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Boxes are fetched in pieces of at most so many pixels, which OpenSlide holds three times.
_PIECE_PIXELS = 1 << 24


class OpenSlideSlide(Slide):
    """A slide that OpenSlide decodes; reads may come from several threads."""

    def __init__(self, path: Path, handle: "OpenSlide") -> None:
        canvas, properties = handle.dimensions, handle.properties
        left, top, width, height = (
            _whole(properties.get(f"openslide.bounds-{name}"), otherwise)
            for name, otherwise in (("x", 0), ("y", 0), ("width", canvas[0]), ("height", canvas[1]))
        )
        box = Region(top, left, height, width).clip((canvas[1], canvas[0]))
        self._box = Region(0, 0, canvas[1], canvas[0]) if box.empty else box
        self._downsamples = [float(value) for value in handle.level_downsamples]
        shapes = [
            (max(1, int(self._box.height / step)), max(1, int(self._box.width / step))) for step in self._downsamples
        ]
        sizes = (properties.get(f"openslide.mpp-{axis}") for axis in "xy")
        super().__init__(path, shapes, mean_mpp(*sizes), 3)
        offset = [properties.get(f"hamamatsu.{axis}OffsetFromSlideCentre") for axis in "XY"]
        if all(offset):
            self.centre_offset_um = (_whole(offset[0], 0) / 1e3, _whole(offset[1], 0) / 1e3)
        self._background = _colour(properties.get("openslide.background-color"))
        self._handle = handle

    def close(self) -> None:
        """Let the file go."""
        super().close()
        self._handle.close()

    def _decode(self, level: int, box: Region) -> UInt8Array:
        rows = max(1, _PIECE_PIXELS // box.width)
        pieces = [
            self._piece(level, Region(top, box.left, min(rows, box.bottom - top), box.width))
            for top in range(box.top, box.bottom, rows)
        ]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _piece(self, level: int, box: Region) -> UInt8Array:
        from openslide import OpenSlide, OpenSlideError

        step, handle = self._downsamples[level], self._handle
        corner = round(self._box.left + box.left * step), round(self._box.top + box.top * step)
        try:
            picture = handle.read_region(corner, level, (box.width, box.height))
        except OpenSlideError as error:
            # A handle that failed once fails for ever; other places of the slide may be sound.
            self._handle = OpenSlide(self.path)
            raise OSError(str(error)) from error
        ground = Image.new("RGB", picture.size, self._background)
        ground.paste(picture, mask=picture.getchannel("A"))
        return np.array(ground)


def open_with_openslide(
    path: Path, page: int | None = None, largest_chunk: int = MAXIMUM_DECODED_BYTES
) -> OpenSlideSlide:
    """Open a slide with OpenSlide; how much it decodes at once is its own affair, so `largest_chunk` is not asked.

    Raises
    ------
    UnsupportedSlideError
        If OpenSlide is not installed, does not know the file, cannot open it, or it is a TIFF that
        is not one of those left to OpenSlide.
    """
    try:
        from openslide import OpenSlide, OpenSlideError, __library_version__
    except (ImportError, OSError) as error:
        raise UnsupportedSlideError("OpenSlide is not installed; install napari-pathseg[openslide].") from error
    try:
        vendor = OpenSlide.detect_format(path)
        if vendor is None:
            raise UnsupportedSlideError(f"the file is none that OpenSlide {__library_version__} knows.")
        with path.open("rb") as file:
            if file.read(4) in _TIFF_MAGIC and vendor not in _TIFFS:
                raise UnsupportedSlideError(f"it left the file ({vendor}) to the TIFF reader.")
        if page:
            raise UnsupportedSlideError(f"page {page} was asked for; the slide is page 0.")
        return OpenSlideSlide(path, OpenSlide(path))
    except OpenSlideError as error:
        raise UnsupportedSlideError(f"{error!s:.300}; copy the file, with what lies beside it, again.") from error


def _whole(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else int(float(text))
    except (ValueError, OverflowError):
        return otherwise


def _colour(text: str | None) -> tuple[int, int, int]:
    """Return the colour that six hexadecimal digits mean, white for anything else."""
    try:
        red, green, blue = bytes.fromhex(text or "ffffff")
    except ValueError:
        return 255, 255, 255
    return red, green, blue
