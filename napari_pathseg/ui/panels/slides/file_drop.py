"""Files that are dropped on the window or chosen in a dialog: confirmation, progress and messages."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from qtpy.QtCore import QCoreApplication, Qt
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo
from napari_pathseg.ui.panels.slides.import_dialog import ImportDialog
from napari_pathseg.ui.panels.slides.pyramid_conversion import (
    PyramidProgress,
    ask_to_convert,
    memory_needed,
    pyramid_path,
)
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.import_controller import (
    ImportResult,
    add_files,
    import_selected,
    require_annotation_files,
)
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.notifications import notify, show_errors

_MAX_SHOWN = 3  # problems that get a message of their own
_SHOW_AFTER_MS, _FRAME_S = 400, 0.02


class FileDropHandler:
    """Adds files to the project; `complete` returns whether everything outside the contours is Background."""

    def __init__(self, session: Session, complete: Callable[[], bool], parent: QWidget) -> None:
        self._session, self._complete, self._parent = session, complete, parent
        self.dialog: ImportDialog | None = None

    def add_files(self, paths: Sequence[Path]) -> None:
        """Add files to the project, and report those that could not be used."""
        with show_errors():
            self._report(add_files(self._session, paths, complete=self._complete()))

    def open_import(self, paths: Sequence[Path], inspected: Iterable[AnnotationFileInfo] = ()) -> None:
        """Show the content of annotation files, and import what the user selects."""
        with show_errors():
            require_annotation_files(self._session, paths)
            dialog = ImportDialog(
                self._session, paths, complete=self._complete(), inspected=inspected, parent=self._parent
            )
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.accepted.connect(lambda: self._import_selected(dialog))
            self.dialog = dialog
            dialog.open()

    def offer_pyramid(self, path: Path) -> bool:
        """Offer to convert a slide that cannot be read in pieces to a pyramid, and add that; return whether it is."""
        needed = memory_needed(path)
        if needed is None:
            return False
        project = self._session.require_project()
        target = pyramid_path(project, path)
        if not ask_to_convert(path, target, needed, self._parent):
            return False

        def finish(pyramid: Path) -> None:
            if self._session.project is project:
                self.add_files([pyramid])
            else:
                notify(f"{pyramid} is ready. Open {project.folder.name} and add it.")

        self.progress = PyramidProgress(path, target, finish, self._parent)
        return True

    def _import_selected(self, dialog: ImportDialog) -> None:
        with show_errors():
            tasks, new_classes = dialog.tasks, dialog.classes.new_classes
            self._report(import_selected(self._session, tasks, new_classes, self._run_in_thread))

    def _run_in_thread(self, job: Callable[[], object]) -> object:
        """Run a job in a thread behind a modal progress dialog, so that the window is still drawn."""
        progress = QProgressDialog("Importing contours…", None, 0, 0, self._parent)
        progress.setWindowModality(Qt.WindowModality.ApplicationModal)
        progress.setMinimumDuration(_SHOW_AFTER_MS)
        with ThreadPoolExecutor(1, "import") as executor:
            future = executor.submit(job)
            while not future.done():
                progress.setValue(0)  # lets the dialog appear once the job takes long
                QCoreApplication.processEvents()
                wait([future], _FRAME_S)
        progress.close()
        return future.result()

    def _report(self, result: ImportResult) -> None:
        """Show what happened to files, and ask about ambiguous ones."""
        problems = list(result.problems)
        problems += [text for path, text in result.refused.items() if not self.offer_pyramid(path)]
        if result.imported:
            notify(f"Imported the contours of {plural(len(set(result.imported)), 'slide')}.")
        for problem in problems[:_MAX_SHOWN]:
            notify(problem, kind="error")
        if len(problems) > _MAX_SHOWN:
            text = f"{plural(len(problems), 'file')} could not be used; the first {_MAX_SHOWN} are shown."
            notify(text, "\n".join(problems), "warning")
        if result.ambiguous:
            self.open_import(result.ambiguous, result.inspected)
