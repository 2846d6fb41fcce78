"""Looking into files of contours beside the window, and importing what was chosen."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.importing.add_slides import import_file
from napari_pathseg.projects.importing.contour_import import DEFAULT_IMPORT_OPTIONS, ImportOptions, class_number
from napari_pathseg.projects.importing.import_preview import (
    AnnotationFileInfo,
    contour_files,
    guess_slide,
    inspect_file,
)
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.session import Session

_FELT_BYTES = 3_000_000  # of contours that take a moment to read


@dataclass(frozen=True)
class ImportTask:
    """A file for a slide: what it says there, and whether that is all there is."""

    path: Path
    slide: str
    options: ImportOptions
    complete: bool


class ImportInspector:
    """Reads files one after the other in a thread of its own; what was read is taken away in time."""

    def __init__(self, project: Project, paths: Iterable[Path], in_view: str | None) -> None:
        self._project = project
        self._hand = ThreadPoolExecutor(1, "survey")
        self._waiting: deque[Future[AnnotationFileInfo]] = deque()
        self.done = self.total = 0
        files = contour_files(paths, project)
        for path in files:
            self.again(path, guess_slide(path, project, in_view if len(files) == 1 else None))

    @property
    def busy(self) -> bool:
        """Whether there is something still to be read or taken."""
        return bool(self._waiting)

    def again(self, path: Path, slide: str | None) -> None:
        """Read a file as one of `slide`."""
        self.total += 1
        self._waiting.append(self._hand.submit(inspect_file, path, self._project, slide))

    def take(self) -> list[AnnotationFileInfo]:
        """Return what was read since."""
        found = []
        while self._waiting and self._waiting[0].done():
            self.done += 1
            found.append(self._waiting.popleft().result())
        return found

    def stop(self) -> None:
        """Read nothing more."""
        self._hand.shutdown(wait=False, cancel_futures=True)
        self._waiting.clear()


def run_imports(
    session: Session, choices: Iterable[ImportTask], run: Callable[[Callable[[], object]], object] = lambda job: job()
) -> tuple[list[str], list[str]]:
    """Import files into their slides, each whole or not at all.

    Parameters
    ----------
    session, choices
        What is imported where.
    run
        Runs a job that takes long, and returns when it is done.

    Returns
    -------
    slides, problems
        Those into which something was imported; a sentence for each file that could not be.
    """
    done, problems = [], []
    for choice in choices:
        try:
            with session.mask_released(choice.slide):
                run(partial(_import, session.require_project(), choice))
            done.append(choice.slide)
        except PathsegError as error:
            problems.append(str(error))
    return done, problems


def _import(project: Project, choice: ImportTask) -> None:
    import_file(project, choice.slide, choice.path, complete=choice.complete, options=choice.options)


def unambiguous_imports(
    project: Project, paths: Iterable[Path], in_view: str | None, *, complete: bool
) -> list[ImportTask] | None:
    """Return what becomes of files about which nothing is to be asked; None where there is, or reading is felt."""
    files = contour_files(paths, project)
    if sum(path.stat().st_size for path in files) > _FELT_BYTES:
        return None
    alone = in_view if len(files) == 1 else None
    found = [inspect_file(path, project, guess_slide(path, project, alone)) for path in files]
    if not all(_is_plain(file, project) for file in found):
        return None
    return [
        ImportTask(file.path, file.slide, DEFAULT_IMPORT_OPTIONS, complete) for file in found if file.slide is not None
    ]


def _is_plain(found: AnnotationFileInfo, project: Project) -> bool:
    if found.slide is None or found.problem or found.proposal is not None or not found.fits:
        return False
    return found.is_picture or all(class_number(project.classes, one.name) is not None for one in found.classes)
