"""Whether a project can be learnt from, and what would go wrong: known before torch is loaded."""

from dataclasses import dataclass, replace

from napari_pathseg.data import roles
from napari_pathseg.data.classes import BACKGROUND, ClassSpec
from napari_pathseg.data.project import Project
from napari_pathseg.data.slide_entry import SlideEntry, labelled_classes
from napari_pathseg.errors import NothingToLearnError, PathsegError

_FEW_PIXELS = 2_000  # fewer labelled pixels of a class than this teach little


@dataclass(frozen=True)
class Problem:
    """Something in the way of a good training; `blocks` where it cannot start at all."""

    text: str
    blocks: bool


def check(project: Project) -> list[Problem]:
    """Return what would go wrong in training, the gravest first, each with its remedy."""
    problems = []
    for entry in project.slides.values():
        try:
            project.open_slide(entry.id).close()
        except PathsegError as error:
            problems.append(Problem(str(error), blocks=True))
    try:
        train, _ = _sides(project)
    except NothingToLearnError as error:
        return [*problems, Problem(str(error), blocks=True)]
    return [*problems, *_warnings(project, train)]


def _warnings(project: Project, train: list[SlideEntry]) -> list[Problem]:
    problems = []
    counts = sum(project.counts(entry.id) for entry in train)
    for spec in project.classes.specs[1:]:
        pixels = int(counts[spec.index, 2:].sum())  # type: ignore[index]
        if pixels < _FEW_PIXELS:
            text = f'Class "{spec.name}" has only {pixels} labelled pixels on the training slides. Outline more of it.'
            problems.append(Problem(text, blocks=False))
    scales = sorted({round(entry.mask_mpp, 2) for entry in train if entry.mask_mpp is not None})
    if scales and scales[-1] > 1.5 * scales[0]:
        text = (
            f"The slides are learnt at {scales[0]:g} to {scales[-1]:g} um per pixel. Make the project with a "
            "coarser --mpp so that all fit."
        )
        problems.append(Problem(text, blocks=False))
    return problems


def learning_slides(project: Project) -> tuple[list[SlideEntry], list[SlideEntry]]:
    """Return the slides that teach and those that validate, after giving roles to new ones for good.

    Raises
    ------
    NothingToLearnError
        If one side is empty, or a class cannot be learnt; no role is given then.
    """
    sides = _sides(project)
    project.settle_roles()
    return sides


def _sides(project: Project) -> tuple[list[SlideEntry], list[SlideEntry]]:
    decided, name = project.decided_roles(), project.folder.name
    entries = [replace(e, role=decided.get(e.id, e.role)) for e in project.slides.values()]
    found = {e.id: labelled_classes(e, project.counts(e.id)) for e in entries if e.role != roles.TEST}
    labelled = [entry for entry in entries if found.get(entry.id)]
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
    remedy = "Draw or import some of it"
    if spec.index == BACKGROUND:
        remedy = "Outline some normal tissue, or declare a slide complete"
    return f'Class "{spec.name}" has no labelled pixel on the training slides of {name}. {remedy}, then train again.'
