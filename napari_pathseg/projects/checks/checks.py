"""All checks of a project before training: what would go wrong, and how to fix it.

Slide records and the saved pixel counts are nearly enough; pixels are read only of slides that may be duplicates.  No
torch is needed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.errors import NothingToLearnError, PathsegError
from napari_pathseg.masks.counts import Counts, counts_from
from napari_pathseg.projects import roles
from napari_pathseg.projects.checks.duplicate_slides import find_duplicate_slides
from napari_pathseg.projects.checks.misaligned_contours import find_misaligned_contours
from napari_pathseg.projects.checks.trainability import train_val_split, with_assigned_roles
from napari_pathseg.projects.ground_truth import labelled_pixel_counts
from napari_pathseg.projects.patients import find_leaks
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import missing
from napari_pathseg.projects.slide_record import SlideRecord

_FEW_PIXELS = 2_000  # fewer labelled pixels of a class are too few to learn from
_MOST_SCALES = 1.5  # how much coarser the coarsest slide may be than the finest
_ALL = 0.999  # fraction of a slide that counts as all of it
_MANY_PATIENTS = 8  # from here on more than one of them should validate
_ROLE_NAMES = {roles.TRAIN: "train", roles.VAL: "validate", roles.TEST: "test", roles.AUTO: "have no role yet"}


@dataclass(frozen=True)
class Problem:
    """A problem and its fix; `blocks` if training cannot start because of it."""

    text: str
    blocks: bool


@dataclass(frozen=True)
class _Case:
    """Input of the checks: slides with the roles that training would assign, and their ground-truth pixels by class."""

    project: Project
    records: list[SlideRecord]
    train: list[SlideRecord]
    val: list[SlideRecord]
    pixels: dict[str, npt.NDArray[np.int64]]

    def sum(self, records: Iterable[SlideRecord]) -> npt.NDArray[np.int64]:
        """Return the sum of the pixels of these slides."""
        total: npt.NDArray[np.int64] = np.sum([self.pixels[record.id] for record in records], axis=0)
        return total


def check(project: Project) -> list[Problem]:
    """Return the problems of a project, most serious first, each with its fix."""
    counts, blocking = _read_counts(project)
    blocking += _unreadable(project)
    try:
        train, val = train_val_split(project, counts)
    except NothingToLearnError as error:
        blocking.append(str(error))
        train, val = [], []
    records = with_assigned_roles(project, counts)
    pixels = {record.id: _pixels(project, record, counts[record.id]) for record in records}
    case = _Case(project, records, train, val, pixels)
    blocking += _unknown_classes(case)
    problems = [Problem(text, blocks=True) for text in blocking]
    for findings in (_leaks(case), find_misaligned_contours(project), _one_class(case), _labels(case), _images(case)):
        problems += [Problem(text, blocks=False) for text in findings]
    return problems


def _read_counts(project: Project) -> tuple[dict[str, Counts], list[str]]:
    """Return the counts of all masks, with zeros for unreadable ones, and the errors of these."""
    counts, broken = {}, []
    for name in project.slides:
        try:
            counts[name] = project.counts(name)
        except PathsegError as error:
            counts[name] = counts_from({})
            broken.append(str(error))
    return counts, broken


def _unreadable(project: Project) -> list[str]:
    """Report slides that cannot be opened, with all missing files in one sentence."""
    gone = missing(project)
    texts = []
    if gone:
        texts.append(
            f"The files of {len(gone)} of {len(project.slides)} slides are not where they were: "
            f"{_list([f'{record.id} ({record.path})' for record in gone])}. If they were moved, say where to: "
            "pathseg relink PROJECT FOLDER, or Find moved files… in a slide's menu."
        )
    lost = {record.id for record in gone}
    for name in (name for name in project.slides if name not in lost):
        try:
            project.open_slide(name).close()
        except PathsegError as error:
            texts.append(str(error))
    return texts


def _pixels(project: Project, record: SlideRecord, counts: Counts) -> npt.NDArray[np.int64]:
    try:
        return labelled_pixel_counts(project, record, counts)
    except PathsegError:  # its mask cannot be read, which is reported already
        return labelled_pixel_counts(project, replace(record, boxes=()), counts)


def _unknown_classes(case: _Case) -> Iterator[str]:
    """Report masks with labels that are not a class of the project; the network has no output for them."""
    classes = case.project.classes
    for record in case.records:
        beyond = np.flatnonzero(case.pixels[record.id][len(classes) + 1 :]) + len(classes) + 1
        if len(beyond):
            number = int(beyond[-1])
            advice = "Add the class, or erase it there."
            if number == 255:
                advice = f"Import its 0/255 mask again: these then mean {classes.names[0]} and {classes.names[1]}."
            yield (
                f"The mask of {record.id} has {case.pixels[record.id][number]:,} pixels of class {number}; the "
                f"project's classes are 1 to {len(classes)} ({', '.join(classes.names)}). {advice}"
            )


def _leaks(case: _Case) -> Iterator[str]:
    """Report patients and duplicate slides that are in more than one role."""
    for patient in find_leaks(case.records):
        records = [record for record in case.records if record.patient == patient and record.role != roles.AUTO]
        yield (
            f'Patient "{patient}" is in two roles: {_by_role(records)}. Scores on slides of a patient seen in '
            "training are too good; give all slides of a patient one role."
        )
    for group in find_duplicate_slides(case.project, case.records):
        yield from _duplicate(group)


def _duplicate(records: list[SlideRecord]) -> Iterator[str]:
    names = " and ".join(record.id for record in records)
    if len({record.role for record in records}) > 1:
        yield (
            f"{names} are the same slide in two roles: {_by_role(records)}. Give both one role and one patient, "
            "else scores measure memorised slides."
        )
    elif len({record.patient for record in records}) > 1:
        yield (
            f"{names} are the same slide under {len(records)} patients. Give them one patient, so that they stay on "
            "one side."
        )
    else:
        yield f"{names} are the same slide, which counts {len(records)} times. Annotate one of them only."


def _by_role(records: Iterable[SlideRecord]) -> str:
    by_role: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_role[record.role].append(record.id)
    return "; ".join(f"{_ROLE_NAMES[role]}: {_list(names)}" for role, names in by_role.items())


def _one_class(case: _Case) -> Iterator[str]:
    """Report complete slides without any contour although some were imported, and those without Background."""
    kept = {path.stem for path in case.project.folder.glob("contours/*")}
    names = case.project.classes.names
    empty, full = [], []
    for record in case.records:
        pixels = case.pixels[record.id]
        if record.complete and record.id in kept and not pixels[BACKGROUND + 1 :].any():
            empty.append(record.id)
        elif record.complete and pixels[BACKGROUND + 1 : len(names) + 1].max() > _ALL * pixels.sum():
            full.append((record.id, names[int(pixels[2 : len(names) + 1].argmax()) + 1]))
    if empty:
        yield (
            f"{_list(empty)}: complete, with a file of contours, but all Background. Import the contours again, or "
            "outline what you want to find."
        )
    for name in dict.fromkeys(name for _, name in full):
        slides = [slide for slide, found in full if found == name]
        yield f"{_list(slides)}: complete and all {name}, without Background. If the mask is inverted, import it again."


def _labels(case: _Case) -> Iterator[str]:
    """Report classes with too few labels for training or validation."""
    if not case.train:
        return
    learnt, scored = case.sum(case.train), case.sum(case.val)
    if all((case.pixels[record.id] > 0).sum() < 2 for record in case.train):
        yield (
            "No training slide shows two classes, so the network may learn to separate slides instead of tissue. "
            "Outline both on some slides, or declare slides complete whose contours show all there is."
        )
    for spec in case.project.classes:
        if learnt[spec.index] < _FEW_PIXELS:
            yield (
                f'Class "{spec.name}" has only {learnt[spec.index]} labelled pixels on the training slides. Outline '
                "more of it."
            )
        if not scored[spec.index]:
            yield (
                f'No validation slide shows "{spec.name}", so its scores will say nothing. Annotate some of it on '
                f"{_list([record.id for record in case.val])}, or give a slide that shows it the role val."
            )
    patients = {record.patient for record in [*case.train, *case.val]}
    if len(patients) >= _MANY_PATIENTS and len({record.patient for record in case.val}) == 1:
        yield (
            f"Of {len(patients)} patients only {case.val[0].patient} is used for validation, so the scores depend on "
            "chance. Give the slides of a few more the role val."
        )


def _images(case: _Case) -> Iterator[str]:
    """Report slides that differ too much from the others in pixel size or colour."""
    learnt = [*case.train, *case.val]
    scales = {record.id: record.mask_mpp for record in learnt if record.mask_mpp is not None}
    if scales and max(scales.values()) > _MOST_SCALES * min(scales.values()):
        coarsest = max(scales, key=lambda name: scales[name])
        yield (
            f"The slides are learnt at {min(scales.values()):.3g} to {max(scales.values()):.3g} um per pixel, "
            f"{coarsest} at the coarsest. Make the project with a coarser --mpp so that all fit."
        )
    silent = [record.id for record in learnt if record.mpp is None]
    if scales and silent:
        yield (
            f"{len(silent)} of {len(learnt)} slides state no pixel size ({_list(silent)}) and are learnt at full "
            f"resolution, the others at {min(scales.values()):.3g} um per pixel or so. Save them with their pixel "
            "size, or keep them in a project of their own."
        )
    grey = [record.id for record in learnt if record.channels == 1]
    if grey and len(grey) < len(learnt):
        yield (
            f"{len(grey)} of {len(learnt)} slides are grey ({_list(grey)}), the others in colour. Keep them in "
            "projects of their own unless a network has to serve both."
        )


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
