"""Reads annotation files in a worker thread for the dialog that shows them; the window polls it."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from napari_pathseg.contours.formats import AnnotationReader
from napari_pathseg.projects.importing.file_survey import SurveyedFile
from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo, inspect_file
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.natural_order import natural_key


class ImportInspector:
    """Reads surveyed files one after the other; poll `take_finished` for the results.

    Those for which the user has to choose a slide come first, those that are not imported last.  Files in `inspected`
    are not read again.
    """

    def __init__(
        self, project: Project, files: Iterable[SurveyedFile], inspected: Iterable[AnnotationFileInfo] = ()
    ) -> None:
        self._project = project
        self._executor = ThreadPoolExecutor(1, "import-inspector")
        self._reader = AnnotationReader()  # used only in the one worker thread
        self._pending: deque[Future[AnnotationFileInfo]] = deque()
        self.done = self.total = 0
        known = {info.path: info for info in inspected}
        for file in sorted(files, key=_place):
            if file.ignored:
                self._finish(AnnotationFileInfo(file.path, ignored=file.ignored))
            elif file.path in known:
                self._finish(known[file.path])
            else:
                self.inspect(file.path, file.slides)

    @property
    def busy(self) -> bool:
        """True while files are still to be read, or results to be taken."""
        return bool(self._pending)

    def inspect(self, path: Path, slides: tuple[str, ...]) -> None:
        """Queue a file to be read for `slides`."""
        self.total += 1
        self._pending.append(self._executor.submit(inspect_file, path, self._project, slides, self._reader))

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


def _place(file: SurveyedFile) -> tuple[bool, bool, object]:
    return bool(file.ignored), bool(file.slides), natural_key(file.path.name)
