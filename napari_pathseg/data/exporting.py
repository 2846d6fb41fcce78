"""Masks and predictions out of a project, for other programs."""

from collections.abc import Sequence
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
    found = [(entry, labels) for entry in entries if (labels := _labels(project, entry, what, model)) is not None]
    if not found:
        raise ProjectError(
            f"{project.folder.name} has no {what} to export. "
            + ("Predict a slide first." if what == "prediction" else "Import or draw contours first.")
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(f"{folder} could not be made ({error.strerror}). Choose another folder.") from error
    return [_write(project, entry, labels, folder, kind) for entry, labels in found]


def _labels(project: Project, entry: SlideEntry, what: str, model: str | None) -> Pixels | None:
    whole = Region(0, 0, *entry.mask_shape)
    if what == "mask":
        path = project.mask_path(entry.id)
        return MaskStore(path).read(whole)[0] if path.exists() else None
    models = project.model_ids()
    if not models:
        return None
    prediction = project.find_prediction(model or models[-1], entry.id)
    return None if prediction is None else prediction.read(whole)


def _write(project: Project, entry: SlideEntry, labels: Pixels, folder: Path, kind: str) -> Path:
    if kind == "mask":
        return _write_mask(project, entry, labels, folder)
    contours: list[Contour] = []
    for spec in project.classes.specs[BACKGROUND:]:
        for contour in outline(labels, spec.index, entry.downsample):
            contours.append(Contour(contour.exterior, contour.holes, spec.name, spec.index, spec.color))
    path = folder / f"{entry.id}.{kind}"
    write_contours(path, contours, {spec.name: spec.color for spec in project.classes})
    return path


def _write_mask(project: Project, entry: SlideEntry, labels: Pixels, folder: Path) -> Path:
    with project.open_slide(entry.id) as slide:
        flat = len(slide.levels) == 1
    if not flat:
        path = folder / f"{entry.id}.tif"
        write_label_image(path, labels, mpp=entry.mask_mpp)
        return path
    step = entry.downsample
    if step > 1:
        rows, columns = entry.shape
        labels = np.repeat(np.repeat(labels, step, axis=0), step, axis=1)[:rows, :columns]
    path = folder / f"{entry.id}.png"
    write_label_image(path, labels)
    return path
