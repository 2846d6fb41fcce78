"""The dialog that sets the patients of all slides, from their names or a table, and shows them before it does."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from qtpy.QtWidgets import QDialog, QDialogButtonBox, QFileDialog, QLineEdit, QTableWidget, QTableWidgetItem, QWidget

from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.patients import patients_by_name, set_patients_by_name
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.natural_order import natural_key
from napari_pathseg.ui.widgets.layout import column, push_button, row, set_up_table
from napari_pathseg.ui.widgets.plain_text import plain
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_HELP = (
    "The part of a slide's name that is its patient, as a regular expression: ^[^-]+ is all before the first hyphen, "
    "^.{4} the first four characters, .+ the whole name. Or a table (CSV) with the columns slide,patient."
)

_SIZE = (520, 420)


class PatientsDialog(QDialog):
    """Asks for a pattern or a table, with a preview; nothing can be accepted that would be refused."""

    def __init__(self, project: Project, pattern: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self.setWindowTitle("Patients of all slides")
        self.resize(*_SIZE)
        help = SecondaryLabel(_HELP)
        help.setWordWrap(True)
        self.pattern = QLineEdit(pattern)
        self.table_button = push_button("Table…", "Read the patients from a CSV file.")
        self.preview = QTableWidget()
        set_up_table(self.preview, ["Patient", "Slides"], [0, 1])
        self.note = SecondaryLabel("")
        self.note.setWordWrap(True)
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(ok | cancel)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        column(self, help, row(self.pattern, self.table_button), self.preview, self.note, self.buttons)
        layout = self.layout()
        if layout is not None:
            layout.setContentsMargins(12, 12, 12, 12)
        self.pattern.textChanged.connect(self._show)
        self.table_button.clicked.connect(self._ask_for_table)
        self._show()

    def apply(self) -> str:
        """Set the patients and return a sentence that says how many there are."""
        patients = set_patients_by_name(self._project, self.pattern.text())
        return f"{plural(len(set(patients.values())), 'patient')} in {plural(len(patients), 'slide')}."

    def _ask_for_table(self) -> None:
        start = str(self._project.folder.parent)
        file, _ = QFileDialog.getOpenFileName(self, "Table of patients", start, "Tables (*.csv);;All files (*)")
        if file:
            self.pattern.setText(str(Path(file)))

    def _show(self) -> None:
        try:
            patients, problem = patients_by_name(self._project, self.pattern.text()), ""
        except PathsegError as error:
            patients, problem = {}, str(error)
        self._fill(patients)
        self.note.setText(
            problem or f"{plural(self.preview.rowCount(), 'patient')} in {plural(len(patients), 'slide')}."
        )
        accept = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        if accept is not None:
            accept.setEnabled(bool(patients))

    def _fill(self, patients: Mapping[str, str]) -> None:
        slides: dict[str, list[str]] = defaultdict(list)
        for slide, patient in patients.items():
            slides[patient].append(slide)
        self.preview.setRowCount(len(slides))
        for number, patient in enumerate(sorted(slides, key=natural_key)):
            names = sorted(slides[patient], key=natural_key)
            for place, text in enumerate((patient, f"{len(names)}: {', '.join(names)}")):
                item = QTableWidgetItem(text)
                item.setToolTip(plain(text))
                self.preview.setItem(number, place, item)
