"""Masks and predictions out of a project, for other programs."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_pathseg.data.annotation import Contour
from napari_pathseg.data.classes import BACKGROUND
from napari_pathseg.data.formats import write_contours
from napari_pathseg.data.formats.label_image import write_label_image
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask.mask import Pixels
from napari_pathseg.data.mask.store import MaskStore
from napari_pathseg.data.outline import outline
from napari_pathseg.data.prediction import Prediction
from napari_pathseg.data.project import Project
from napari_pathseg.data.slide_entry import SlideEntry
from napari_pathseg.errors import ConfigError, ProjectError

EXPORT_FORMATS = ("geojson", "svg", "mask")
EXPORTED = ("mask", "prediction")


def export(
    project: Project,
    folder: Path,
    kind: str,
    *,
    what: str = "mask",
    model: str | None = None,
    slides: Sequence[str] | None = None,
) -> list[Path]:
    """Write one file per slide into `folder`; return the files.

    Parameters
    ----------
    project, folder
        What is written and where to; the folder is made where it is missing.
    kind
        "geojson" or "svg" for the outlines of all classes but Background, "mask" for label
        images of class indices: at level-0 size for flat slides (PNG), on the mask's grid with
        its pixel size for pyramids (TIFF).
    what
        "mask" or "prediction".
    model
        Whose prediction; None for the newest model.
    slides
        Names of slides; None for all.

    Raises
    ------
    ConfigError
        If `kind` or `what` is unknown.
    ProjectError
        If there is nothing to write, or the folder cannot be written.
    """
    for value, known, name in ((kind, EXPORT_FORMATS, "format"), (what, EXPORTED, "what")):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(known)}.")
    entries = [project.slide(name) for name in slides] if slides is not None else list(project.slides.values())
    found = [entry for entry in entries if _has(project, entry, what, model)]
    if not found:
        raise ProjectError(
            f"{project.folder.name} has no {what} to export. "
            + ("Predict a slide first." if what == "prediction" else "Import or draw contours first.")
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be made ({error.strerror}). Choose another folder.") from error
    files = {entry.id: folder / f"{entry.id}{_suffix(project, entry, kind)}" for entry in found}
    _spare_slides(project, files.values())
    for entry in found:
        _write(project, entry, _labels(project, entry, what, model), files[entry.id])
    return list(files.values())


def _spare_slides(project: Project, files: Iterable[Path]) -> None:
    slides = {project.find_file(entry).resolve() for entry in project.slides.values()}
    for path in files:
        if path.resolve() in slides:
            raise ProjectError(f"{path} is a slide of the project; it would be overwritten. Choose another folder.")


def _has(project: Project, entry: SlideEntry, what: str, model: str | None) -> bool:
    if what == "mask":
        return project.mask_path(entry.id).exists()
    models = project.model_ids()
    return bool(models) and project.prediction_path(model or models[-1], entry.id).exists()


def _labels(project: Project, entry: SlideEntry, what: str, model: str | None) -> Pixels:
    whole = Region(0, 0, *entry.mask_shape)
    if what == "mask":
        return MaskStore(project.mask_path(entry.id)).read(whole)[0]
    return Prediction(project.prediction_path(model or project.model_ids()[-1], entry.id)).read(whole)


def _suffix(project: Project, entry: SlideEntry, kind: str) -> str:
    if kind != "mask":
        return f".{kind}"
    with project.open_slide(entry.id) as slide:
        return ".png" if len(slide.levels) == 1 else ".tif"


def _write(project: Project, entry: SlideEntry, labels: Pixels, path: Path) -> None:
    if path.suffix in (".png", ".tif"):
        _write_mask(entry, labels, path)
        return
    contours: list[Contour] = []
    for spec in project.classes.specs[BACKGROUND:]:
        for contour in outline(labels, spec.index, entry.downsample):
            contours.append(Contour(contour.exterior, contour.holes, spec.name, spec.index, spec.color))
    write_contours(path, contours, {spec.name: spec.color for spec in project.classes})


def _write_mask(entry: SlideEntry, labels: Pixels, path: Path) -> None:
    """Write a label image: on the mask's grid as TIFF, at level-0 size as PNG."""
    if path.suffix == ".tif":
        write_label_image(path, labels, mpp=entry.mask_mpp)
        return
    step = entry.downsample
    if step > 1:
        rows, columns = entry.shape
        labels = np.repeat(np.repeat(labels, step, axis=0), step, axis=1)[:rows, :columns]
    write_label_image(path, labels)
