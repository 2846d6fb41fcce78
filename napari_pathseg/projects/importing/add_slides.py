"""Add slides and their annotations to a project; everything is read and checked before anything is written."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from napari_pathseg.contours.formats import MASK_SUFFIXES, AnnotationFile, AnnotationReader, find_contour_file, stem_of
from napari_pathseg.errors import AnnotationError, ConfigError, ProjectError
from napari_pathseg.projects import roles
from napari_pathseg.projects.importing.contour_import import (
    DEFAULT_IMPORT_OPTIONS,
    ImportOptions,
    ParsedAnnotations,
    import_annotations,
    parse_annotations,
    read_for_slide,
    remove_predictions,
)
from napari_pathseg.projects.patients import check_leaks, known_patient, patient_parser
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.relink import relative_path
from napari_pathseg.projects.removed_slides import removed_slides
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import IMPORT, Version, create_version, restore, versions
from napari_pathseg.slides.appearance import square_mpp
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.pixel_size import check_pixel_size
from napari_pathseg.slides.registry import count_pages, open_slide
from napari_pathseg.storage.names import safe_name
from napari_pathseg.storage.portable import remove, remove_tree

_Item = TypeVar("_Item")

MAX_MASK_SIDE = 131_072  # pixels; a larger slide gets a coarser mask


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """How slides are added.

    Attributes
    ----------
    contours
        An annotation file, or a folder in which each slide is paired by stem; None for no annotations.
    partial
        Whether pixels outside the contours stay unlabelled.
    negative
        Whether the slides contain no target class, so that every pixel is Background.
    patient
        A regular expression whose match in a slide's name is the patient, or a CSV file with the columns
        ``slide,patient``; None for the patient of a known naming scheme such as TCGA, else each slide is its own.
    role
        One of "auto", "train", "val", "test".
    pixel_size
        Micrometres per level-0 pixel, whatever the files give; None for what they give.
    import_options
        How the annotation files are interpreted.
    """

    contours: Path | None = None
    partial: bool = False
    negative: bool = False
    patient: str | None = None
    role: str = roles.AUTO
    pixel_size: float | None = None
    import_options: ImportOptions = DEFAULT_IMPORT_OPTIONS


@dataclass(frozen=True)
class SlidePlan:
    """A slide to add: its record, its annotation file, and the parsed annotations.

    A label image has no `annotations` here but is read again on import, because many at once would fill the memory.
    """

    record: SlideRecord
    file: AnnotationFile | None = None
    annotations: ParsedAnnotations | None = None


def add_slides(
    project: Project,
    paths: Sequence[str | Path],
    options: AddOptions | None = None,
    on_progress: Callable[[float], bool] = lambda _: False,
) -> list[SlideRecord]:
    """Add slides with their annotations to a project, all of them or none.

    If a slide is in the project already, only its annotations are imported.  Each page of a multi-page TIFF becomes
    a slide named ``stem[page]``, counted from 0.

    `on_progress` is called for each slide with the fraction that is done; if it returns True, nothing is added.

    Raises
    ------
    UnsupportedSlideError, AnnotationError, ProjectError, ConfigError
        If a slide or its annotations cannot be used.
    ProjectError
        If `on_progress` cancelled it.
    """
    options = options or AddOptions()
    with project.write_lock():
        plans = plan_slides(project, paths, options, on_progress)
        return add_planned(project, plans, options, on_progress)


def plan_slides(
    project: Project,
    paths: Sequence[str | Path],
    options: AddOptions,
    on_progress: Callable[[float], bool] = lambda _: False,
) -> list[SlidePlan]:
    """Read and check slides and their annotations, which takes long; change nothing.  See :func:`add_slides`."""
    if options.pixel_size is not None:
        check_pixel_size(options.pixel_size)
    if options.role not in roles.ROLES:
        raise ConfigError(f"role is {options.role!r}; it must be one of {', '.join(roles.ROLES)}.")
    planner = _Planner(project, options)
    pages = list(_pages(paths))
    plans = [planner.plan(path, page) for path, page in _reported(pages, on_progress, 0.0)]
    check_leaks(planner.records.values(), {plan.record.patient for plan in plans})
    _check_pairs(plans)
    return plans


def add_planned(
    project: Project,
    plans: Sequence[SlidePlan],
    options: AddOptions,
    on_progress: Callable[[float], bool] = lambda _: False,
) -> list[SlideRecord]:
    """Add planned slides and import their annotations, all of them or none; return their records."""
    with project.write_lock():
        _execute(project, plans, options.import_options, on_progress)
    return [plan.record for plan in plans]


class _Planner:
    """Reads and checks slides and their annotations, without changing the project."""

    def __init__(self, project: Project, options: AddOptions) -> None:
        self.records = dict(project.slides)  # by id; includes the planned slides
        self._project, self._options = project, options
        self._patient_of = None if options.patient is None else patient_parser(options.patient)
        self._reader = AnnotationReader()
        self._used_ids = {name.casefold() for name in self.records}  # Windows and macOS ignore case
        self._by_file: dict[tuple[Path, int | None], str] = {}
        self._moved: dict[tuple[str, int | None], str] = {}  # slides whose files are missing, by content
        self._removed = {(gone.fingerprint, gone.page): gone for gone in removed_slides(project).values()}
        self._used_ids |= {gone.id.casefold() for gone in self._removed.values()}
        for record in self.records.values():
            file = project.find_file(record)
            self._by_file[file.resolve(), record.page] = record.id
            if not file.exists():
                self._moved[record.fingerprint, record.page] = record.id

    def plan(self, path: Path, page: int | None) -> SlidePlan:
        """Return the plan for a slide: a page of a file, or the whole file without `page`."""
        record = self._find_record(path, page) or self._new_record(path, page)
        if self._options.pixel_size is not None:
            record = replace(record, mpp=self._options.pixel_size)
        if self._options.role != roles.AUTO:
            record = replace(record, role=self._options.role)
        contours = self._find_contours(path, record)
        if self._options.partial and record.complete and contours is not None:
            raise ConfigError(
                f"{record.id} is a complete slide: what is not outlined on it is Background already. "
                f"Make it partial with pathseg set --slide {record.id} --partial, or add contours without --partial."
            )
        complete = record.complete or self._options.negative or (contours is not None and not self._options.partial)
        plan = self._read_annotations(replace(record, complete=complete), contours)
        if self._patient_of is not None:
            plan = replace(plan, record=replace(plan.record, patient=self._patient_of(stem_of(path))))
        self.records[plan.record.id] = plan.record
        self._used_ids.add(plan.record.id.casefold())
        self._by_file[path.resolve(), page] = plan.record.id
        return plan

    def _find_record(self, path: Path, page: int | None) -> SlideRecord | None:
        """Return the record of a slide that was added earlier, by its path or, if moved or removed, by its content."""
        known = self._by_file.get((path.resolve(), page))
        if known is not None:
            return self.records[known]
        if not self._moved and not self._removed:
            return None
        content = fingerprint(path), page
        moved = self._moved.pop(content, None)
        record = self.records[moved] if moved is not None else self._removed.pop(content, None)
        if record is None:
            return None
        return replace(record, path=str(path), relative_path=relative_path(path, self._project.folder.parent))

    def _new_record(self, path: Path, page: int | None) -> SlideRecord:
        with open_slide(path, page) as slide:
            shape, channels = slide.shape, slide.channels
            mpp = self._options.pixel_size or square_mpp(slide)
        stem = stem_of(path)
        slide_id = self._unused_id(safe_name(stem if page is None else f"{stem}[{page}]"))
        self._project.check_path_lengths([slide_id])
        return SlideRecord(
            id=slide_id,
            path=str(path),
            relative_path=relative_path(path, self._project.folder.parent),
            fingerprint=fingerprint(path),
            shape=shape,
            channels=channels,
            mpp=mpp,
            downsample=mask_downsample(mpp, self._project.mpp, shape),
            patient=known_patient(stem) or slide_id,
            page=page,
        )

    def _unused_id(self, stem: str) -> str:
        slide_id, number = stem, 2
        while slide_id.casefold() in self._used_ids:
            slide_id, number = f"{stem}-{number}", number + 1
        return slide_id

    def _find_contours(self, path: Path, record: SlideRecord) -> Path | None:
        """Return the annotation file of a slide; a file named for its page takes precedence."""
        source = self._options.contours
        if source is None:
            return None
        if not source.exists():
            raise AnnotationError(f"{source} does not exist. Name a file or folder of contours.")
        of_page = None
        if record.page is not None:
            of_page = find_contour_file(path.with_name(f"{record.id}{path.suffix}"), source)
        return of_page or find_contour_file(path, source)

    def _read_annotations(self, record: SlideRecord, contours: Path | None) -> SlidePlan:
        if contours is None:
            return SlidePlan(record)
        file = read_for_slide(self._reader, self._project, record, contours)
        annotations = parse_annotations(self._project, record, file, self._options.import_options)
        return SlidePlan(record, file, None if isinstance(annotations, np.ndarray) else annotations)


def _reported(items: Sequence[_Item], on_progress: Callable[[float], bool], start: float) -> Iterator[_Item]:
    """Yield items of one half of the work, which begins at the fraction `start`; raise if the user cancels."""
    for number, item in enumerate(items):
        if on_progress(start + number / (2 * len(items))):
            raise ProjectError("Adding slides was cancelled; none was added.")
        yield item


def _execute(
    project: Project, plans: Sequence[SlidePlan], options: ImportOptions, on_progress: Callable[[float], bool]
) -> None:
    """Add the slides and import their annotations; restore the masks on failure."""
    slides = {plan.record.id for plan in plans}
    returning = {name: record for name, record in removed_slides(project).items() if name in slides}
    project.slides = project.slides | returning
    new = {slide_id for slide_id in slides if not project.mask_path(slide_id).exists()}
    before = {slide_id: _snapshot(project, slide_id) for slide_id in slides - new}
    try:
        for plan in _reported(plans, on_progress, 0.5):
            record, file, annotations = plan.record, plan.file, plan.annotations
            if file is not None:
                if annotations is None:
                    annotations = parse_annotations(project, record, file, options)
                import_annotations(project, record, file, options, annotations)
            elif record.complete:
                remove_predictions(project, record)
        project.slides = project.slides | {plan.record.id: plan.record for plan in plans}
        if returning:
            removed = project.state.removed_slides
            project.state.removed_slides = [stored for stored in removed if stored["id"] not in returning]
        project.save()
    except BaseException:
        if not _is_ours(project):  # what happens to it now is the other program's
            raise
        project.reload()
        project.slides = project.slides | returning  # until their masks are restored
        for slide_id in new:
            with contextlib.suppress(OSError):  # where the disk is gone; the first error is the one to report
                remove_tree(project.mask_path(slide_id))
                remove(project.mask_path(slide_id).with_suffix(".journal"))
        for slide_id, version in before.items():
            with project.open_mask(slide_id) as mask:
                mask.run(restore(version))
        project.reload()
        raise


def _is_ours(project: Project) -> bool:
    """Return whether this program may still write the project."""
    with contextlib.suppress(ProjectError):
        project.lock.check()
    return project.lock.held


def _snapshot(project: Project, slide_id: str) -> Version:
    """Return a version that equals the present mask."""
    return create_version(project, slide_id, IMPORT) or versions(project, slide_id)[0]


def mask_downsample(mpp: float | None, wanted: float | None, shape: tuple[int, int]) -> int:
    """Return the level-0 pixels per mask pixel for a mask at `wanted` micrometres per pixel."""
    by_size = -(-max(shape) // MAX_MASK_SIDE)
    by_mpp = 1 if mpp is None or wanted is None else max(1, round(wanted / mpp))
    return max(by_size, by_mpp)


def _pages(paths: Iterable[str | Path]) -> Iterator[tuple[Path, int | None]]:
    """Yield the slides in files: each page of a multi-page file, else page None."""
    for path in paths:
        path = Path(os.path.abspath(path))  # a link keeps its own name, which is what the user calls the slide
        count = count_pages(path)
        yield from ((path, page if count > 1 else None) for page in range(count))


def _check_pairs(plans: Sequence[SlidePlan]) -> None:
    """Reject one annotation file for two slides, unless it contains several images."""
    first_users: dict[Path, SlideRecord] = {}
    for plan in plans:
        if plan.file is None:
            continue
        path = plan.file.path
        other = first_users.setdefault(path, plan.record)
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
