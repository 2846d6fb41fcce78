"""How the classes of a label image are stored: as numbers, numbers with a palette, colours, or 0 and 255."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.contours.formats.label_images.writer import write_label_image
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.scratch import scratch_array

_BAND = 4_000_000  # pixels coloured at once


def write_labels(path: Path, labels: UInt8Array, classes: ClassTable, pixels: str, mpp: float | None) -> None:
    """Write labels as one of `LABEL_PIXELS`; a TIFF stores the pixel size `mpp`, where that is known."""
    LABEL_PIXELS[pixels](path, labels, classes, mpp)


def _write_index(path: Path, labels: UInt8Array, _: ClassTable, mpp: float | None) -> None:
    write_label_image(path, labels, mpp)


def _write_palette(path: Path, labels: UInt8Array, classes: ClassTable, mpp: float | None) -> None:
    write_label_image(path, labels, mpp, palette=classes.colors)


def _write_colour(path: Path, labels: UInt8Array, classes: ClassTable, mpp: float | None) -> None:
    rows, columns = labels.shape
    colours, table = scratch_array((rows, 3 * columns)).reshape(rows, columns, 3), np.array(classes.colors, np.uint8)
    height = max(1, _BAND // columns)
    for top in range(0, rows, height):
        band = slice(top, top + height)
        colours[band] = table[labels[band]]
    write_label_image(path, colours, mpp, mark_as_classes=False)


def _write_binary(path: Path, labels: UInt8Array, _: ClassTable, mpp: float | None) -> None:
    write_label_image(path, (labels > BACKGROUND).view(np.uint8) * np.uint8(255), mpp, mark_as_classes=False)


LABEL_PIXELS: dict[str, Callable[[Path, UInt8Array, ClassTable, float | None], None]] = {
    "index": _write_index,  # 0 unlabelled, 1 Background, 2 ...
    "palette": _write_palette,  # the same numbers, shown in the colours of the classes
    "colour": _write_colour,  # RGB, black where unlabelled
    "binary": _write_binary,  # 255 where any class but Background lies, else 0
}
