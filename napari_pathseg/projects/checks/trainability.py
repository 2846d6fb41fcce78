"""Split a project into training and validation slides, or explain why it cannot be trained on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from napari_pathseg.classes import BACKGROUND, ClassSpec
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.masks.provenance import Counts
from napari_pathseg.projects import roles
from napari_pathseg.projects.held_out_parts import WEAKER, join_names
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord, labelled_classes, role_candidates
from napari_pathseg.projects.splits import assign_missing_roles


def assign_train_val_split(project: Project) -> tuple[list[SlideRecord], list[SlideRecord]]:
    """Assign roles to new slides permanently; return the training and validation slides.

    Without a validation slide, parts of the training slides are held out; see `projects.held_out_parts`.

    Raises
    ------
    NothingToLearnError
        If there are no training slides, or fewer than two classes, or no Background, have training pixels; no role is
        assigned then.
    """
    split = train_val_split(project, {name: project.counts(name) for name in project.slides})
    assign_missing_roles(project)
    return split


def with_assigned_roles(project: Project, counts: Mapping[str, Counts]) -> list[SlideRecord]:
    """Return the slides with the roles that training would assign, given the `counts` of their masks."""
    assigned = roles.assign_roles(role_candidates(project.slides.values(), counts))
    return [replace(record, role=assigned.get(record.id, record.role)) for record in project.slides.values()]


def train_val_split(project: Project, counts: Mapping[str, Counts]) -> tuple[list[SlideRecord], list[SlideRecord]]:
    """Return the slides of :func:`assign_train_val_split` without changing roles, given the `counts` of the masks.

    Raises
    ------
    NothingToLearnError
        If there are no training slides, or fewer than two classes, or no Background, have training pixels.
    """
    name = project.folder.name
    records = [record for record in with_assigned_roles(project, counts) if record.role != roles.TEST]
    classes = {record.id: labelled_classes(record, counts[record.id]) for record in records}
    labelled = [record for record in records if classes[record.id]]
    if not labelled:
        raise NothingToLearnError(f"No slide of {name} has a contour. Draw or import one, then train again.")
    train = [record for record in labelled if record.role == roles.TRAIN]
    val = [record for record in labelled if record.role == roles.VAL]
    if not train:
        raise NothingToLearnError(
            f"All slides of {name} with contours have the role val; none is left for training. Annotate another "
            "slide, or give one the role train."
        )
    trained_classes = set[int]().union(*(classes[record.id] for record in train))
    missing = [spec for spec in project.classes if spec.index not in trained_classes]
    if missing and (len(project.classes) - len(missing) < 2 or missing[0].index == BACKGROUND):
        raise NothingToLearnError(_unlabelled_class(missing[0], name))
    return train, val


def describe_training(
    train: Sequence[str],
    val: Sequence[str],
    area: str = "",
    corrected: Sequence[str] = (),
    parts: str = "parts",
) -> str:
    """Return in a few sentences what a training learns from, and what is held out to score it, which comes first.

    Parameters
    ----------
    train, val
        The slides that are learnt, and that are held out; without the latter, parts of the former are held out.
    area
        The labelled area of `train`, as text; may be empty.
    corrected
        Those of `train` that hold corrections.
    parts
        What to call the parts that are held out, as where they are drawn.

    Examples
    --------
    >>> describe_training(["a", "b"], ["c"], "2.50 mm²", ["b"])
    'Learns from 2 slides (2.50 mm²); held out to score it: c. Learnt: a and b; corrected: b.'
    >>> describe_training(["a"], []).partition(", weaker")[0]
    'Learns from 1 slide, but for parts held out to score it'
    """
    if not train:
        return "Nothing to learn from yet: no slide has contours."
    number = f"{len(train)} slide{'' if len(train) == 1 else 's'}"
    size = f"Learns from {number}{f' ({area})' if area else ''}"
    held_out = (
        f"; held out to score it: {join_names(val)}." if val else f", but for {parts} held out to score it, {WEAKER}."
    )
    fixed = f"; corrected: {join_names(corrected)}" if corrected else ""
    return f"{size}{held_out} Learnt: {join_names(train)}{fixed}."


def left_out(spec: ClassSpec) -> str:
    """Return the sentence that says that a training leaves out a class of which it has no pixel."""
    return (
        f'Class "{spec.name}" is left out of this training: no training slide shows any. The model will not find it; '
        "outline some, then train again."
    )


def _unlabelled_class(spec: ClassSpec, name: str) -> str:
    advice = "Draw or import some of it"
    if spec.index == BACKGROUND:
        advice = "Outline some normal tissue, or declare a slide complete"
    return f'Class "{spec.name}" has no labelled pixel on the training slides of {name}. {advice}, then train again.'
