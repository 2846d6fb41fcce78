"""Remove, merge and bring back the classes of a project; the masks change with them, one undo step each.

A class is its number, so models that know a removed class keep working: its pixels go to the class that took it over,
or to the likeliest of the others.  When an undo or a version brings pixels of a removed class back, so comes the class.
"""

import contextlib
from collections.abc import Callable, Iterable

import numpy as np

from napari_pathseg.classes import UNLABELLED, ClassSpec
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.masks.edits import replace_class
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Counts
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.portable import remove_tree

_TILE = 2048
_REPORT_S = 0.05  # between two reports


def find_class(project: Project, name: str) -> ClassSpec:
    """Return the class of a name, or raise a `ProjectError` that says which there are."""
    spec = project.classes.named(name)
    if spec is None:
        raise ProjectError(f'{project.folder.name} has no class "{name}". It has: {", ".join(project.classes.names)}.')
    return spec


def slides_with_class(project: Project, number: int) -> list[str]:
    """Return the slides whose masks contain a class."""
    return [slide for slide in project.slides if project.counts(slide)[number].any()]


def remove_class(project: Project, number: int, into: int = UNLABELLED) -> list[str]:
    """Remove a class; return the slides whose masks changed.

    Its pixels become those of the class `into`.  Without, they become unlabelled; where the
    annotation is complete, the ones that a person set stay without a class, so that they are not learned as Background.
    Masks that are open elsewhere in this process must be closed before.

    Raises
    ------
    ProjectError
        If the class cannot be removed or is locked, or the disk refuses; nothing is changed then.
    """
    with project.write_lock():
        check_removable(project, number, into)
        before = {slide: project.counts(slide) for slide in slides_with_class(project, number)}
        try:
            for slide in before:
                replace_in_slide(project, slide, number, into)
            project.change_classes(project.classes.without(number, into))
        except BaseException:
            for slide, counts in before.items():
                with contextlib.suppress(ProjectError):  # the first error is the one to report
                    _undo_unless(project, slide, counts)
            raise
        delete_predictions_with(project, number)
    return list(before)


def _undo_unless(project: Project, slide: str, counts: Counts) -> None:
    """Undo the last step in the mask of a slide unless that has these counts."""
    with project.open_mask(slide) as mask:
        if (mask.counts != counts).any():
            mask.undo()


def check_removable(project: Project, number: int, into: int = UNLABELLED) -> None:
    """Raise a `ProjectError` if a class cannot be removed, or is locked."""
    project.classes.without(number, into)
    if number in project.state.locked_classes:
        raise ProjectError(f"{project.classes.name_of(number)} is locked. Unlock it, then remove it.")


def replace_in_slide(
    project: Project, slide: str, number: int, into: int, report: Callable[[float], bool] = lambda _: False
) -> bool:
    """Replace a class in the mask of a slide, as :func:`remove_class` does it in all; return whether it was finished.

    `report` takes the fraction done and returns True to stop, which leaves the mask as it was.
    """
    record, stopped = project.slide(slide), False
    with project.open_mask(slide) as mask:
        mask.enqueue(replace_class(Region(0, 0, *mask.shape), number, into, record.complete_in))
        while mask.has_pending:
            mask.process_pending(_REPORT_S)
            if not stopped and mask.has_pending and report(mask.operations.fraction_done):
                stopped = True
                mask.cancel()
    return not stopped


def restore_classes(project: Project, counts: Iterable[Counts]) -> list[str]:
    """List the removed classes again of which the masks with these `counts` have pixels; return their names."""
    found = [gone.spec.index for gone in project.classes.removed if any(c[gone.spec.index].any() for c in counts)]
    classes = project.classes
    for number in found:
        classes = classes.restored(number)
    if found:
        project.change_classes(classes)
    return [classes.name_of(number) for number in found]


def delete_predictions_with(project: Project, number: int) -> None:
    """Delete stored predictions that contain a class: a model predicts again without it."""
    for path in project.folder.glob("predictions/*/*.zarr"):
        prediction = Prediction(path)
        boxes = layout(Region(0, 0, *prediction.shape), _TILE)
        if any(np.any(prediction.read(box) == number) for box in boxes):
            remove_tree(path)
