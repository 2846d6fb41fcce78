"""Import of the files that a user drops on the window or chooses in a dialog.

Slides, annotation files and project folders are handled separately; the first slide creates a project beside it,
so that the user sees something before any question.  Annotation files that need no confirmation are imported at once.
The others are read by an `ImportInspector`, shown in the import dialog, and imported as they were read.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from napari_pathseg.contours.formats import CONTOUR_SUFFIXES, MASK_SUFFIXES, stem_of
from napari_pathseg.errors import AnnotationError, PathsegError
from napari_pathseg.projects.importing.contour_import import (
    DEFAULT_IMPORT_OPTIONS,
    AnnotationFile,
    ImportOptions,
    class_index,
    import_file,
)
from napari_pathseg.projects.importing.import_preview import (
    AnnotationFileInfo,
    annotation_files,
    find_slide_named,
    guess_slide,
    inspect_file,
)
from napari_pathseg.projects.project import FOLDER_SUFFIX, Project
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.ui.session.session import Session

_MAX_BYTES_WITHOUT_THREAD = 3_000_000  # larger contour files take noticeably long to read
_MAX_NAMED = 3  # files in a message


@dataclass
class ClassifiedPaths:
    """Paths by kind."""

    project: Path | None = None
    slides: list[Path] = field(default_factory=list)
    contours: list[Path] = field(default_factory=list)
    unknown: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class ImportTask:
    """An annotation file to import into a slide; `complete` if everything outside its contours is Background."""

    file: AnnotationFile
    slide: str
    options: ImportOptions
    complete: bool


@dataclass
class ImportResult:
    """What happened to files.

    Attributes
    ----------
    problems
        One sentence for each file that could not be used, except slides.
    imported
        The slides into which annotations were imported.
    ambiguous
        Annotation files that the user has to decide on; nothing was imported from them.
    inspected
        What was read from these already.
    refused
        The slides that could not be opened, and why.
    """

    problems: list[str] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    ambiguous: list[Path] = field(default_factory=list)
    inspected: list[AnnotationFileInfo] = field(default_factory=list)
    refused: dict[Path, str] = field(default_factory=dict)


def classify_paths(paths: Iterable[Path], project: Project | None) -> ClassifiedPaths:
    """Tell slides, annotation files and projects apart; a folder means the slides and contour files in it."""
    found = ClassifiedPaths()
    for path in paths:
        if (path / "project.json").is_file():
            found.project = path
        elif path.is_dir() and path.suffix.lower() not in SLIDE_SUFFIXES:
            children = sorted(path.iterdir())
            slides = [child for child in children if child.suffix.lower() in SLIDE_SUFFIXES]
            contours = [child for child in children if child.suffix.lower() in CONTOUR_SUFFIXES]
            found.slides += slides
            found.contours += contours
            found.unknown += [] if slides or contours else [path]
        elif path.suffix.lower() in CONTOUR_SUFFIXES or (_is_mask(path) and _has_slide(path, project)):
            found.contours.append(path)
        elif path.suffix.lower() in SLIDE_SUFFIXES:
            found.slides.append(path)
        else:
            found.unknown.append(path)
    return found


def add_files(session: Session, paths: Sequence[Path], *, complete: bool = True) -> ImportResult:
    """Add files to the project, creating one beside the first slide if none is open.

    Raises
    ------
    ProjectError
        If no project can be opened or created.
    """
    found = classify_paths(paths, session.project)
    if found.project is not None:
        session.open_project(found.project)
    elif found.slides and session.project is None:
        start_project(session, found.slides[0])
    problems = [f"{path.name} is neither a slide nor contours. Nothing was done with it." for path in found.unknown]
    refused = _add_slides(session, found.slides)
    result = ImportResult()
    if found.contours and session.project is None:
        problems.append(f"{found.contours[0].name} needs its slide. Open the slide first.")
    elif found.contours:
        result = import_annotation_files(session, found.contours, complete=complete)
    result.problems, result.refused = problems + result.problems, refused
    return result


def import_annotation_files(session: Session, paths: Sequence[Path], *, complete: bool) -> ImportResult:
    """Import annotation files if none of them is ambiguous; otherwise leave all of them to the user."""
    inspected = _inspect_quickly(session, paths)
    tasks = None if inspected is None else unambiguous_imports(session.require_project(), inspected, complete=complete)
    if tasks is None:
        return ImportResult(ambiguous=[*paths], inspected=inspected or [])
    return run_imports(session, tasks)


def require_annotation_files(session: Session, paths: Sequence[Path]) -> None:
    """Raise if no annotation file is among `paths`.

    Raises
    ------
    AnnotationError
        Naming the paths.
    """
    if not annotation_files(paths, session.require_project()):
        named = ", ".join(path.name for path in paths[:_MAX_NAMED])
        raise AnnotationError(f"{named}: no contour file, and no image named after a slide. Choose another.")


def start_project(session: Session, first_slide: Path) -> None:
    """Open the project beside a slide, creating it if it does not exist."""
    folder = first_slide.absolute().parent
    project = folder / f"{folder.name}{FOLDER_SUFFIX}"
    if (project / "project.json").is_file():
        session.open_project(project)
    else:
        session.new_project(project)


class ImportInspector:
    """Reads annotation files one after the other in a worker thread; poll `take_finished` for the results.

    Files in `inspected` are not read again.
    """

    def __init__(
        self,
        project: Project,
        paths: Iterable[Path],
        in_view: str | None,
        inspected: Iterable[AnnotationFileInfo] = (),
    ) -> None:
        self._project = project
        self._executor = ThreadPoolExecutor(1, "import-inspector")
        self._pending: deque[Future[AnnotationFileInfo]] = deque()
        self.done = self.total = 0
        known = {info.path: info for info in inspected}
        files = annotation_files(paths, project)
        default = in_view if len(files) == 1 else None
        for path in files:
            if path in known:
                self._finish(known[path])
            else:
                self.inspect(path, guess_slide(path, project, default))

    @property
    def busy(self) -> bool:
        """True while files are still to be read, or results to be taken."""
        return bool(self._pending)

    def inspect(self, path: Path, slide: str | None) -> None:
        """Queue a file to be read for `slide`."""
        self.total += 1
        self._pending.append(self._executor.submit(inspect_file, path, self._project, slide))

    def take_finished(self) -> list[AnnotationFileInfo]:
        """Return the results since the last call."""
        found = []
        while self._pending and self._pending[0].done():
            self.done += 1
            found.append(self._pending.popleft().result())
        return found

    def stop(self) -> None:
        """Cancel the files that are still queued."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._pending.clear()

    def _finish(self, info: AnnotationFileInfo) -> None:
        result: Future[AnnotationFileInfo] = Future()
        result.set_result(info)
        self.total += 1
        self._pending.append(result)


def unambiguous_imports(
    project: Project, inspected: Sequence[AnnotationFileInfo], *, complete: bool
) -> list[ImportTask] | None:
    """Return the imports of inspected files, or None if any of them needs a decision by the user."""
    if not all(_is_unambiguous(info, project) for info in inspected):
        return None
    return [
        ImportTask(info.file, info.slide, DEFAULT_IMPORT_OPTIONS, complete)
        for info in inspected
        if info.file is not None and info.slide is not None
    ]


def import_selected(
    session: Session,
    tasks: Iterable[ImportTask],
    new_classes: Iterable[tuple[str, str | None]],
    run: Callable[[Callable[[], object]], object] = lambda job: job(),
) -> ImportResult:
    """Add the classes that the user asked for, by name and colour, then import; see :func:`run_imports`."""
    classes = session.require_project().classes
    for name, color in new_classes:
        classes = classes.add(name, color)
    if classes != session.require_project().classes:
        session.change_classes(classes)
    return run_imports(session, tasks, run)


def run_imports(
    session: Session, tasks: Iterable[ImportTask], run: Callable[[Callable[[], object]], object] = lambda job: job()
) -> ImportResult:
    """Import files into their slides, each whole or not at all.

    Parameters
    ----------
    session, tasks
        What is imported where.
    run
        Runs a long job, and returns when it is done.
    """
    result = ImportResult()
    for task in tasks:
        try:
            with session.mask_released(task.slide):
                run(partial(_import, session.require_project(), task))
            result.imported.append(task.slide)
        except PathsegError as error:
            result.problems.append(str(error))
    return result


def _import(project: Project, task: ImportTask) -> None:
    import_file(project, task.slide, task.file, complete=task.complete, options=task.options)


def _inspect_quickly(session: Session, paths: Sequence[Path]) -> list[AnnotationFileInfo] | None:
    """Read annotation files while the window waits, or return None if they are too large for that."""
    project, in_view = session.require_project(), None if session.slide is None else session.slide.id
    files = annotation_files(paths, project)
    if sum(path.stat().st_size for path in files) > _MAX_BYTES_WITHOUT_THREAD:
        return None
    default = in_view if len(files) == 1 else None
    return [inspect_file(path, project, guess_slide(path, project, default)) for path in files]


def _is_unambiguous(info: AnnotationFileInfo, project: Project) -> bool:
    if info.file is None or info.proposal is not None or not info.fits:
        return False
    return info.is_label_image or all(class_index(project.classes, one.name) is not None for one in info.classes)


def _has_slide(path: Path, project: Project | None) -> bool:
    return project is not None and find_slide_named(path, project) is not None


def _is_mask(path: Path) -> bool:
    stem = stem_of(path).lower()
    return path.suffix.lower() in MASK_SUFFIXES and (stem.endswith("_mask") or stem.startswith("mask_"))


def _add_slides(session: Session, slides: list[Path]) -> dict[Path, str]:
    """Add slides, together if all are sound, else one by one; return why some could not be added."""
    if not slides:
        return {}
    try:
        session.add_slides(slides)
    except PathsegError as error:
        if len(slides) == 1:
            return {slides[0]: str(error)}
    else:
        return {}
    problems: dict[Path, str] = {}
    for path in slides:
        problems |= _add_slides(session, [path])
    return problems
