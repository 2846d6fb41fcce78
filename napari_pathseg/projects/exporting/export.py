"""Export masks and predictions as contours, label images and area tables for other programs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy import ndimage

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.contours import formats
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.label_images.writer import write_label_image, write_label_pyramid
from napari_pathseg.contours.formats.label_images.zarr_writer import write_label_zarr
from napari_pathseg.contours.vectorize import vectorize
from napari_pathseg.errors import ConfigError, PathsegError, ProjectError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.edits import edit_tiles
from napari_pathseg.masks.label_rules import with_implied_background
from napari_pathseg.masks.prediction import Prediction, covers_slide
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.zarr_store import CHUNK, MaskStore, chunk_region
from napari_pathseg.projects.areas import (
    ClassArea,
    areas_of,
    class_areas,
    sample_tissue,
    sampling_level,
    shares_of,
)
from napari_pathseg.projects.exporting.area_table import AreaRow, area_rows, write_area_table
from napari_pathseg.projects.exporting.label_pixels import LABEL_PIXELS, write_labels
from napari_pathseg.projects.model_weights import check_up_to_date
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.tissue_masks import load_tissue
from napari_pathseg.storage.names import safe_name
from napari_pathseg.storage.scratch import scratch_array

_SOURCES = ("mask", "prediction")
_MAX_NAMES = 20  # in a sentence


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export, and how.

    Attributes
    ----------
    format
        One of `EXPORT_FORMATS`: a contour format; "mask" for label images of class indices, at level-0 size for flat
        slides (PNG), on the mask's grid with its pixel size for pyramids (TIFF); "ome-tiff" and "ome-zarr" for
        pyramidal label images; "csv" for areas by class.
    what
        "mask" or "prediction".
    model
        The model of the prediction; None for the current one.
    slides
        Names of slides; None for all.
    smooth_um
        Maximum distance between smoothed contours and the pixel edges, in micrometres; 0 for exact contours.
    pixels
        How the format "mask" stores classes, one of `LABEL_PIXELS`: "index"; "palette" for indices that are shown in
        the colours of the classes; "colour" for RGB; "binary" for 255 where any class but Background lies, else 0.
    probabilities
        Whether the format "mask" also writes an 8-bit image of the probability of each class but Background, named
        ``STEM_CLASS_probability``; only of predictions.
    suffix
        Added to the slide's name in the names of all files.
    """

    format: str
    what: str = "mask"
    model: str | None = None
    slides: Sequence[str] | None = None
    smooth_um: float = 0.0
    pixels: str = "index"
    probabilities: bool = False
    suffix: str = ""

    def __post_init__(self) -> None:
        choices = {"format": EXPORT_FORMATS, "what": _SOURCES, "pixels": tuple(LABEL_PIXELS)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(known)}.")
        if self.format != "mask" and (self.pixels != "index" or self.probabilities):
            raise ConfigError(f"format is {self.format!r}; pixels and probabilities need the format mask.")
        if self.probabilities and self.what != "prediction":
            raise ConfigError("probabilities are those of a model; set what to prediction, or leave them out.")
        if safe_name(f"a{self.suffix}") != f"a{self.suffix}":
            raise ConfigError(f"suffix is {self.suffix!r}; use letters, digits, - and _, which a file name may hold.")
        if self.smooth_um < 0:
            raise ConfigError(f"smooth_um is {self.smooth_um:g}; it must be 0 or more micrometres.")


@dataclass(frozen=True)
class SlideExport:
    """The mask of a slide, or a model's prediction on it, to be exported."""

    project: Project
    record: SlideRecord
    store: MaskStore | None = None
    prediction: Prediction | None = None

    @property
    def complete(self) -> bool:
        """True if everything outside `labelled_regions` is Background."""
        return self.store is not None and self.record.complete

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return labels and provenance in a region; the provenance of a prediction is the model.

        As in training and scoring, what is unlabelled on a complete slide, or in a complete box, is Background.
        """
        if self.prediction is not None:
            classes = self.prediction.read_with_glass(region)
            return classes, np.full_like(classes, Provenance.MODEL)
        assert self.store is not None
        labels, provenance = self.store.read(region)
        return with_implied_background(labels, provenance, self.record.complete_in(region)), provenance

    def labelled_regions(self) -> list[Region]:
        """Return regions that cover every labelled pixel but the implied Background of a complete slide."""
        whole = Region(0, 0, *self.record.mask_shape)
        if self.store is None:
            return list(edit_tiles(whole))
        keys = set(self.store.chunks())
        for box in [] if self.complete else self.record.mask_boxes:
            keys.update((tile.top, tile.left) for tile in layout(box.coarser(CHUNK), 1))
        return [chunk_region(key).intersect(whole) for key in sorted(keys)]

    def labels(self) -> UInt8Array:
        """Return all labels, on the mask's grid."""
        labels = scratch_array(self.record.mask_shape)
        if self.complete:
            labels[:] = BACKGROUND
        for box in self.labelled_regions():
            labels[box.slices] = self.read(box)[0]
        return labels

    def probabilities(self, index: int) -> UInt8Array:
        """Return the predicted probability of a class, 0 to 255, on the mask's grid."""
        assert self.prediction is not None
        found = scratch_array(self.record.mask_shape)
        for box in self.labelled_regions():
            found[box.slices] = self.prediction.probability(index, box)
        return found

    def areas(self) -> dict[int, ClassArea]:
        """Return the area of each class, by index; of a mask as the window shows it."""
        classes, record, tissue = self.project.classes, self.record, self._sampled_tissue()
        if self.prediction is None:
            mask = self.project.open_mask_readonly(record.id)
            return class_areas(classes, record, self.project.counts(record.id), mask, tissue)
        labels = self.labels()
        level, stride = sampling_level(record.mask_shape)
        sampled = labels[2**level // 2 :: 2**level * stride, 2**level // 2 :: 2**level * stride]
        pixels = np.bincount(labels.ravel(), minlength=256)
        fits = tissue is not None and tissue.shape == sampled.shape
        return areas_of(classes, record, pixels, shares_of(sampled, tissue) if fits and tissue is not None else None)

    def area_rows(self) -> list[AreaRow]:
        """Return the slide's rows of the table of areas."""
        counts = self.project.counts(self.record.id) if self.prediction is None else None
        return area_rows(self.record.id, self.project.classes, self.areas(), counts)

    def _sampled_tissue(self) -> BoolArray | None:
        """Return the slide's tissue on the grid of `projects.areas`; None if it is unknown."""
        try:
            tissue = load_tissue(self.project, self.record.id, may_save=lambda: self.project.lock.held)
        except PathsegError:  # the file is missing or damaged; the areas are known all the same
            return None
        return sample_tissue(tissue, self.record)

    def labels_to_outline(self, region: Region) -> UInt8Array:
        """Return the labels in a region that become contours.

        Background is included only if a human labelled it, or in a complete box; where a model predicted it, and on
        complete slides, it is everything outside the contours.
        """
        labels, provenance = self.read(region)
        outside = (labels == BACKGROUND) & ((provenance == Provenance.MODEL) | self.record.complete)
        return np.where(outside, np.uint8(0), labels)


def export(project: Project, folder: Path, options: ExportOptions) -> list[Path]:
    """Write one file per slide into `folder`, creating it if necessary; return the files.

    Raises
    ------
    ProjectError
        If there is nothing to export, or the folder cannot be written.
    """
    exports = _exports(project, options)
    make_folder(folder)
    writers = {folder / name: write for slide in exports for name, write in _files(slide, options).items()}
    _check_not_sources(project, writers)
    for path, write in writers.items():
        write(path)
    return list(writers)


def table_of_areas(project: Project, report: Callable[[float], bool]) -> list[AreaRow] | None:
    """Return the rows of all slides that have a mask; None if `report`, which takes the fraction done, returns True.

    Raises
    ------
    ProjectError
        If no slide has one.
    """
    options = ExportOptions(format="csv")
    exports = _exports(project, options)
    rows: list[AreaRow] = []
    for number, slide in enumerate(exports):
        if report(number / len(exports)):
            return None
        rows += slide.area_rows()
    return rows


def check_targets(project: Project, folder: Path, options: ExportOptions) -> None:
    """Create `folder`, and raise if an export into it would overwrite a slide, or another file beside one.

    It can be asked before there is anything to export.

    Raises
    ------
    ProjectError
        Naming the file, or the folder that cannot be created.
    """
    make_folder(folder)
    slides = (SlideExport(project, record) for record in _selected(project, options))
    files = [folder / name for slide in slides for name in _files(slide, options)]
    _check_not_sources(project, files)
    beside = {project.find_file(record).resolve().parent for record in project.slides.values()}
    taken = next((path for path in files if path.resolve().parent in beside and path.exists()), None)
    if taken is not None:
        raise ProjectError(f"{taken} exists beside its slide and would be overwritten. Choose another folder.")


def make_folder(folder: Path) -> None:
    """Create a folder if necessary; raise ProjectError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be created ({error.strerror}). Choose another folder.") from error


def _files(slide: SlideExport, options: ExportOptions) -> dict[str, Callable[[Path], None]]:
    """Return the files of one slide by name, as functions that write them, whole or not at all."""
    stem, ending = slide.record.id + options.suffix, suffix_of(slide, options.format)
    files: dict[str, Callable[[Path], None]] = {f"{stem}{ending}": partial(write_exported, slide, options=options)}
    if options.probabilities:
        names = {spec: safe_name(spec.name) for spec in slide.project.classes.specs[BACKGROUND:]}
        for spec, name in names.items():
            unique = list(names.values()).count(name) == 1  # of "a/b" and "a_b" neither is
            part = name if unique else f"{name}_{spec.index}"
            files[f"{stem}_{part}_probability{ending}"] = partial(_write_probability, slide, spec.index)
    return files


def left_out(project: Project, options: ExportOptions) -> str:
    """Return sentences about the slides of which :func:`export` writes no file, or only a part; "" without any."""
    records = _selected(project, options)
    missing = [record.id for record in records if not _can_export(project, record, options)]
    partial = [record.id for record in records if record.id not in missing and not _is_whole(project, record, options)]
    what = "annotated" if options.what == "mask" else "predicted"
    sentences = []
    if missing:
        sentences.append(f"Not {what}, so no file was written: {_names(missing)}.")
    if partial:
        sentences.append(f"Predicted in part, the rest has no label: {_names(partial)}.")
    return " ".join(sentences)


def _names(slides: list[str]) -> str:
    more = f" and {len(slides) - _MAX_NAMES} more" if len(slides) > _MAX_NAMES else ""
    return f"{', '.join(slides[:_MAX_NAMES])}{more}"


def _is_whole(project: Project, record: SlideRecord, options: ExportOptions) -> bool:
    """Return whether what is exported covers the slide: a mask always, a prediction if the model has seen all of it."""
    if options.what == "mask":
        return True
    return covers_slide(project.prediction_path(_model(project, options), record.id))


def _selected(project: Project, options: ExportOptions) -> list[SlideRecord]:
    if options.slides is None:
        return list(project.slides.values())
    return [project.slide(name) for name in options.slides]


def _can_export(project: Project, record: SlideRecord, options: ExportOptions) -> bool:
    """Return whether a slide has labels, or is annotated without any, or has a prediction."""
    if options.what == "mask":  # a mask without labels is that of a slide that was looked at
        return record.complete or bool(record.boxes) or bool(project.counts(record.id)[UNLABELLED + 1 :].any())
    model = options.model or project.current_model
    return model is not None and project.prediction_path(model, record.id).exists()


def _exports(project: Project, options: ExportOptions) -> list[SlideExport]:
    """Return the masks or predictions to export; raise without any."""
    records = [record for record in _selected(project, options) if _can_export(project, record, options)]
    if not records:
        of_model = f" of {options.model}" if options.what == "prediction" and options.model else ""
        raise ProjectError(
            f"{project.folder.name} has no {options.what}{of_model} to export. "
            + ("Predict a slide first." if options.what == "prediction" else "Import or draw contours first.")
        )
    return [_slide_export(project, record, options) for record in records]


def _slide_export(project: Project, record: SlideRecord, options: ExportOptions) -> SlideExport:
    """Return the mask or prediction of a slide that has one."""
    if options.what == "mask":
        path = project.mask_path(record.id)
        store = MaskStore(path) if path.exists() else MaskStore.missing(path, record.mask_shape)
        return SlideExport(project, record, store=store)
    model = _model(project, options)
    prediction = Prediction(project.prediction_path(model, record.id))
    check_up_to_date(project, model, prediction)
    return SlideExport(project, record, prediction=prediction)


def _model(project: Project, options: ExportOptions) -> str:
    """Return the model whose predictions are exported; there is one."""
    model = options.model or project.current_model
    assert model is not None
    return model


def _check_not_sources(project: Project, files: Iterable[Path]) -> None:
    """Raise if an exported file would overwrite a slide or an imported file."""
    slides = {project.find_file(record).resolve() for record in project.slides.values()}
    sources = {Path(imported.path) for imported in project.state.imports.values()}
    for path in files:
        for inputs, what in ((slides, "a slide"), (sources, "a file imported into the project")):
            if path.resolve() in inputs:
                raise ProjectError(f"{path} is {what} and would be overwritten. Choose another folder.")


# -- one slide


def suffix_of(slide: SlideExport, format: str) -> str:
    """Return the file suffix of a slide in a format."""
    if format != "mask":
        return FORMATS[format][0]
    with slide.project.open_slide(slide.record.id) as image:
        return ".png" if len(image.levels) == 1 else ".tif"


def write_exported(slide: SlideExport, path: Path, options: ExportOptions) -> None:
    """Write the file of one slide, whole or not at all."""
    FORMATS[options.format][1](slide, path, options)


def outlines(slide: SlideExport, smooth_um: float = 0.0) -> list[Contour]:
    """Return the contours of all classes, with their names and colours."""
    record, contours = slide.record, []
    smooth = smooth_um / (record.mask_mpp or 1.0)  # in mask pixels; unknown ones count as 1 um
    for region in _merge_touching(slide.labelled_regions(), record.mask_shape):
        labels = slide.labels_to_outline(region)
        for spec in slide.project.classes:
            found = vectorize(labels, spec.index, record.downsample, (region.top, region.left), smooth)
            contours += [replace(contour, class_name=spec.name, color=spec.color) for contour in found]
    return contours


def _merge_touching(boxes: Sequence[Region], shape: tuple[int, int]) -> list[Region]:
    """Merge touching boxes into bounding boxes, so that no labelled area crosses the edge of a box."""
    grid = np.zeros([-(-side // CHUNK) for side in shape], bool)
    for box in boxes:
        grid[box.coarser(CHUNK).slices] = True
    while True:
        numbers, _ = ndimage.label(grid, np.ones((3, 3)))
        merged = ndimage.find_objects(numbers)
        for slices in merged:
            grid[slices] = True
        if np.count_nonzero(grid) == np.count_nonzero(numbers):
            break
    boxes = [Region(r.start, c.start, r.stop - r.start, c.stop - c.start) for r, c in merged]
    return [box.finer(CHUNK).clip(shape) for box in boxes]


def _write_contours(key: str, slide: SlideExport, path: Path, options: ExportOptions) -> None:
    geometry = slide.project.slide_geometry(slide.record.id)
    formats.write_contours(path, outlines(slide, options.smooth_um), format=key, frame=geometry)


def _write_mask(slide: SlideExport, path: Path, options: ExportOptions) -> None:
    labels, mpp = _on_grid(slide, path, slide.labels())
    write_labels(path, labels, slide.project.classes, options.pixels, mpp)


def _write_probability(slide: SlideExport, index: int, path: Path) -> None:
    pixels, mpp = _on_grid(slide, path, slide.probabilities(index))
    write_label_image(path, pixels, mpp, mark_as_classes=False)


def _on_grid(slide: SlideExport, path: Path, pixels: UInt8Array) -> tuple[UInt8Array, float | None]:
    """Return pixels of the mask's grid and their size as `path` stores them: TIFF as they are, PNG at level-0 size."""
    step, (rows, columns) = slide.record.downsample, slide.record.shape
    if path.suffix == ".tif":
        return pixels, slide.record.mask_mpp
    return pixels if step == 1 else pixels.repeat(step, axis=0).repeat(step, axis=1)[:rows, :columns], None


def _write_pyramid(slide: SlideExport, path: Path, _: ExportOptions) -> None:
    write_label_pyramid(path, slide.labels(), slide.record.mask_mpp, slide.project.classes.slot_names)


def _write_zarr(slide: SlideExport, path: Path, _: ExportOptions) -> None:
    table = slide.project.classes
    colors = {spec.index: spec.rgb for spec in table}
    classes = [(name, colors.get(number, (0, 0, 0))) for number, name in enumerate(table.slot_names, 1)]
    write_label_zarr(path, slide.labels(), slide.record.mask_mpp, classes)


def _write_areas(slide: SlideExport, path: Path, _: ExportOptions) -> None:
    write_area_table(path, slide.area_rows())


_Writer = Callable[[SlideExport, Path, ExportOptions], None]
FORMATS: dict[str, tuple[str, _Writer]] = {
    **{
        key: (known.suffixes[0], partial(_write_contours, key))
        for key, known in formats.FORMATS.items()
        if known.write is not None
    },
    "mask": (".png", _write_mask),
    "ome-tiff": (".ome.tif", _write_pyramid),
    "ome-zarr": (".ome.zarr", _write_zarr),
    "csv": (".csv", _write_areas),
}

EXPORT_FORMATS = tuple(FORMATS)
