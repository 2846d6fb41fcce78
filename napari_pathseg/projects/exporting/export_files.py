"""One slide's mask or prediction as a file of another program: contours, label images, areas."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.contours import formats
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.label_images.label_image import write_label_image
from napari_pathseg.contours.formats.label_images.label_pyramid import write_label_pyramid
from napari_pathseg.contours.vectorize import vectorize
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.counts import Provenance
from napari_pathseg.masks.edits import pieces
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.zarr_store import CHUNK, MaskStore, chunk_region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.portable import scratch_array


@dataclass(frozen=True)
class Exported:
    """What is written of a slide: its mask, or a model's prediction."""

    project: Project
    entry: SlideRecord
    store: MaskStore | None = None
    prediction: Prediction | None = None

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return the classes of a box and who said them, a model where it is a prediction."""
        if self.prediction is not None:
            classes = self.prediction.read(region)
            return classes, np.full_like(classes, Provenance.MODEL)
        assert self.store is not None
        return self.store.read(region)

    def touched(self) -> list[Region]:
        """Return boxes that cover all in which something is said."""
        whole = Region(0, 0, *self.entry.mask_shape)
        if self.store is None:
            return list(pieces(whole))
        return [chunk_region(key).intersect(whole) for key in sorted(self.store.chunks())]

    def labels(self) -> UInt8Array:
        """Return the classes, on the mask's grid."""
        labels = scratch_array(self.entry.mask_shape)
        for box in self.touched():
            labels[box.slices] = self.read(box)[0]
        return labels

    def outlined(self, region: Region) -> UInt8Array:
        """Return the classes of which outlines are written, in a box.

        Background only as far as a person drew it on a slide that is not complete: elsewhere
        it is the rest.
        """
        labels, provenance = self.read(region)
        by_model = provenance < Provenance.ACCEPTED
        rest = (labels == BACKGROUND) & (by_model | self.entry.complete | (self.store is None))
        return np.where(rest, np.uint8(0), labels)


def suffix_of(slide: Exported, format: str) -> str:
    """Return the suffix of a slide's file in a format."""
    if format != "mask":
        return FORMATS[format][0]
    with slide.project.open_slide(slide.entry.id) as opened:
        return ".png" if len(opened.levels) == 1 else ".tif"


def write_exported(slide: Exported, path: Path, format: str, smooth_um: float = 0.0) -> None:
    """Write what is exported of a slide; the file is there whole or not at all."""
    FORMATS[format][1](slide, path, smooth_um)


def outlines(slide: Exported, smooth_um: float = 0.0) -> list[Contour]:
    """Return the outlines of all classes, with their names and colours."""
    entry, found = slide.entry, []
    smooth = smooth_um / (entry.mask_mpp or 1.0)  # mask pixels; where these are of no known size, one each
    for region in _united(slide.touched(), entry.mask_shape):
        labels = slide.outlined(region)
        for spec in slide.project.classes:
            lines = vectorize(labels, spec.index, entry.downsample, (region.top, region.left), smooth)
            found += [replace(contour, class_name=spec.name, color=spec.color) for contour in lines]
    return found


def _united(boxes: Sequence[Region], shape: tuple[int, int]) -> list[Region]:
    """Return boxes around those that touch, none of which touches another: no patch reaches over their edges."""
    grid = np.zeros([-(-side // CHUNK) for side in shape], bool)
    for box in boxes:
        grid[box.coarser(CHUNK).slices] = True
    while True:
        numbers, _ = ndimage.label(grid, np.ones((3, 3)))
        found = ndimage.find_objects(numbers)
        for slices in found:
            grid[slices] = True
        if np.count_nonzero(grid) == np.count_nonzero(numbers):
            break
    boxes = [Region(r.start, c.start, r.stop - r.start, c.stop - c.start) for r, c in found]
    return [box.finer(CHUNK).clip(shape) for box in boxes]


def _write_contours(key: str, slide: Exported, path: Path, smooth_um: float) -> None:
    frame = slide.project.frame(slide.entry.id)
    formats.write_contours(path, outlines(slide, smooth_um), format=key, frame=frame)


def _write_mask(slide: Exported, path: Path, _: float) -> None:
    """Write a label image: on the mask's grid as TIFF, at level-0 size as PNG."""
    labels, entry = slide.labels(), slide.entry
    if path.suffix == ".tif":
        write_label_image(path, labels, mpp=entry.mask_mpp)
        return
    step = entry.downsample
    if step > 1:
        rows, columns = entry.shape
        labels = np.repeat(np.repeat(labels, step, axis=0), step, axis=1)[:rows, :columns]
    write_label_image(path, labels)


def _write_pyramid(slide: Exported, path: Path, _: float) -> None:
    write_label_pyramid(path, slide.labels(), slide.entry.mask_mpp, slide.project.classes.names)


def _write_areas(slide: Exported, path: Path, _: float) -> None:
    """Write a row for each class: its pixels, its share of what is labelled, its area where the pixel size is known."""
    labels, entry = slide.labels(), slide.entry
    counts = np.bincount(labels.ravel(), minlength=len(slide.project.classes) + 1)
    labelled = max(1, int(counts[1:].sum()))
    mm2 = None if entry.mask_mpp is None else entry.mask_mpp**2 / 1e6
    with replace_file(path) as partial_path, partial_path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["slide", "class", "mask_pixels", "share_of_labelled", "area_mm2"])
        for spec in slide.project.classes:
            pixels = int(counts[spec.index])
            area = "" if mm2 is None else f"{pixels * mm2:.6g}"
            table.writerow([entry.id, spec.name, pixels, f"{pixels / labelled:.6g}", area])


_Writer = Callable[[Exported, Path, float], None]
FORMATS: dict[str, tuple[str, _Writer]] = {
    **{
        key: (known.suffixes[0], partial(_write_contours, key))
        for key, known in formats.FORMATS.items()
        if known.write is not None
    },
    "mask": (".png", _write_mask),
    "ome-tiff": (".ome.tif", _write_pyramid),
    "csv": (".csv", _write_areas),
}
