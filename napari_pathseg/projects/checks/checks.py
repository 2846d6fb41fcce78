"""Check a project before training: report what would go wrong, and how to fix it.

Most checks need only the slide records and saved pixel counts; only possible duplicates are read.  No torch is
needed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.errors import NothingToLearnError, PathsegError
from napari_pathseg.masks.provenance import Counts, counts_from
from napari_pathseg.projects import roles
from napari_pathseg.projects.checks.duplicate_slides import find_duplicate_slides
from napari_pathseg.projects.checks.misaligned_contours import find_misaligned_contours
from napari_pathseg.projects.checks.trainability import left_out, train_val_split, with_assigned_roles
from napari_pathseg.projects.checks.unusual_slides import find_unfit_settings, find_unusual_slides
from napari_pathseg.projects.ground_truth import labelled_pixel_counts
from napari_pathseg.projects.held_out_parts import WEAKER, HeldOutParts, choose_parts, describe_parts
from napari_pathseg.projects.patients import find_leaks, ungrouped_patients
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import missing
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.working_grid import unscaled_note

_FEW_PIXELS = 2_000  # fewer labelled pixels of a class are too few to learn from
_MAX_MPP_RATIO = 1.5  # of the coarsest to the finest slide
_WHOLE_SLIDE = 0.999  # fraction of a slide that counts as all of it
_MANY_PATIENTS = 8  # from this number, more than one patient should be in validation
_ROLE_NAMES = {roles.TRAIN: "train", roles.VAL: "validate", roles.TEST: "test", roles.AUTO: "have no role yet"}


@dataclass(frozen=True)
class Problem:
    """A problem and its fix; `blocks` is whether it prevents training."""

    text: str
    blocks: bool


@dataclass(frozen=True)
class _Case:
    """Input of the checks: slides with the roles that training would assign, and their ground-truth pixels by class.

    Without validation slides, `parts` of the training slides are held out.
    """

    project: Project
    records: list[SlideRecord]
    train: list[SlideRecord]
    val: list[SlideRecord]
    pixels: dict[str, npt.NDArray[np.int64]]
    parts: HeldOutParts

    def sum(self, records: Iterable[SlideRecord]) -> npt.NDArray[np.int64]:
        """Return the ground-truth pixels of these slides by class."""
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
    parts = HeldOutParts({})
    if train and not val:
        try:
            parts = choose_parts(project, train)
        except NothingToLearnError as error:
            blocking.append(str(error))
    records = with_assigned_roles(project, counts)
    pixels = {record.id: _pixels(project, record, counts[record.id]) for record in records}
    case = _Case(project, records, train, val, pixels, parts)
    blocking += _unknown_classes(case)
    problems = [Problem(text, blocks=True) for text in blocking]
    by_labels = _leaks(case), find_misaligned_contours(project), _one_class(case), _labels(case)
    by_pixels = _images(case), find_unusual_slides(project, records), find_unfit_settings(project, train)
    for findings in (*by_labels, *by_pixels):
        problems += [Problem(text, blocks=False) for text in findings]
    return problems


def _read_counts(project: Project) -> tuple[dict[str, Counts], list[str]]:
    """Return the counts of all masks, zeros for unreadable ones, and the errors of those."""
    counts, errors = {}, []
    for name in project.slides:
        try:
            counts[name] = project.counts(name)
        except PathsegError as error:
            counts[name] = counts_from({})
            errors.append(str(error))
    return counts, errors


def _unreadable(project: Project) -> list[str]:
    """Report slides that cannot be opened; one sentence names all missing files."""
    missing_slides = missing(project)
    texts = []
    if missing_slides:
        texts.append(
            f"The files of {len(missing_slides)} of {len(project.slides)} slides are missing: "
            f"{_list([f'{record.id} ({record.path})' for record in missing_slides])}. If they were moved, find them "
            "with pathseg relink PROJECT FOLDER, or Find moved files… in a slide's menu."
        )
    missing_ids = {record.id for record in missing_slides}
    for name in (name for name in project.slides if name not in missing_ids):
        try:
            project.open_slide(name).close()
        except PathsegError as error:
            texts.append(str(error))
    return texts


def _pixels(project: Project, record: SlideRecord, counts: Counts) -> npt.NDArray[np.int64]:
    try:
        return labelled_pixel_counts(project, record, counts)
    except PathsegError:  # already reported: its mask cannot be read
        return labelled_pixel_counts(project, replace(record, boxes=()), counts)


def _unknown_classes(case: _Case) -> Iterator[str]:
    """Report labels that are not a class of the project; the network has no output for them."""
    classes = case.project.classes
    for record in case.records:
        unknown = np.flatnonzero(case.pixels[record.id][1:]) + 1
        unknown = unknown[[int(number) not in classes.numbers for number in unknown]]
        if len(unknown):
            number = int(unknown[-1])
            advice = "Add the class, or erase it there."
            if number == 255:
                first, second, *_ = classes.names
                advice = f"Import its 0/255 mask again: the values are then read as {first} and {second}."
            yield (
                f"The mask of {record.id} has {case.pixels[record.id][number]:,} pixels of class {number}; the "
                f"project's classes are {', '.join(f'{spec.index} {spec.name}' for spec in classes)}. {advice}"
            )


def _leaks(case: _Case) -> Iterator[str]:
    """Report patients and duplicate slides that are in more than one role."""
    for patient in find_leaks(case.records):
        records = [record for record in case.records if record.patient == patient and record.role != roles.AUTO]
        yield (
            f'Patient "{patient}" is in two roles: {_by_role(records)}. Scores on a patient who was in training '
            "are too optimistic. Give all slides of a patient one role."
        )
    for patient, names in ungrouped_patients(case.records).items():
        records = [record for record in case.records if record.id in names]
        if len({record.role for record in records} - {roles.AUTO}) > 1:
            yield (
                f'The names suggest one patient "{patient}" in two roles: {_by_role(records)}. If that is right, run '
                "pathseg split with --patient, or set the patients in the Slides panel."
            )
    for group in find_duplicate_slides(case.project, case.records):
        yield from _duplicate(group)


def _duplicate(records: list[SlideRecord]) -> Iterator[str]:
    names = " and ".join(record.id for record in records)
    if len({record.role for record in records}) > 1:
        yield (
            f"{names} are the same slide in two roles: {_by_role(records)}. Give both the same role and patient; "
            "otherwise scores measure memorised slides."
        )
    elif len({record.patient for record in records}) > 1:
        yield (
            f"{names} are the same slide with {len(records)} patients. Give them the same patient, so that they "
            "stay in one role."
        )
    else:
        yield f"{names} are the same slide, which counts {len(records)} times. Annotate one of them only."


def _by_role(records: Iterable[SlideRecord]) -> str:
    by_role: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_role[record.role].append(record.id)
    return "; ".join(f"{_ROLE_NAMES[role]}: {_list(names)}" for role, names in by_role.items())


def _one_class(case: _Case) -> Iterator[str]:
    """Report complete slides that are all Background despite imported contours, or without any Background."""
    imported = {path.stem for path in case.project.folder.glob("contours/*")}
    names = case.project.classes.slot_names
    empty, full = [], []
    for record in case.records:
        pixels = case.pixels[record.id]
        if record.complete and record.id in imported and not pixels[BACKGROUND + 1 :].any():
            empty.append(record.id)
        elif record.complete and pixels[BACKGROUND + 1 : len(names) + 1].max() > _WHOLE_SLIDE * pixels.sum():
            full.append((record.id, names[int(pixels[2 : len(names) + 1].argmax()) + 1]))
    if empty:
        yield (
            f"{_list(empty)}: complete, with imported contours, but all Background. Import the contours again, or "
            "outline what the model should find."
        )
    for name in dict.fromkeys(name for _, name in full):
        slides = [slide for slide, class_name in full if class_name == name]
        yield f"{_list(slides)}: complete and all {name}, without Background. If the mask is inverted, import it again."


def _labels(case: _Case) -> Iterator[str]:
    """Report classes with too few labels for training or validation."""
    if not case.train:
        return
    train_pixels, val_pixels = case.sum(case.train), case.sum(case.val or case.train)
    if case.parts.boxes:
        yield (
            f"Contours are on the slides of one patient only, so {describe_parts(case.train, case.parts.boxes)} are "
            f"held out to score a model: {WEAKER}. Outline a slide of another patient."
        )
    if all((case.pixels[record.id] > 0).sum() < 2 for record in case.train):
        yield (
            "No training slide has two classes, so the network may learn to tell slides apart instead of tissue. "
            "Outline both classes on some slides, or declare fully annotated slides complete."
        )
    for spec in case.project.classes:
        if not train_pixels[spec.index]:
            yield left_out(spec)
            continue
        if train_pixels[spec.index] < _FEW_PIXELS:
            yield (
                f'Class "{spec.name}" has only {train_pixels[spec.index]} labelled pixels on the training slides. '
                "Outline more of it."
            )
        if spec.index in case.parts.missing:
            yield (
                f'"{spec.name}" is in too few places to be held out, so it will have no score. Outline more of it, '
                "best on a slide of another patient."
            )
        if not val_pixels[spec.index]:
            yield (
                f'No validation slide has "{spec.name}", so it will have no score. Annotate some of it on '
                f"{_list([record.id for record in case.val])}, or give a slide that has it the role val."
            )
    patients = {record.patient for record in [*case.train, *case.val]}
    if len(patients) >= _MANY_PATIENTS and len({record.patient for record in case.val}) == 1:
        yield (
            f"Of {len(patients)} patients, only {case.val[0].patient} is used for validation, so the scores depend on "
            "chance. Give the slides of a few more patients the role val."
        )


def _images(case: _Case) -> Iterator[str]:
    """Report slides that differ too much from the others in pixel size or colour."""
    used = [*case.train, *case.val]
    scales = {record.id: record.mask_mpp for record in used if record.mask_mpp is not None}
    if scales and max(scales.values()) > _MAX_MPP_RATIO * min(scales.values()):
        coarsest = max(scales, key=lambda name: scales[name])
        yield (
            f"The slides are used at {min(scales.values()):.3g} to {max(scales.values()):.3g} um per pixel; "
            f"{coarsest} is the coarsest. Create the project with a coarser --mpp that all slides reach."
        )
    without_mpp = [record.id for record in used if record.mpp is None]
    if scales and without_mpp:
        yield (
            f"{len(without_mpp)} of {len(used)} slides have no pixel size ({_list(without_mpp)}) and are used at full "
            f"resolution, the others at about {min(scales.values()):.3g} um per pixel. Save them with their pixel "
            "size, or use a separate project for them."
        )
    elif note := unscaled_note(case.project, used):
        yield note
    grey = [record.id for record in used if record.channels == 1]
    if grey and len(grey) < len(used):
        yield (
            f"{len(grey)} of {len(used)} slides are grey ({_list(grey)}), the others in colour. Use "
            "separate projects, unless one network must handle both."
        )


def _list(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
