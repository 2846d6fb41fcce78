"""Slides that only OpenSlide opens: MRXS, BIF, VMS, CZI, DICOM and more.

OpenSlide is an optional dependency, loaded only for such a file.  Its level 0 may be much larger than the
slide: ``openslide.bounds-*`` say where the slide lies on it, in level-0 pixels, and a slide here is that
box alone; the offset is added in this module and nowhere else.  Its pixels have alpha (0 where nothing was
scanned) and are composed over the slide's own background colour.
Source: https://openslide.org/api/python/, "Standard properties".
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.pixel_size import pixel_size
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.untrusted import MAX_DECODED_BYTES, DecodeError, decoding

if TYPE_CHECKING:
    from openslide import OpenSlide

# The TIFFs that the TIFF reader leaves to OpenSlide.  All others that it refuses stay refused, since
# OpenSlide would open a stack as one slide, and a truncated file as a complete one.
_TIFFS = frozenset({"ventana", "trestle", "leica"})
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WITH_COMPANIONS = frozenset(
    {".mrxs", ".vms", ".vmu", ".dcm"}
)  # further files, beside them or in a folder of that name
# Boxes are read in pieces of at most this many pixels, of which OpenSlide keeps three copies.
_PIECE_PIXELS = 1 << 24


class OpenSlideSlide(Slide):
    """A slide that OpenSlide decodes; reads may come from several threads."""

    def __init__(self, path: Path, handle: "OpenSlide") -> None:
        full_size, properties = handle.dimensions, handle.properties
        left, top, width, height = (
            _to_int(properties.get(f"openslide.bounds-{name}"), otherwise)
            for name, otherwise in (("x", 0), ("y", 0), ("width", full_size[0]), ("height", full_size[1]))
        )
        box = Region(top, left, height, width).clip((full_size[1], full_size[0]))
        self._box = Region(0, 0, full_size[1], full_size[0]) if box.empty else box
        self._downsamples = [float(value) for value in handle.level_downsamples]
        shapes = [
            (max(1, int(self._box.height / step)), max(1, int(self._box.width / step))) for step in self._downsamples
        ]
        across, down = (properties.get(f"openslide.mpp-{axis}") for axis in "xy")
        super().__init__(path, shapes, pixel_size(across, down), 3)
        offset = [properties.get(f"hamamatsu.{axis}OffsetFromSlideCentre") for axis in "XY"]
        if all(offset):
            self.centre_offset_um = (_to_int(offset[0], 0) / 1e3, _to_int(offset[1], 0) / 1e3)
        self._background = _rgb(properties.get("openslide.background-color"))
        self._handle = handle

    def close(self) -> None:
        """Close the file.  Further reads raise ValueError."""
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
            with decoding():
                image = handle.read_region(corner, level, (box.width, box.height))
        except OpenSlideError as error:
            # A handle that failed once always fails; the rest of the slide may be intact.
            self._handle = OpenSlide(self.path)
            raise DecodeError(f"OpenSlide: {error}") from error
        background = Image.new("RGB", image.size, self._background)
        background.paste(image, mask=image.getchannel("A"))
        return np.array(background)


def open_with_openslide(
    path: Path, page: int | None = None, max_chunk_bytes: int = MAX_DECODED_BYTES
) -> OpenSlideSlide:
    """Open a slide with OpenSlide; `max_chunk_bytes` is ignored, since OpenSlide manages its own memory.

    Raises
    ------
    UnsupportedSlideError
        If OpenSlide is not installed, does not recognise the file, cannot open it, or it is a TIFF that
        the TIFF reader should open.
    """
    try:
        from openslide import OpenSlide, OpenSlideError, __library_version__
    except (ImportError, OSError) as error:
        raise UnsupportedSlideError("OpenSlide is not installed; install napari-pathseg[openslide].") from error
    if path.suffix.lower() in _WITH_COMPANIONS:
        _check_companions(path)
    try:
        vendor = OpenSlide.detect_format(path)
        if vendor is None:
            raise UnsupportedSlideError(f"OpenSlide {__library_version__} does not recognise the file.")
        with path.open("rb") as file:
            if file.read(4) in _TIFF_MAGIC and vendor not in _TIFFS:
                raise UnsupportedSlideError(f"it leaves {vendor} files to the TIFF reader.")
        if page:
            raise UnsupportedSlideError(f"it has no page {page}; the slide is page 0.")
        return OpenSlideSlide(path, OpenSlide(path))
    except OpenSlideError as error:
        raise UnsupportedSlideError(f"{error!s:.300}; copy the file again, with its companion files.") from error


def _check_companions(path: Path) -> None:
    """Raise UnsupportedSlideError for a pipe or device among a slide's further files: OpenSlide would wait for it."""
    for folder in (path.parent, path.with_suffix("")):
        if not folder.is_dir():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                if not (entry.is_file() or entry.is_dir()) and os.path.exists(entry.path):  # else it leads nowhere
                    raise UnsupportedSlideError(f"{entry.path} is a pipe or a device, not a file. Delete it.")


def _to_int(text: str | None, otherwise: int) -> int:
    try:
        return otherwise if text is None else int(float(text))
    except (ValueError, OverflowError):
        return otherwise


def _rgb(text: str | None) -> tuple[int, int, int]:
    """Return the colour of six hexadecimal digits, white for anything else."""
    try:
        red, green, blue = bytes.fromhex(text or "ffffff")
    except ValueError:
        return 255, 255, 255
    return red, green, blue
