"""Files that are dropped on the window or chosen in a dialog: confirmation and messages.

What takes long runs in `session.background`, whose progress the dock shows.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.importing.file_survey import SurveyedFile
from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo
from napari_pathseg.projects.patients import grouping_advice
from napari_pathseg.ui.panels.slides.import_dialog import ImportDialog
from napari_pathseg.ui.panels.slides.pyramid_conversion import (
    PyramidProgress,
    ask_to_convert,
    memory_needed,
    pyramid_path,
)
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.import_controller import (
    IMPORT_FOLDER,
    ImportResult,
    adding_files,
    adopting,
    importing_selected,
    surveying,
)
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.notifications import notify, show_errors

_GROUP_PATIENTS = "choose Patients from names or a table… in a slide's menu"
_MAX_SHOWN = 3  # problems that get a message of their own


def _fail(error: PathsegError) -> None:
    notify(str(error), kind="error")


class FileDropHandler:
    """Adds files to the project; `complete` returns whether everything outside the contours is Background."""

    def __init__(self, session: Session, complete: Callable[[], bool], parent: QWidget) -> None:
        self._session, self._complete, self._parent = session, complete, parent
        self.dialog: ImportDialog | None = None

    def add_files(self, paths: Sequence[Path]) -> None:
        """Add files to the project in the background, and report those that could not be used."""
        before = self._slide_count()

        def finish(result: ImportResult) -> None:
            self._report(result)
            if self._slide_count() > before:
                advice = grouping_advice(self._session.require_project(), _GROUP_PATIENTS)
                if advice:
                    notify(advice, kind="warning")

        self._session.background.start(adding_files(self._session, paths, complete=self._complete()), finish, _fail)

    def add_open_images(self) -> None:
        """Add the images that are open in napari as slides; these take the place of their layers."""
        self._session.background.start(adopting(self._session), self._report, _fail)

    def _slide_count(self) -> int:
        return 0 if self._session.project is None else len(self._session.project.slides)

    def open_import(self, paths: Sequence[Path]) -> None:
        """Show the content of annotation files, and import what the user selects."""
        with show_errors():
            self._session.background.start(surveying(self._session, paths), self._show_dialog, _fail)

    def _show_dialog(self, files: Sequence[SurveyedFile], inspected: Iterable[AnnotationFileInfo] = ()) -> None:
        dialog = ImportDialog(self._session, files, complete=self._complete(), inspected=inspected, parent=self._parent)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.accepted.connect(lambda: self._import_selected(dialog))
        self.dialog = dialog
        dialog.open()

    def offer_pyramid(self, path: Path, reason: str) -> bool:
        """Offer to convert a slide that cannot be read in pieces to a pyramid; return whether that is possible.

        It is added once it is converted; if the user declines, `reason` is shown.
        """
        needed = memory_needed(path)
        if needed is None:
            return False
        project = self._session.require_project()
        target = pyramid_path(project, path)

        def finish(pyramid: Path) -> None:
            if self._session.project is project:
                self.add_files([pyramid])
            else:
                notify(f"{pyramid} is ready. Open {project.folder.name} and add it.")

        def answered(yes: bool) -> None:
            if yes:
                self.progress = PyramidProgress(path, target, finish, self._parent)
            else:
                notify(reason, kind="error")

        ask_to_convert(path, target, needed, self._parent, answered)
        return True

    def _import_selected(self, dialog: ImportDialog) -> None:
        slides, tasks = dialog.files.new_slides, dialog.tasks
        flow = importing_selected(self._session, tasks, dialog.classes.new_classes, slides)
        self._session.background.start(flow, self._report, _fail)

    def _report(self, result: ImportResult) -> None:
        """Show what happened to files, and ask about ambiguous ones."""
        problems = list(result.problems)
        problems += [text for path, text in result.refused.items() if not self.offer_pyramid(path, text)]
        if result.imported:
            slides = set(result.imported)
            complete = [name for name in slides if self._session.require_project().slide(name).complete]
            # undo restores the mask and leaves the slide complete, so it has to be known
            notify(
                f"Imported the contours of {plural(len(slides), 'slide')}." + _background(len(slides), len(complete))
            )
        for problem in problems[:_MAX_SHOWN]:
            notify(problem, kind="error")
        if len(problems) > _MAX_SHOWN:
            text = f"{plural(len(problems), 'file')} could not be used; the first {_MAX_SHOWN} are shown."
            notify(text, "\n".join(problems), "warning")
        if result.ambiguous:
            self._show_dialog(result.ambiguous, result.inspected)
        folders = [path for path in result.others if path.is_dir()]
        files = [path for path in result.others if path not in folders]
        if folders:
            names = "\n".join(path.name for path in folders)
            notify(f"{plural(len(folders), 'folder')} inside not opened: {_named(folders)}. {IMPORT_FOLDER}", names)
        if files:
            names = "\n".join(path.name for path in files)
            notify(f"{plural(len(files), 'file')} in the folder: neither slides nor annotations.", names)


def _named(paths: Sequence[Path]) -> str:
    names = ", ".join(path.name for path in paths[:_MAX_SHOWN])
    return names if len(paths) <= _MAX_SHOWN else f"{names} and {len(paths) - _MAX_SHOWN} more"


def _background(slides: int, complete: int) -> str:
    """Return the sentence that says on which of the imported slides the rest is Background; "" if on none."""
    if not complete:
        return ""
    if complete < slides:
        return f" On {complete} of them, which are complete, all that is not outlined is Background."
    return f" All that is not outlined on {'it' if slides == 1 else 'them'} is Background."
