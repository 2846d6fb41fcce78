"""The dialog that shows the content of annotation files, and lets the user decide what is imported.

Every file that was chosen is in a table with what happens to it.  A worker thread reads the files.  Nothing is imported
before the button is pressed, and no file is transformed unless the user chooses to.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.projects.importing.contour_import import BLACK
from napari_pathseg.projects.importing.file_survey import SurveyedFile
from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.slides.import_tables import ClassesTable, FilesTable
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.import_controller import ImportTask
from napari_pathseg.ui.session.import_inspector import ImportInspector
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.theme import SPACING, SecondaryLabel

_SIZE = QSize(920, 600)
_MAX_STRETCH = 8  # rows; a longer table takes no more of the height from the other one
_POLL_MS = 50


class ImportDialog(QDialog):
    """The files, the slides they belong to and the classes they name; :attr:`tasks` is what the user selected."""

    def __init__(
        self,
        session: Session,
        files: Iterable[SurveyedFile],
        *,
        complete: bool,
        inspected: Iterable[AnnotationFileInfo] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.setWindowTitle("Import contours")
        self.resize(_SIZE)
        self.heading, self.hint = QLabel("Reading…"), SecondaryLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.files, self.classes = FilesTable(session.require_project()), ClassesTable(session.require_project())
        self.complete = QCheckBox("Everything that is not outlined on these slides is Background")
        self.complete.setChecked(complete)
        self.complete.setToolTip("Tick this if the outlines are exhaustive; otherwise the rest stays unlabelled.")
        self._make_buttons()
        self._lay_out()
        self.files.changed.connect(self._file_changed)
        self.files.placed.connect(self._show_summary)
        self.classes.changed.connect(self._show_summary)
        self._inspector = ImportInspector(session.require_project(), files, inspected)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._show_finished)
        self._timer.start()

    @property
    def tasks(self) -> list[ImportTask]:
        """The imports that the user selected."""
        return self.files.tasks(self.classes.class_indices(), complete=self.complete.isChecked())

    @property
    def reading(self) -> bool:
        """True while files are being read."""
        return self._inspector.busy

    def done(self, result: int) -> None:
        """Stop the worker thread, whichever button was pressed."""
        self._timer.stop()
        self._inspector.stop()
        super().done(result)

    # -- display

    def _show_finished(self) -> None:
        """Show the files that the worker has finished reading."""
        found = self._inspector.take_finished()
        for file in found:
            self.files.show_file(file)
        if found:
            self.classes.show_files(self.files.inspected)
            self._share_height()
            self._show_summary()  # the last file enables the button
        self.bar.setRange(0, self._inspector.total)
        self.bar.setValue(self._inspector.done)
        self.bar.setVisible(self._inspector.busy)

    def _file_changed(self, path: Path, slides: tuple[str, ...]) -> None:
        """Read a file again for the slides that were chosen for it."""
        self._inspector.inspect(path, slides)
        self._show_summary()

    def _show_summary(self) -> None:
        files, tasks = self.files.inspected, self.tasks
        self.heading.setText(_heading(files, self.files.left_out))
        unclear = self.classes.undecided_names
        asked = f"Choose a class for {', '.join(f'“{name}”' for name in unclear)}. " if unclear else ""
        unplaced = self.files.unplaced
        sized = f"{unplaced[0]} was drawn on an image of another size: choose its place. " if unplaced else ""
        misplaced = self.files.misplaced
        unassigned = len(self.files.unassigned)
        self.hint.setText(asked + sized + _hint(files, unassigned, misplaced, self._session.require_project()))
        self.hint.setVisible(bool(self.hint.text()))
        slides, added = len({task.slide for task in tasks}), self.files.new_slides
        texts = [f"Add {plural(len(added), 'slide')}"] if added else []
        texts += [f"import into {plural(slides, 'slide')}"] if slides else []
        self.ok.setText(" and ".join(texts).capitalize() or "Import")
        self.ok.setEnabled(bool(tasks or added) and not unclear and not unplaced and not self.reading)

    def _make_buttons(self) -> None:
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(ok | cancel)
        button = self.buttons.button(ok)
        assert button is not None
        self.ok = button
        self.ok.setText("Import")
        self.ok.setEnabled(False)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setSpacing(SPACING)
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        names = QLabel("Names in the files, and their classes in the project")
        parts = (self.heading, self.bar, self.files, names, self.classes, self.hint, self.complete, self.buttons)
        for part in parts:
            layout.addWidget(part)

    def _share_height(self) -> None:
        """Give each table height for its rows."""
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        for table in (self.files, self.classes):
            layout.setStretchFactor(table, min(table.rowCount(), _MAX_STRETCH) + 1)


def _heading(files: Sequence[AnnotationFileInfo], left_out: int) -> str:
    """Return how much the files hold, and how many of them are not imported."""
    outlines = sum(file.contours for file in files)
    masks = sum(file.pages for file in files if file.is_label_image and not file.ignored and not file.problem)
    names = len({found.name for file in files for found in file.classes})
    of_classes = f" of {names} {'class' if names == 1 else 'classes'}" if names else ""
    contents = [plural(outlines, "outline")] if outlines or not masks else []
    contents += [plural(masks, "mask image")] if masks else []
    rest = f"; {plural(left_out, 'file')} not imported" if left_out else ""
    return f"<b>{plural(len(files), 'file')}</b>: {' and '.join(contents)}{of_classes}{rest}"


def _hint(
    files: Sequence[AnnotationFileInfo], unassigned: int, misplaced: Sequence[AnnotationFileInfo], project: Project
) -> str:
    """Return what the user should check before importing."""
    parts = []
    broken = [file for file in files if file.problem]
    if broken:
        parts.append(f"{plural(len(broken), 'file')} cannot be read; hover over the result to see why.")
    if unassigned and not project.slides:
        parts.append("The project has no slides yet. Add them first.")
    elif unassigned:
        them = "it" if unassigned == 1 else "them"
        parts.append(f"Choose a slide for {plural(unassigned, 'file')} not named after one, or leave {them} out.")
    if misplaced:
        text = misplaced[0].proposal.description if misplaced[0].proposal is not None else ""
        which = (
            misplaced[0].path.name if len(misplaced) == 1 else f"{misplaced[0].path.name} and {len(misplaced) - 1} more"
        )
        parts.append(f"{which} may be misplaced and would fit {text}. Choose the right place under Place.")
    elif any(not file.fits and file.proposal is None for file in files):
        parts.append("Some outlines lie outside their slide, and no common scale explains why.")
    asked = [file.path.name for file in files if any(found.name == BLACK for found in file.classes)]
    if asked:
        parts.append(f"{asked[0]} stores white as 0, and programs differ in whether white or black is the object.")
    return " ".join(parts)
