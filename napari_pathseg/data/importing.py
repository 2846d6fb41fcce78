"""Slides and contours into a project: everything is read and checked before anything is written."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_pathseg.data import roles
from napari_pathseg.data.annotation import Contour, check_inside
from napari_pathseg.data.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.data.files import replace_file
from napari_pathseg.data.formats import MASK_SUFFIXES, find_contours, read_contours, stem_of
from napari_pathseg.data.formats.label_image import read_label_image
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import open_mask
from napari_pathseg.data.mask.edits import import_contours, import_labels, pieces, reject
from napari_pathseg.data.mask.mask import Pixels
from napari_pathseg.data.patients import patients
from napari_pathseg.data.project import Project
from napari_pathseg.data.slide import fingerprint, open_slide
from napari_pathseg.data.slide_entry import SlideEntry
from napari_pathseg.errors import AnnotationError, ConfigError, ProjectError

LARGEST_MASK_SIDE = 16_384  # what one texture of a graphics card holds


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """How slides are added.

    Attributes
    ----------
    contours
        A file, or a folder in which each slide's file is found by stem; None for none.
    partial
        Whether what lies outside the contours stays unlabelled.
    negative
        Whether the slides have none of what is to be found.
    patient
        A pattern whose match in a slide's name is the patient, or a CSV file with the
        columns ``slide,patient``; None for each slide its own.
    role
        One of "auto", "train", "val", "test".
    """

    contours: Path | None = None
    partial: bool = False
    negative: bool = False
    patient: str | None = None
    role: str = roles.AUTO


@dataclass(frozen=True)
class _Plan:
    """One slide that can be added: its entry, and where its contours are."""

    entry: SlideEntry
    contours: Path | None


def add_slides(project: Project, paths: Sequence[str | Path], options: AddOptions | None = None) -> list[SlideEntry]:
    """Add slides with their contours to a project, all of them or none.

    A slide that the project has already is not added again; its contours are imported.

    Raises
    ------
    UnsupportedSlideError, AnnotationError, ProjectError, ConfigError
        If a slide or its contours cannot be used.
    """
    options = options or AddOptions()
    if options.role not in roles.ROLES:
        raise ConfigError(f"role is {options.role!r}; it must be one of {', '.join(roles.ROLES)}.")
    patient_of = None if options.patient is None else patients(options.patient)
    with project.writing():
        plans: list[_Plan] = []
        taken = dict(project.slides)
        for path in paths:
            plan = _plan(project, Path(path).resolve(), options, taken)
            if patient_of is not None:
                plan = replace(plan, entry=replace(plan.entry, patient=patient_of(stem_of(path))))
            plans.append(plan)
            taken[plan.entry.id] = plan.entry
        _check_patients(taken.values())
        _check_pairs(plans)
        _carry_out(project, plans)
    return [plan.entry for plan in plans]


def _carry_out(project: Project, plans: Sequence[_Plan]) -> None:
    """Import what was planned; new slides leave nothing behind where that fails."""
    new = [plan.entry for plan in plans if plan.entry.id not in project.slides]
    try:
        for plan in plans:
            if plan.contours is not None:
                _import(project, plan.entry, plan.contours)
            elif plan.entry.complete:
                _drop_model_pixels(project, plan.entry)
        project.slides.update((plan.entry.id, plan.entry) for plan in plans)
        project.save()
    except BaseException:
        project.reload()
        for entry in new:
            shutil.rmtree(project.mask_path(entry.id), ignore_errors=True)
            project.mask_path(entry.id).with_suffix(".journal").unlink(missing_ok=True)
        raise


def import_file(project: Project, slide_id: str, path: Path, *, complete: bool) -> SlideEntry:
    """Import a file of contours, or a label image, into one slide's mask.

    Raises
    ------
    AnnotationError
        If the file cannot be read, names an unknown class or does not fit the slide.
    """
    with project.writing():
        entry = replace(project.slide(slide_id), complete=complete)
        _check(project.classes, entry, path)
        _import(project, entry, path)
        project.slides[slide_id] = entry
        project.save()
    return entry


def mask_downsample(mpp: float | None, wanted: float | None, shape: tuple[int, int]) -> int:
    """Return the level-0 pixels per mask pixel for masks at `wanted` micrometres per pixel."""
    by_size = -(-max(shape) // LARGEST_MASK_SIDE)
    by_mpp = 1 if mpp is None or wanted is None else max(1, round(wanted / mpp))
    return max(by_size, by_mpp)


def _plan(project: Project, path: Path, options: AddOptions, taken: dict[str, SlideEntry]) -> _Plan:
    entry = _known(project, path, taken) or _new_entry(project, path, taken)
    if options.role != roles.AUTO:
        entry = replace(entry, role=options.role)
    contours = None
    if options.contours is not None:
        if not options.contours.exists():
            raise AnnotationError(f"{options.contours} does not exist. Name a file or folder of contours.")
        contours = find_contours(path, options.contours)
    complete = entry.complete or options.negative or (contours is not None and not options.partial)
    entry = replace(entry, complete=complete)
    if contours is not None:
        _check(project.classes, entry, contours)
    return _Plan(entry, contours)


def _known(project: Project, path: Path, taken: dict[str, SlideEntry]) -> SlideEntry | None:
    """Return the entry of a slide that is there already, by its path or, where it was moved, by its content."""
    for entry in taken.values():
        if project.find_file(entry).resolve() == path:
            return entry
    content = fingerprint(path) if path.is_file() else ""
    for entry in taken.values():
        if entry.fingerprint == content and not project.find_file(entry).exists():
            return replace(entry, path=str(path), relative_path=_relative(path, project.folder.parent))
    return None


def _check_pairs(plans: Sequence[_Plan]) -> None:
    """Refuse one file of contours for two slides."""
    seen: dict[Path, SlideEntry] = {}
    for plan in plans:
        if plan.contours is None:
            continue
        other = seen.setdefault(plan.contours, plan.entry)
        if other.id != plan.entry.id:
            raise AnnotationError(
                f"{plan.contours.name} would be imported into both {other.id} and {plan.entry.id}. Name a folder with "
                "a file for each slide, or add the slides one by one."
            )


def _new_entry(project: Project, path: Path, taken: dict[str, SlideEntry]) -> SlideEntry:
    with open_slide(path) as slide:
        shape, mpp, channels = slide.shape, slide.mpp, slide.channels
    stem = stem_of(path)
    slide_id, number = stem, 2
    while slide_id in taken:
        slide_id, number = f"{stem}-{number}", number + 1
    return SlideEntry(
        id=slide_id,
        path=str(path),
        relative_path=_relative(path, project.folder.parent),
        fingerprint=fingerprint(path),
        shape=shape,
        channels=channels,
        mpp=mpp,
        downsample=mask_downsample(mpp, project.mpp, shape),
        patient=slide_id,
    )


def _relative(path: Path, folder: Path) -> str:
    try:
        return os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        return str(path)


def _check_patients(entries: Iterable[SlideEntry]) -> None:
    """Refuse a patient whose slides would both teach and test."""
    seen: dict[str, SlideEntry] = {}
    for entry in entries:
        if entry.role == roles.AUTO:
            continue
        other = seen.setdefault(entry.patient, entry)
        if other.role != entry.role:
            raise ProjectError(
                f'Patient "{entry.patient}" would be in two roles: {other.id} is {other.role}, {entry.id} is '
                f"{entry.role}. Give all slides of a patient one role."
            )


def _check(classes: ClassTable, entry: SlideEntry, path: Path) -> None:
    if path.suffix.lower() in MASK_SUFFIXES:
        _read_labels(classes, entry, path)
        return
    contours = _read_contours(classes, path)
    check_inside(contours, entry.shape, path.name)
    if not contours and entry.complete:
        raise AnnotationError(
            f"{path.name} holds no outline, so all of {entry.id} would be Background. Add the slide with --negative if "
            "there is nothing to find, else outline it first."
        )


def _import(project: Project, entry: SlideEntry, path: Path) -> None:
    """Take a checked file into the mask, and keep it as it came."""
    kept = project.folder / "contours" / f"{entry.id}{path.suffix.lower()}"
    if path.resolve() != kept.resolve():
        with replace_file(kept) as partial:
            shutil.copyfile(path, partial)
    if entry.complete:
        _drop_model_pixels(project, entry)
    with open_mask(project.mask_path(entry.id), entry.mask_shape, project.classes) as mask:
        if path.suffix.lower() in MASK_SUFFIXES:
            labels = _read_labels(project.classes, entry, path)
            for region in pieces(Region(0, 0, *mask.shape)):
                here = labels[region.slices]
                import_labels(mask, region, here, here != UNLABELLED)
            mask.close_step()
        else:
            import_contours(mask, _read_contours(project.classes, path), entry.downsample)


def _drop_model_pixels(project: Project, entry: SlideEntry) -> None:
    """On a slide that is complete a person has spoken everywhere; what a model said goes."""
    if project.mask_path(entry.id).exists():
        with open_mask(project.mask_path(entry.id), entry.mask_shape, project.classes) as mask:
            reject(mask, Region(0, 0, *mask.shape))


def _read_contours(classes: ClassTable, path: Path) -> list[Contour]:
    """Read contours and give each the number of its class; QuPath's Ignore* is unlabelled."""
    contours = []
    for number, contour in enumerate(read_contours(path), 1):
        if contour.class_name.endswith("*"):
            contours.append(replace(contour, label=UNLABELLED))
            continue
        spec = classes.find(contour.class_name) if contour.class_name else classes.specs[1]
        if spec is None:
            raise AnnotationError(
                f'{path.name}, contour {number}: class "{contour.class_name}" is unknown. The project has: '
                f"{', '.join(classes.names)}. Rename it or add the class."
            )
        contours.append(replace(contour, label=spec.index))
    return contours


def _read_labels(classes: ClassTable, entry: SlideEntry, path: Path) -> Pixels:
    """Read a label image onto the mask's grid; 0/1 and 0/255 mean Background and the first class."""
    image = read_label_image(path, entry.shape)
    step = entry.downsample
    rows, columns = (
        np.minimum(np.arange(count) * step + step // 2, size - 1)
        for count, size in zip(entry.mask_shape, entry.shape, strict=True)
    )
    labels: Pixels = image[np.ix_(rows, columns)]
    found = set(np.flatnonzero(np.bincount(image.ravel(), minlength=256)))
    if found <= {0, 1} or found <= {0, 255}:
        return np.where(labels > 0, np.uint8(BACKGROUND + 1), np.uint8(0))
    if max(found) > len(classes):
        raise AnnotationError(
            f"{path.name} holds the value {max(found)}; the project's classes are 1 to {len(classes)} "
            f"({', '.join(classes.names)}). Map the values or add classes."
        )
    return labels
