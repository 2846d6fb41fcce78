"""The dialog between files of contours and the project: what is in them, and what becomes of it.

Files are read by a thread, so that the window stays alive; nothing is imported before the
button is pressed, and no remedy is taken that a person did not choose.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QDialog, QDialogButtonBox, QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_pathseg.projects.importing.import_preview import AnnotationFileInfo
from napari_pathseg.ui.panels.slides.import_tables import ClassesTable, FilesTable
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.import_inspector import ImportInspector, ImportTask
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.theme import SPACING, SecondaryLabel

_SIZE = QSize(760, 520)
_PAUSE_MS = 50


class ImportDialog(QDialog):
    """What was found, for which slide, as which class; :attr:`choices` is what a person wants of it."""

    def __init__(
        self, session: Session, paths: Iterable[Path], *, complete: bool, parent: QWidget | None = None
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
        self.complete.setToolTip("Tick it when all that is to be found was outlined; else the rest stays unlabelled.")
        self._make_buttons()
        self._lay_out()
        self.files.changed.connect(self._file_changed)
        self.classes.changed.connect(self._show_sum)
        self._inspector = ImportInspector(
            session.require_project(), paths, None if session.slide is None else session.slide.id
        )
        self._timer = QTimer(self)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._take_found)
        self._timer.start()

    @property
    def choices(self) -> list[ImportTask]:
        """What is to be imported, file by file."""
        return self.files.choices(self.classes.meanings(), complete=self.complete.isChecked())

    @property
    def reading(self) -> bool:
        """Whether files are still being read."""
        return self._inspector.busy

    def done(self, result: int) -> None:
        """Let the thread go, whatever was pressed."""
        self._timer.stop()
        self._inspector.stop()
        super().done(result)

    # -- what a person sees

    def _take_found(self) -> None:
        """Show the files that were read since."""
        found = self._inspector.take()
        for file in found:
            self.files.show_file(file)
        if found:
            self.classes.show_files(self.files.found)
            self._show_sum()  # the last file read makes the button ready
        self.bar.setRange(0, self._inspector.total)
        self.bar.setValue(self._inspector.done)
        self.bar.setVisible(self._inspector.busy)

    def _file_changed(self, path: Path, slide: str) -> None:
        """Look again whether a file lies on the slide that was chosen for it."""
        self._inspector.again(path, slide or None)
        self._show_sum()

    def _show_sum(self) -> None:
        files, choices = self.files.found, self.choices
        outlines = sum(file.contours for file in files)
        names = len({found.name for file in files for found in file.classes})
        words = "class" if names == 1 else "classes"
        self.heading.setText(f"<b>{plural(len(files), 'file')}</b>: {plural(outlines, 'outline')} of {names} {words}")
        unclear = self.classes.open_names
        asked = f"Choose what becomes of {', '.join(unclear)}. " if unclear else ""
        self.hint.setText(asked + _hint(files))
        self.hint.setVisible(bool(self.hint.text()))
        slides = len({choice.slide for choice in choices})
        self.ok.setText(f"Import into {plural(slides, 'slide')}" if slides else "Import")
        self.ok.setEnabled(bool(choices) and not self.classes.open_names and not self.reading)

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
        names = QLabel("Names in the files, and the classes that they become")
        parts = (self.heading, self.bar, self.files, names, self.classes, self.hint, self.complete, self.buttons)
        for part in parts:
            layout.addWidget(part)
        layout.setStretchFactor(self.files, 3)
        layout.setStretchFactor(self.classes, 2)


def _hint(files: Sequence[AnnotationFileInfo]) -> str:
    """Return what a person should look at before importing."""
    parts = []
    broken = [file for file in files if file.problem]
    if broken:
        parts.append(f"{plural(len(broken), 'file')} cannot be read; point at it to see why.")
    homeless = [file for file in files if file.slide is None and not file.problem]
    if homeless:
        parts.append(f"{plural(len(homeless), 'file')} is named after no slide: choose one, or leave it out.")
    odd = [file for file in files if file.proposal is not None]
    if odd:
        text = odd[0].proposal.description if odd[0].proposal is not None else ""
        which = odd[0].path.name if len(odd) == 1 else f"{odd[0].path.name} and {len(odd) - 1} more"
        parts.append(f"{which} may be misplaced: it would fit {text}. Choose under Place what is right.")
    elif any(not file.fits for file in files):
        parts.append("Some outlines lie beyond their slide; no usual scale explains it.")
    return " ".join(parts)
