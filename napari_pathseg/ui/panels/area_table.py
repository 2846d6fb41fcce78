"""The window with the table of areas: slides by classes, sorted by a click, copied or saved as a CSV file."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDialog, QFileDialog, QLineEdit, QTableWidget, QTableWidgetItem, QWidget

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.exporting.area_table import COLUMNS, AreaRow, totals, write_area_table
from napari_pathseg.projects.exporting.export import table_of_areas
from napari_pathseg.ui.session.background import Steps, Work
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.natural_order import natural_key
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row, set_up_table
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.plain_text import plain
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_SIZE = (720, 480)
_TITLES = ("Slide", "Class", "mm²", "% of tissue", "% reviewed", "Pixels")
_UNKNOWN = "–"
_KEY = Qt.ItemDataRole.UserRole


def open_area_table(session: Session, parent: QWidget) -> None:
    """Make the table in the background, then show it, unless that was stopped."""
    session.save_mask()
    project = session.require_project()

    def reading() -> Steps[list[AreaRow] | None]:
        rows: list[AreaRow] | None = yield Work(partial(table_of_areas, project), "Measuring areas")
        return rows

    def done(rows: list[AreaRow] | None) -> None:
        if rows is not None:
            AreaTableDialog(rows, project.folder.parent, parent).show()

    session.background.start(reading(), done, lambda error: notify(str(error), kind="error"))


class AreaTableDialog(QDialog):
    """Shows rows of the table of areas, those whose slide or class holds a text that is typed."""

    def __init__(self, rows: Sequence[AreaRow], folder: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Areas")
        self.resize(*_SIZE)
        self._rows, self._folder = list(rows), folder
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Slide or class…")
        self.filter.setClearButtonEnabled(True)
        self.table = QTableWidget()
        set_up_table(self.table, _TITLES, [0])
        self.summary = SecondaryLabel("")
        self.summary.setWordWrap(True)
        self.copy = push_button("Copy", "Copy the rows that are shown, for a spreadsheet.")
        self.save = push_button("Save as CSV…", "Write the rows that are shown into a file.")
        self.close_button = push_button("Close", "Close the table.")
        column(self, self.filter, self.table, self.summary, row(self.copy, self.save, None, self.close_button))
        layout = self.layout()
        assert layout is not None
        layout.setContentsMargins(12, 12, 12, 12)
        self._fill()
        self.filter.textChanged.connect(self._show_matching)
        self.copy.clicked.connect(self.copy_rows)
        self.save.clicked.connect(self.ask_for_file)
        self.close_button.clicked.connect(self.close)
        self._show_matching()

    @property
    def shown(self) -> list[AreaRow]:
        """The rows that are shown, from top to bottom."""
        items = (self.table.item(number, 0) for number in range(self.table.rowCount()))
        numbers = [item.data(_KEY) for item in items if item is not None and not self.table.isRowHidden(item.row())]
        return [self._rows[number] for number in numbers]

    def copy_rows(self) -> None:
        """Copy the rows that are shown, as text with tabs."""
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText("\n".join("\t".join(cells) for cells in (COLUMNS, *(one.texts for one in self.shown))))

    def ask_for_file(self) -> None:
        """Ask for a file and write the rows that are shown into it."""
        start = str(self._folder / "areas.csv")
        name, _ = QFileDialog.getSaveFileName(self, "Save the table of areas", start, "Tables (*.csv)")
        if name:
            with show_errors():
                self.save_to(Path(name))

    def save_to(self, path: Path) -> None:
        """Write the rows that are shown into a file."""
        rows = self.shown
        try:
            write_area_table(path, rows)
        except OSError as error:
            raise ProjectError(f"{path} could not be written ({error.strerror}). Choose another place.") from error
        notify(f"{len(rows)} rows written to {path}.")

    def _fill(self) -> None:
        self.table.setRowCount(len(self._rows))
        for number, area in enumerate(self._rows):
            numbers = ((area.mm2, 4), (area.percent_of_tissue, 1), (area.percent_reviewed, 1), (area.pixels, 0))
            cells = [_Text(area.slide), _Text(area.class_name), *(_Number(*each) for each in numbers)]
            cells[0].setData(_KEY, number)
            for place, item in enumerate(cells):
                self.table.setItem(number, place, item)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)

    def _show_matching(self) -> None:
        """Show the rows that hold the text, and what they add up to."""
        text = self.filter.text().casefold()
        for number in range(self.table.rowCount()):
            cells = (self.table.item(number, place) for place in (0, 1))
            matches = any(text in cell.text().casefold() for cell in cells if cell is not None)
            self.table.setRowHidden(number, not matches)
        self.summary.setText(_summary(self.shown))
        for button in (self.copy, self.save):
            button.setEnabled(bool(self.shown))


class _Text(QTableWidgetItem):
    """A name, sorted as people number things."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.setToolTip(plain(text))

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return natural_key(self.text()) < natural_key(other.text())


class _Number(QTableWidgetItem):
    """A number on the right of its cell, sorted by its value; what is unknown comes first."""

    def __init__(self, value: float | None, digits: int) -> None:
        super().__init__(_UNKNOWN if value is None else f"{value:,.{digits}f}")
        self.value = -1.0 if value is None else float(value)
        self.setTextAlignment(int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return isinstance(other, _Number) and self.value < other.value


def _summary(rows: Sequence[AreaRow]) -> str:
    """Return what the rows add up to, class by class."""
    if not rows:
        return "No slide or class has this text in its name."
    parts = []
    for name, (mm2, reviewed) in totals(rows).items():
        area = "area unknown" if mm2 is None else f"{mm2:,.2f} mm²"
        parts.append(f"{name} {area}" + ("" if reviewed is None else f", {reviewed:.0f} % reviewed"))
    slides = len({one.slide for one in rows})
    return f"{plural(slides, 'slide')} in all: {' · '.join(parts)}"
