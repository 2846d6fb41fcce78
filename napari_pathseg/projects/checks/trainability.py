"""The training and validation slides of a project, or the reason why it cannot be trained on."""

from collections.abc import Mapping
from dataclasses import replace

from napari_pathseg.classes import BACKGROUND, ClassSpec
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.masks.counts import Counts
from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes, role_candidates
from napari_pathseg.projects.splits import assign_missing_roles


def assign_train_val_split(project: Project) -> tuple[list[SlideRecord], list[SlideRecord]]:
    """Return the training and the validation slides, after assigning roles to new ones permanently.

    Raises
    ------
    NothingToLearnError
        If one side is empty, or a class has no training pixels; no role is assigned then.
    """
    sides = train_val_split(project, {name: project.counts(name) for name in project.slides})
    assign_missing_roles(project)
    return sides


def with_assigned_roles(project: Project, counts: Mapping[str, Counts]) -> list[SlideRecord]:
    """Return the slides with the roles that training would assign, given the `counts` of their masks."""
    decided = roles.assign_roles(role_candidates(project.slides.values(), counts))
    return [replace(record, role=decided.get(record.id, record.role)) for record in project.slides.values()]


def train_val_split(project: Project, counts: Mapping[str, Counts]) -> tuple[list[SlideRecord], list[SlideRecord]]:
    """Return the result of :func:`assign_train_val_split` without changing anything, given the `counts` of the masks.

    Raises
    ------
    NothingToLearnError
        If one side is empty, or a class has no training pixels.
    """
    name = project.folder.name
    records = [record for record in with_assigned_roles(project, counts) if record.role != roles.TEST]
    found = {record.id: labelled_classes(record, counts[record.id]) for record in records}
    labelled = [record for record in records if found[record.id]]
    if not labelled:
        raise NothingToLearnError(f"No slide of {name} has a contour. Draw or import one, then train again.")
    train = [record for record in labelled if record.role == roles.TRAIN]
    val = [record for record in labelled if record.role == roles.VAL]
    if not train:
        raise NothingToLearnError(
            f"All slides of {name} with contours validate; none is left to learn from. Annotate another slide, "
            "or give one the role train."
        )
    if not val:
        raise NothingToLearnError(
            f"{name} has no validation slide: contours are on the slides of one patient only. Annotate a slide of "
            "another patient, or give one the role val."
        )
    learnt = set[int]().union(*(found[record.id] for record in train))
    for spec in project.classes:
        if spec.index not in learnt:
            raise NothingToLearnError(_nothing_of(spec, name))
    return train, val


def _nothing_of(spec: ClassSpec, name: str) -> str:
    advice = "Draw or import some of it"
    if spec.index == BACKGROUND:
        advice = "Outline some normal tissue, or declare a slide complete"
    return f'Class "{spec.name}" has no labelled pixel on the training slides of {name}. {advice}, then train again.'
