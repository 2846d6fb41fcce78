"""The training and validation slides of a project, or the reason why it cannot be trained on."""

from collections.abc import Mapping
from dataclasses import replace

from napari_pathseg.classes import BACKGROUND, ClassSpec
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.masks.counts import Counts
from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes
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
    candidates = [
        roles.Candidate(e.id, e.patient, e.role, frozenset(labelled_classes(e, counts[e.id])))
        for e in project.slides.values()
    ]
    decided = roles.assign_roles(candidates)
    return [replace(e, role=decided.get(e.id, e.role)) for e in project.slides.values()]


def train_val_split(project: Project, counts: Mapping[str, Counts]) -> tuple[list[SlideRecord], list[SlideRecord]]:
    """Return the result of :func:`assign_train_val_split` without changing anything, given the `counts` of the masks.

    Raises
    ------
    NothingToLearnError
        If one side is empty, or a class has no training pixels.
    """
    name = project.folder.name
    entries = [entry for entry in with_assigned_roles(project, counts) if entry.role != roles.TEST]
    found = {entry.id: labelled_classes(entry, counts[entry.id]) for entry in entries}
    labelled = [entry for entry in entries if found[entry.id]]
    if not labelled:
        raise NothingToLearnError(f"No slide of {name} has a contour. Draw or import one, then train again.")
    train = [entry for entry in labelled if entry.role == roles.TRAIN]
    val = [entry for entry in labelled if entry.role == roles.VAL]
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
    learnt = set[int]().union(*(found[entry.id] for entry in train))
    for spec in project.classes:
        if spec.index not in learnt:
            raise NothingToLearnError(_nothing_of(spec, name))
    return train, val


def _nothing_of(spec: ClassSpec, name: str) -> str:
    advice = "Draw or import some of it"
    if spec.index == BACKGROUND:
        advice = "Outline some normal tissue, or declare a slide complete"
    return f'Class "{spec.name}" has no labelled pixel on the training slides of {name}. {advice}, then train again.'
