"""Changing what a project knows of slides: pixel size, patient, role, and whether their annotations are complete."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from napari_pathseg.errors import ConfigError
from napari_pathseg.projects import roles
from napari_pathseg.projects.importing.add_slides import mask_downsample
from napari_pathseg.projects.importing.contour_import import remove_predictions
from napari_pathseg.projects.patients import check_leaks
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.slides.pixel_size import check_pixel_size


@dataclass(frozen=True, kw_only=True)
class SlideChanges:
    """What is changed of slides; None leaves it as it is.

    Attributes
    ----------
    pixel_size
        Micrometres per level-0 pixel.
    patient
        The patient of them all.
    role
        One of "auto", "train", "val", "test"; their patients' other slides get it, too.
    complete
        Whether unlabelled means Background on the whole slide.
    """

    pixel_size: float | None = None
    patient: str | None = None
    role: str | None = None
    complete: bool | None = None


def change_slides(project: Project, slide_ids: Sequence[str], changes: SlideChanges) -> list[SlideRecord]:
    """Change slides and save; return the new records of these slides.

    Raises
    ------
    ConfigError
        If a value is not allowed; nothing is changed then.
    ProjectError
        If there is no such slide, or a patient would be in two roles; nothing is changed then.
    """
    _check(changes)
    with project.write_lock():
        records = [_changed(project, project.slide(slide_id), changes) for slide_id in slide_ids]
        changed = {record.id: record for record in records}
        if changes.role is not None:
            patients = {record.patient for record in records}
            others = [record for record in project.slides.values() if record.patient in patients]
            changed = {record.id: replace(record, role=changes.role) for record in [*others, *records]}
        check_leaks({**project.slides, **changed}.values(), {record.patient for record in changed.values()})
        for record in records if changes.complete else ():
            remove_predictions(project, record)
        project.slides = project.slides | changed
        project.save()
    return [project.slide(slide_id) for slide_id in slide_ids]


def _check(changes: SlideChanges) -> None:
    if changes.pixel_size is not None:
        check_pixel_size(changes.pixel_size)
    if changes.role not in (None, *roles.ROLES):
        raise ConfigError(f"role is {changes.role!r}; it must be one of {', '.join(roles.ROLES)}.")
    if changes.patient is not None and not changes.patient.strip():
        raise ConfigError("patient is empty; slides of one patient need a common name.")


def _changed(project: Project, record: SlideRecord, changes: SlideChanges) -> SlideRecord:
    fields: dict[str, Any] = {"patient": changes.patient and changes.patient.strip(), "complete": changes.complete}
    if changes.pixel_size is not None:
        fields["mpp"] = changes.pixel_size
        if not _has_grid(project, record):
            fields["downsample"] = mask_downsample(changes.pixel_size, project.mpp, record.shape)
    return replace(record, **{name: value for name, value in fields.items() if value is not None})


def _has_grid(project: Project, record: SlideRecord) -> bool:
    """Return whether files of the project lie on the grid of a slide's mask, which cannot change then."""
    predictions = project.folder.glob(f"predictions/*/{glob.escape(record.id)}.zarr")
    return project.mask_path(record.id).exists() or any(predictions)
