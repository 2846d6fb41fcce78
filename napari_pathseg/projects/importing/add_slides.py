"""Slides and contours into a project: everything is read and checked before anything is written."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import MASK_SUFFIXES, find_contour_file, has_multiple_images, stem_of
from napari_pathseg.errors import AnnotationError, ConfigError
from napari_pathseg.projects import roles
from napari_pathseg.projects.importing.contour_import import (
    DEFAULT_IMPORT_OPTIONS,
    ImportOptions,
    check_file,
    drop_model_pixels,
    take_file,
)
from napari_pathseg.projects.patients import check_leaks, patients
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import relative_path
from napari_pathseg.projects.restore import restore
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import IMPORT, Version, create_version, versions
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.registry import count_pages, open_slide

LARGEST_MASK_SIDE = 131_072  # of a mask; a larger slide has one that is coarser


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
    import_options
        How the files of contours are understood.
    """

    contours: Path | None = None
    partial: bool = False
    negative: bool = False
    patient: str | None = None
    role: str = roles.AUTO
    import_options: ImportOptions = DEFAULT_IMPORT_OPTIONS


@dataclass(frozen=True)
class _Plan:
    """One slide that can be added: its entry, where its contours are, and what they say.

    Label images are read again when they are taken in: many of them at once would fill the memory.
    """

    entry: SlideRecord
    contours: Path | None
    said: list[Contour] | None = None


def add_slides(project: Project, paths: Sequence[str | Path], options: AddOptions | None = None) -> list[SlideRecord]:
    """Add slides with their contours to a project, all of them or none.

    A slide that the project has already is not added again; its contours are imported.  Of a
    stack each page becomes a slide, named ``stem[page]`` from 0.

    Raises
    ------
    UnsupportedSlideError, AnnotationError, ProjectError, ConfigError
        If a slide or its contours cannot be used.
    """
    options = options or AddOptions()
    if options.role not in roles.ROLES:
        raise ConfigError(f"role is {options.role!r}; it must be one of {', '.join(roles.ROLES)}.")
    patient_of = None if options.patient is None else patients(options.patient)
    with project.write_lock():
        plans: list[_Plan] = []
        taken = dict(project.slides)
        for path, page in _pages(paths):
            plan = _plan(project, path, page, options, taken)
            if patient_of is not None:
                plan = replace(plan, entry=replace(plan.entry, patient=patient_of(stem_of(path))))
            plans.append(plan)
            taken[plan.entry.id] = plan.entry
        check_leaks(taken.values(), {plan.entry.patient for plan in plans})
        _check_pairs(plans)
        _carry_out(project, plans, options.import_options)
    return [plan.entry for plan in plans]


def _carry_out(project: Project, plans: Sequence[_Plan], import_options: ImportOptions) -> None:
    """Import what was planned; where that fails the masks are what they were."""
    slides = {plan.entry.id for plan in plans}
    unmade = {slide_id for slide_id in slides if not project.mask_path(slide_id).exists()}
    before = {slide_id: _kept(project, slide_id) for slide_id in slides - unmade}
    try:
        for plan in plans:
            if plan.contours is not None:
                take_file(project, plan.entry, plan.contours, import_options, plan.said)
            elif plan.entry.complete:
                drop_model_pixels(project, plan.entry)
        project.slides.update((plan.entry.id, plan.entry) for plan in plans)
        project.save()
    except BaseException:
        project.reload()
        for slide_id in unmade:
            shutil.rmtree(project.mask_path(slide_id), ignore_errors=True)
            project.mask_path(slide_id).with_suffix(".journal").unlink(missing_ok=True)
        for slide_id, version in before.items():
            with project.open_mask(slide_id) as mask:
                mask.run(restore(version))
        raise


def _kept(project: Project, slide_id: str) -> Version:
    """Return the mask as it is now, as a version."""
    return create_version(project, slide_id, IMPORT) or versions(project, slide_id)[0]


def import_file(
    project: Project, slide_id: str, path: Path, *, complete: bool, options: ImportOptions = DEFAULT_IMPORT_OPTIONS
) -> SlideRecord:
    """Import a file of contours, or a label image, into one slide's mask, as `options` say.

    Raises
    ------
    AnnotationError
        If the file cannot be read, names an unknown class or does not fit the slide.
    """
    with project.write_lock():
        entry = project.slide(slide_id)
        entry = replace(entry, complete=complete or entry.complete)
        said = check_file(project, entry, path, options)
        take_file(project, entry, path, options, said)
        project.slides[slide_id] = entry
        project.save()
    return entry


def mask_downsample(mpp: float | None, wanted: float | None, shape: tuple[int, int]) -> int:
    """Return the level-0 pixels per mask pixel for masks at `wanted` micrometres per pixel."""
    by_size = -(-max(shape) // LARGEST_MASK_SIDE)
    by_mpp = 1 if mpp is None or wanted is None else max(1, round(wanted / mpp))
    return max(by_size, by_mpp)


def _pages(paths: Iterable[str | Path]) -> Iterator[tuple[Path, int | None]]:
    """Yield the slides that files hold: the pages of stacks, None for what is one slide."""
    for path in paths:
        path = Path(path).resolve()
        count = count_pages(path)
        yield from ((path, page if count > 1 else None) for page in range(count))


def _plan(project: Project, path: Path, page: int | None, options: AddOptions, taken: dict[str, SlideRecord]) -> _Plan:
    entry = _known(project, path, page, taken) or _new_entry(project, path, page, taken)
    if options.role != roles.AUTO:
        entry = replace(entry, role=options.role)
    contours = None
    if options.contours is not None:
        if not options.contours.exists():
            raise AnnotationError(f"{options.contours} does not exist. Name a file or folder of contours.")
        named = (
            None if page is None else find_contour_file(path.with_name(f"{entry.id}{path.suffix}"), options.contours)
        )
        contours = named or find_contour_file(path, options.contours)
    complete = entry.complete or options.negative or (contours is not None and not options.partial)
    entry = replace(entry, complete=complete)
    said = None if contours is None else check_file(project, entry, contours, options.import_options)
    return _Plan(entry, contours, said if isinstance(said, list) else None)


def _known(project: Project, path: Path, page: int | None, taken: dict[str, SlideRecord]) -> SlideRecord | None:
    """Return the entry of a slide that is there already, by its path or, where it was moved, by its content."""
    for entry in taken.values():
        if entry.page == page and project.find_file(entry).resolve() == path:
            return entry
    content = fingerprint(path)
    for entry in taken.values():
        if (entry.fingerprint, entry.page) == (content, page) and not project.find_file(entry).exists():
            return replace(entry, path=str(path), relative_path=relative_path(path, project.folder.parent))
    return None


def _check_pairs(plans: Sequence[_Plan]) -> None:
    """Refuse one file of contours for two slides."""
    seen: dict[Path, SlideRecord] = {}
    for plan in plans:
        if plan.contours is None:
            continue
        other = seen.setdefault(plan.contours, plan.entry)
        if other.id == plan.entry.id:
            continue
        paged = plan.entry.page is not None  # a stack of masks goes with a stack of slides
        if not (_is_stack(plan.contours) if paged else has_multiple_images(plan.contours)):
            raise AnnotationError(
                f"{plan.contours.name} would be imported into both {other.id} and {plan.entry.id}. Name a folder with "
                "a file for each slide, or add the slides one by one."
            )


def _is_stack(path: Path) -> bool:
    return path.suffix.lower() in MASK_SUFFIXES and count_pages(path) > 1


def _new_entry(project: Project, path: Path, page: int | None, taken: dict[str, SlideRecord]) -> SlideRecord:
    with open_slide(path, page) as slide:
        shape, mpp, channels = slide.shape, slide.mpp, slide.channels
    stem = stem_of(path) if page is None else f"{stem_of(path)}[{page}]"
    slide_id, number = stem, 2
    while slide_id in taken:
        slide_id, number = f"{stem}-{number}", number + 1
    return SlideRecord(
        id=slide_id,
        path=str(path),
        relative_path=relative_path(path, project.folder.parent),
        fingerprint=fingerprint(path),
        shape=shape,
        channels=channels,
        mpp=mpp,
        downsample=mask_downsample(mpp, project.mpp, shape),
        patient=slide_id,
        page=page,
    )
