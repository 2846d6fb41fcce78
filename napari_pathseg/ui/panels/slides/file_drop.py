"""What arrives in the window, dropped or chosen: taken in, asked about where it must be, and told."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from qtpy.QtCore import QCoreApplication, Qt
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_pathseg.contours.formats import stem_of
from napari_pathseg.errors import AnnotationError
from napari_pathseg.projects.importing.import_preview import contour_files
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.ui.panels.slides.import_dialog import ImportDialog
from napari_pathseg.ui.panels.slides.pyramid_conversion import PyramidProgress, ask_to_convert, memory_needed
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.import_controller import ImportResult, add_files, import_contour_files
from napari_pathseg.ui.session.import_inspector import run_imports
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.notifications import notify, show_errors

_SHOWN_PROBLEMS = 3
_SHOW_AFTER_MS, _FRAME_S = 400, 0.02


class FileDropHandler:
    """Brings files into the project; `complete` says whether contours are all there is on their slides."""

    def __init__(self, session: Session, complete: Callable[[], bool], parent: QWidget) -> None:
        self._session, self._complete, self._parent = session, complete, parent
        self.dialog: ImportDialog | None = None

    def add_files(self, paths: Sequence[Path]) -> None:
        """Bring files into the project, and tell of those that could not be used."""
        with show_errors():
            self._tell(add_files(self._session, paths, complete=self._complete()))

    def import_contours(self, paths: Sequence[Path]) -> None:
        """Import files into the slides that they are named after, asking only where something is not plain."""
        with show_errors():
            self._tell(import_contour_files(self._session, paths, complete=self._complete()))

    def open_import(self, paths: Sequence[Path]) -> None:
        """Show what files of contours hold, and import what is chosen."""
        with show_errors():
            if not contour_files(paths, self._session.require_project()):
                named = ", ".join(path.name for path in paths[:_SHOWN_PROBLEMS])
                raise AnnotationError(f"{named}: no file of contours, or picture named after a slide. Choose another.")
            dialog = ImportDialog(self._session, paths, complete=self._complete(), parent=self._parent)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.accepted.connect(lambda: self._import_chosen(dialog))
            self.dialog = dialog
            dialog.open()

    def _import_chosen(self, dialog: ImportDialog) -> None:
        with show_errors():
            choices, classes = dialog.choices, self._session.require_project().classes
            for name, color in dialog.classes.new_classes:
                classes = classes.add(name, color)
            if classes != self._session.require_project().classes:
                self._session.change_classes(classes)
            slides, problems = run_imports(self._session, choices, self._run_beside)
            self._tell(ImportResult(problems, slides))

    def _run_beside(self, job: Callable[[], object]) -> object:
        """Run a job in a thread; the window is drawn meanwhile, and takes nothing else."""
        progress = QProgressDialog("Importing contours…", None, 0, 0, self._parent)
        progress.setWindowModality(Qt.WindowModality.ApplicationModal)
        progress.setMinimumDuration(_SHOW_AFTER_MS)
        with ThreadPoolExecutor(1, "import") as hand:
            done = hand.submit(job)
            while not done.done():
                progress.setValue(0)  # it shows itself where this takes long
                QCoreApplication.processEvents()
                wait([done], _FRAME_S)
        progress.close()
        return done.result()

    def offer_pyramid(self, path: Path) -> bool:
        """Of a slide that is one giant piece make a pyramid, if a person agrees, and add it; return whether."""
        needed = memory_needed(path)
        if needed is None:
            return False
        project = self._session.require_project()
        target = project.folder / "slides" / fingerprint(path)[:8] / f"{stem_of(path)}.tif"  # names may meet
        if not ask_to_convert(path, target, needed, self._parent):
            return False

        def finish(made: Path) -> None:
            if self._session.project is project:
                self.add_files([made])
            else:
                notify(f"{made} is ready. Open {project.folder.name} and add it.")

        self.progress = PyramidProgress(path, target, finish, self._parent)
        return True

    def _tell(self, taken: ImportResult) -> None:
        """Say what became of files, and ask about those that leave a question."""
        problems = list(taken.problems)
        problems += [text for path, text in taken.refused.items() if not self.offer_pyramid(path)]
        if taken.imported:
            notify(f"Contours of {plural(len(set(taken.imported)), 'slide')} were imported.")
        for problem in problems[:_SHOWN_PROBLEMS]:
            notify(problem, kind="error")
        if len(problems) > _SHOWN_PROBLEMS:
            text = f"{plural(len(problems), 'file')} could not be used; the first {_SHOWN_PROBLEMS} are shown."
            notify(text, "\n".join(problems), "warning")
        if taken.asked:
            self.open_import(taken.asked)
