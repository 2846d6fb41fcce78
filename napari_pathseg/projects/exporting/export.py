"""Export of masks and predictions: contours, label images and area tables for other programs."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.contours import formats
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.label_images.writer import write_label_image, write_label_pyramid
from napari_pathseg.contours.vectorize import vectorize
from napari_pathseg.errors import ConfigError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.counts import Provenance
from napari_pathseg.masks.edits import edit_tiles
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.zarr_store import CHUNK, MaskStore, chunk_region
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.portable import scratch_array

_SOURCES = ("mask", "prediction")


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export, and how.

    Attributes
    ----------
    format
        One of `EXPORT_FORMATS`: a contour format; "mask" for label images of class indices, at level-0 size for flat
        slides (PNG), on the mask's grid with its pixel size for pyramids (TIFF); "ome-tiff" for pyramidal label
        images; "csv" for areas by class.
    what
        "mask" or "prediction".
    model
        The model of the prediction; None for the newest.
    slides
        Slide names; None for all.
    smooth_um
        How far smoothed contours may deviate from the pixel edges, in micrometres; 0 for exact contours.
    """

    format: str
    what: str = "mask"
    model: str | None = None
    slides: Sequence[str] | None = None
    smooth_um: float = 0.0

    def __post_init__(self) -> None:
        for value, known, name in ((self.format, EXPORT_FORMATS, "format"), (self.what, _SOURCES, "what")):
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
        if self.smooth_um < 0:
            raise ConfigError(f"smooth_um is {self.smooth_um:g}; it must be 0 or more micrometres.")


@dataclass(frozen=True)
class SlideExport:
    """What is exported of a slide: its mask, or a model's prediction."""

    project: Project
    record: SlideRecord
    store: MaskStore | None = None
    prediction: Prediction | None = None

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return labels and provenance in a region; those of a prediction are a model's."""
        if self.prediction is not None:
            classes = self.prediction.read(region)
            return classes, np.full_like(classes, Provenance.MODEL)
        assert self.store is not None
        return self.store.read(region)

    def labelled_regions(self) -> list[Region]:
        """Return regions that cover every labelled pixel."""
        whole = Region(0, 0, *self.record.mask_shape)
        if self.store is None:
            return list(edit_tiles(whole))
        return [chunk_region(key).intersect(whole) for key in sorted(self.store.chunks())]

    def labels(self) -> UInt8Array:
        """Return all labels, on the mask's grid."""
        labels = scratch_array(self.record.mask_shape)
        for box in self.labelled_regions():
            labels[box.slices] = self.read(box)[0]
        return labels

    def labels_to_outline(self, region: Region) -> UInt8Array:
        """Return the labels in a region that become contours.

        Background is included only where a human labelled it on a slide that is not complete; elsewhere it is simply
        what remains.
        """
        labels, provenance = self.read(region)
        by_model = provenance < Provenance.ACCEPTED
        rest = (labels == BACKGROUND) & (by_model | self.record.complete | (self.store is None))
        return np.where(rest, np.uint8(0), labels)


def export(project: Project, folder: Path, options: ExportOptions) -> list[Path]:
    """Write one file per slide into `folder`, creating it if necessary; return the files.

    Raises
    ------
    ProjectError
        If there is nothing to export, or the folder cannot be written.
    """
    known = list(project.slides.values())
    records = known if options.slides is None else [project.slide(name) for name in options.slides]
    found = [slide for record in records if (slide := _slide_export(project, record, options)) is not None]
    if not found:
        raise ProjectError(
            f"{project.folder.name} has no {options.what} to export. "
            + ("Predict a slide first." if options.what == "prediction" else "Import or draw contours first.")
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be created ({error.strerror}). Choose another folder.") from error
    files = [folder / f"{slide.record.id}{suffix_of(slide, options.format)}" for slide in found]
    _check_not_sources(project, files)
    for slide, path in zip(found, files, strict=True):
        write_exported(slide, path, options.format, options.smooth_um)
    return files


def _slide_export(project: Project, record: SlideRecord, options: ExportOptions) -> SlideExport | None:
    """Return what is exported of a slide, or None if there is nothing."""
    if options.what == "mask":
        path = project.mask_path(record.id)
        return SlideExport(project, record, store=MaskStore(path)) if path.exists() else None
    models = project.model_ids()
    prediction = project.find_prediction(options.model or models[-1], record.id) if models else None
    return None if prediction is None else SlideExport(project, record, prediction=prediction)


def _check_not_sources(project: Project, files: Iterable[Path]) -> None:
    """Raise if an exported file would overwrite a slide or an imported file."""
    slides = {project.find_file(record).resolve() for record in project.slides.values()}
    sources = {Path(imported.path) for imported in project.state.imports.values()}
    for path in files:
        for own, what in ((slides, "a slide of"), (sources, "what was imported into")):
            if path.resolve() in own:
                raise ProjectError(f"{path} is {what} the project; it would be overwritten. Choose another folder.")


# -- one slide


def suffix_of(slide: SlideExport, format: str) -> str:
    """Return the file suffix of a slide in a format."""
    if format != "mask":
        return FORMATS[format][0]
    with slide.project.open_slide(slide.record.id) as opened:
        return ".png" if len(opened.levels) == 1 else ".tif"


def write_exported(slide: SlideExport, path: Path, format: str, smooth_um: float = 0.0) -> None:
    """Write the file of one slide, whole or not at all."""
    FORMATS[format][1](slide, path, smooth_um)


def outlines(slide: SlideExport, smooth_um: float = 0.0) -> list[Contour]:
    """Return the contours of all classes, with their names and colours."""
    record, found = slide.record, []
    smooth = smooth_um / (record.mask_mpp or 1.0)  # in mask pixels, taken as 1 um where their size is unknown
    for region in _merge_touching(slide.labelled_regions(), record.mask_shape):
        labels = slide.labels_to_outline(region)
        for spec in slide.project.classes:
            lines = vectorize(labels, spec.index, record.downsample, (region.top, region.left), smooth)
            found += [replace(contour, class_name=spec.name, color=spec.color) for contour in lines]
    return found


def _merge_touching(boxes: Sequence[Region], shape: tuple[int, int]) -> list[Region]:
    """Merge boxes that touch into their bounding boxes, so that no labelled area crosses the edge of a result."""
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


def _write_contours(key: str, slide: SlideExport, path: Path, smooth_um: float) -> None:
    geometry = slide.project.slide_geometry(slide.record.id)
    formats.write_contours(path, outlines(slide, smooth_um), format=key, frame=geometry)


def _write_mask(slide: SlideExport, path: Path, _: float) -> None:
    """Write a label image: as TIFF on the mask's grid, as PNG at level-0 size."""
    labels, record = slide.labels(), slide.record
    if path.suffix == ".tif":
        write_label_image(path, labels, mpp=record.mask_mpp)
        return
    step = record.downsample
    if step > 1:
        rows, columns = record.shape
        labels = np.repeat(np.repeat(labels, step, axis=0), step, axis=1)[:rows, :columns]
    write_label_image(path, labels)


def _write_pyramid(slide: SlideExport, path: Path, _: float) -> None:
    write_label_pyramid(path, slide.labels(), slide.record.mask_mpp, slide.project.classes.names)


def _write_areas(slide: SlideExport, path: Path, _: float) -> None:
    """Write one row per class: pixels, share of the labelled pixels, and area where the pixel size is known."""
    labels, record = slide.labels(), slide.record
    counts = np.bincount(labels.ravel(), minlength=len(slide.project.classes) + 1)
    labelled = max(1, int(counts[1:].sum()))
    mm2 = None if record.mask_mpp is None else record.mask_mpp**2 / 1e6
    with replace_file(path) as partial_path, partial_path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["slide", "class", "mask_pixels", "share_of_labelled", "area_mm2"])
        for spec in slide.project.classes:
            pixels = int(counts[spec.index])
            area = "" if mm2 is None else f"{pixels * mm2:.6g}"
            table.writerow([record.id, spec.name, pixels, f"{pixels / labelled:.6g}", area])


_Writer = Callable[[SlideExport, Path, float], None]
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

EXPORT_FORMATS = tuple(FORMATS)
