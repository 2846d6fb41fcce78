"""Adding slides, with their annotations, to a project: everything is read and checked before anything is written."""

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_pathseg.contours.formats import MASK_SUFFIXES, find_contour_file, stem_of
from napari_pathseg.errors import AnnotationError, ConfigError
from napari_pathseg.projects import roles
from napari_pathseg.projects.importing.contour_import import (
    DEFAULT_IMPORT_OPTIONS,
    AnnotationFile,
    AnnotationReader,
    ImportOptions,
    ParsedAnnotations,
    import_annotations,
    parse_annotations,
    remove_predictions,
)
from napari_pathseg.projects.patients import check_leaks, patient_parser
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import relative_path
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import IMPORT, Version, create_version, restore, versions
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.registry import count_pages, open_slide
from napari_pathseg.storage.portable import remove, safe_name

MAX_MASK_SIDE = 131_072  # pixels; a larger slide gets a coarser mask


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """How slides are added.

    Attributes
    ----------
    contours
        An annotation file, or a folder in which each slide's file is found by its stem; None for no annotations.
    partial
        Whether everything outside the contours stays unlabelled.
    negative
        Whether the slides contain nothing to find, so that all of them is Background.
    patient
        A regular expression whose match in a slide's name is the patient, or a CSV file with the columns
        ``slide,patient``; None to make each slide its own patient.
    role
        One of "auto", "train", "val", "test".
    import_options
        How the annotation files are interpreted.
    """

    contours: Path | None = None
    partial: bool = False
    negative: bool = False
    patient: str | None = None
    role: str = roles.AUTO
    import_options: ImportOptions = DEFAULT_IMPORT_OPTIONS


@dataclass(frozen=True)
class _Plan:
    """A slide that can be added: its record, its annotation file, and the content of that.

    A label image has no `annotations` here: it is read again on import: many at once would fill the memory.
    """

    record: SlideRecord
    file: AnnotationFile | None = None
    annotations: ParsedAnnotations | None = None


def add_slides(project: Project, paths: Sequence[str | Path], options: AddOptions | None = None) -> list[SlideRecord]:
    """Add slides with their annotations to a project, all of them or none.

    A slide that is in the project already is not added again, but its annotations are imported.  Each page of a
    multi-page TIFF becomes a slide, named ``stem[page]``, counted from 0.

    Raises
    ------
    UnsupportedSlideError, AnnotationError, ProjectError, ConfigError
        If a slide or its annotations cannot be used.
    """
    options = options or AddOptions()
    if options.role not in roles.ROLES:
        raise ConfigError(f"role is {options.role!r}; it must be one of {', '.join(roles.ROLES)}.")
    patient_of = None if options.patient is None else patient_parser(options.patient)
    with project.write_lock():
        plans: list[_Plan] = []
        reader = AnnotationReader()
        records = dict(project.slides)
        for path, page in _pages(paths):
            plan = _plan(project, path, page, options, records, reader)
            if patient_of is not None:
                plan = replace(plan, record=replace(plan.record, patient=patient_of(stem_of(path))))
            plans.append(plan)
            records[plan.record.id] = plan.record
        check_leaks(records.values(), {plan.record.patient for plan in plans})
        _check_pairs(plans)
        _execute(project, plans, options.import_options)
    return [plan.record for plan in plans]


def _execute(project: Project, plans: Sequence[_Plan], options: ImportOptions) -> None:
    """Add the slides and import their annotations; on failure restore the masks as they were."""
    slides = {plan.record.id for plan in plans}
    new = {slide_id for slide_id in slides if not project.mask_path(slide_id).exists()}
    before = {slide_id: _snapshot(project, slide_id) for slide_id in slides - new}
    try:
        for record, file, annotations in ((plan.record, plan.file, plan.annotations) for plan in plans):
            if file is not None:
                if annotations is None:
                    annotations = parse_annotations(project, record, file, options)
                import_annotations(project, record, file, options, annotations)
            elif record.complete:
                remove_predictions(project, record)
        project.slides.update((plan.record.id, plan.record) for plan in plans)
        project.save()
    except BaseException:
        project.reload()
        for slide_id in new:
            shutil.rmtree(project.mask_path(slide_id), ignore_errors=True)
            remove(project.mask_path(slide_id).with_suffix(".journal"))
        for slide_id, version in before.items():
            with project.open_mask(slide_id) as mask:
                mask.run(restore(version))
        raise


def _snapshot(project: Project, slide_id: str) -> Version:
    """Return a version of the mask as it is now."""
    return create_version(project, slide_id, IMPORT) or versions(project, slide_id)[0]


def mask_downsample(mpp: float | None, wanted: float | None, shape: tuple[int, int]) -> int:
    """Return the level-0 pixels per mask pixel for a mask at `wanted` micrometres per pixel."""
    by_size = -(-max(shape) // MAX_MASK_SIDE)
    by_mpp = 1 if mpp is None or wanted is None else max(1, round(wanted / mpp))
    return max(by_size, by_mpp)


def _pages(paths: Iterable[str | Path]) -> Iterator[tuple[Path, int | None]]:
    """Yield the slides in files: each page of a multi-page file, else page None."""
    for path in paths:
        path = Path(path).resolve()
        count = count_pages(path)
        yield from ((path, page if count > 1 else None) for page in range(count))


def _plan(
    project: Project,
    path: Path,
    page: int | None,
    options: AddOptions,
    records: dict[str, SlideRecord],
    reader: AnnotationReader,
) -> _Plan:
    record = _find_record(project, path, page, records) or _new_record(project, path, page, records)
    if options.role != roles.AUTO:
        record = replace(record, role=options.role)
    contours = None
    if options.contours is not None:
        if not options.contours.exists():
            raise AnnotationError(f"{options.contours} does not exist. Name a file or folder of contours.")
        named = (
            None if page is None else find_contour_file(path.with_name(f"{record.id}{path.suffix}"), options.contours)
        )
        contours = named or find_contour_file(path, options.contours)
    complete = record.complete or options.negative or (contours is not None and not options.partial)
    record = replace(record, complete=complete)
    if contours is None:
        return _Plan(record)
    file = reader.read_for_slide(project, record, contours)
    annotations = parse_annotations(project, record, file, options.import_options)
    return _Plan(record, file, None if isinstance(annotations, np.ndarray) else annotations)


def _find_record(project: Project, path: Path, page: int | None, records: dict[str, SlideRecord]) -> SlideRecord | None:
    """Return the record of a slide that was added before, found by its path or, if it was moved, by its content."""
    for record in records.values():
        if record.page == page and project.find_file(record).resolve() == path:
            return record
    content = fingerprint(path)
    for record in records.values():
        if (record.fingerprint, record.page) == (content, page) and not project.find_file(record).exists():
            return replace(record, path=str(path), relative_path=relative_path(path, project.folder.parent))
    return None


def _check_pairs(plans: Sequence[_Plan]) -> None:
    """Reject one annotation file for two slides, unless it holds annotations of many."""
    seen: dict[Path, SlideRecord] = {}
    for plan in plans:
        if plan.file is None:
            continue
        path = plan.file.path
        other = seen.setdefault(path, plan.record)
        if other.id == plan.record.id:
            continue
        paged = plan.record.page is not None  # a multi-page mask belongs to a multi-page slide
        if not (_is_multi_page_mask(path) if paged else plan.file.has_multiple_images):
            raise AnnotationError(
                f"{path.name} would be imported into both {other.id} and {plan.record.id}. Name a folder with "
                "a file for each slide, or add the slides one by one."
            )


def _is_multi_page_mask(path: Path) -> bool:
    return path.suffix.lower() in MASK_SUFFIXES and count_pages(path) > 1


def _new_record(project: Project, path: Path, page: int | None, records: dict[str, SlideRecord]) -> SlideRecord:
    with open_slide(path, page) as slide:
        shape, mpp, channels = slide.shape, slide.mpp, slide.channels
    stem = safe_name(stem_of(path) if page is None else f"{stem_of(path)}[{page}]")
    slide_id, number = stem, 2
    names = {name.casefold() for name in records}  # Windows and macOS ignore case
    while slide_id.casefold() in names:
        slide_id, number = f"{stem}-{number}", number + 1
    project.check_path_lengths([slide_id])
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
