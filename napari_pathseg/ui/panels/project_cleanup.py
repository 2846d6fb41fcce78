"""The dialog that shows how much disk a project takes, and deletes what it can do without."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QDialog, QGridLayout, QLabel, QWidget

from napari_pathseg.projects.disk_use import format_bytes
from napari_pathseg.ui.session.project_cleanup import ProjectSize, clean_project, measuring
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import SPACING, SecondaryLabel

_WIDTH = 460
_CHOSEN_AT_FIRST = {"runs", "features"}  # what a person may want back is left to them
_TITLE = "Clean up project"


def open_project_cleanup(session: Session, parent: QWidget) -> None:
    """Measure the project in the background, then show the dialog."""
    session.save_mask()
    session.background.start(
        measuring(session),
        lambda size: ProjectCleanupDialog(session, size, parent).open(),
        lambda error: notify(str(error), kind="error"),
    )


class ProjectCleanupDialog(QDialog):
    """The parts of a project with their sizes, and a box for each kind of files that can be deleted."""

    def __init__(self, session: Session, size: ProjectSize, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(_TITLE)
        self.setMinimumWidth(_WIDTH)
        self._session, self._size = session, size
        self.boxes = {one.kind: QCheckBox(one.title) for one in size.cleanups}
        self.summary = PlainLabel()
        self.delete = push_button("Delete", "Delete what is ticked. This cannot be undone.")
        self.close_button = push_button("Close", "Leave all files as they are.")
        buttons = row(self.summary, None, self.delete, self.close_button)
        layout = column(self, self._parts(), _heading("Can be deleted"), self._cleanups(), buttons)
        layout.setContentsMargins(12, 12, 12, 12)
        for kind, box in self.boxes.items():
            box.setChecked(kind in _CHOSEN_AT_FIRST)
            box.toggled.connect(self._show_sum)
        self.delete.clicked.connect(self._delete)
        self.close_button.clicked.connect(self.reject)
        self._show_sum()

    @property
    def chosen(self) -> set[str]:
        """The kinds of files that are ticked."""
        return {kind for kind, box in self.boxes.items() if box.isChecked()}

    def _parts(self) -> QGridLayout:
        """Return the parts of the project and all of it, each with its size."""
        grid = _grid()
        rows = [*self._size.parts.items(), ("all", self._size.total)]
        for number, (part, size) in enumerate(rows):
            grid.addWidget(QLabel(part.capitalize()), number, 0)
            grid.addWidget(_size_label(size), number, 1)
        return grid

    def _cleanups(self) -> QGridLayout:
        """Return what can be deleted, each with its size and what is lost."""
        grid = _grid()
        if not self.boxes:
            grid.addWidget(SecondaryLabel("Nothing: there are no old trainings, features, versions or removed models."))
        for number, one in enumerate(self._size.cleanups):
            loss = SecondaryLabel(one.loss[0].upper() + one.loss[1:] + ".")
            loss.setIndent(24)
            grid.addWidget(self.boxes[one.kind], 2 * number, 0)
            grid.addWidget(_size_label(one.size), 2 * number, 1)
            grid.addWidget(loss, 2 * number + 1, 0, 1, 2)
        return grid

    def _show_sum(self) -> None:
        freed = sum(one.size for one in self._size.cleanups if one.kind in self.chosen)
        self.summary.setText(f"Frees {format_bytes(freed)} of {format_bytes(self._size.total)}.")
        self.delete.setEnabled(bool(self.chosen) and not self._session.read_only)

    def _delete(self) -> None:
        kinds = self.chosen
        self.accept()
        with show_errors():
            clean_project(self._session, kinds)


def _grid() -> QGridLayout:
    grid = QGridLayout()
    grid.setColumnStretch(0, 1)
    grid.setVerticalSpacing(SPACING // 2)
    return grid


def _heading(text: str) -> QLabel:
    label = QLabel(text)
    label.setStyleSheet("font-weight: bold;")
    return label


def _size_label(size: int) -> QLabel:
    label = QLabel(format_bytes(size))
    label.setAlignment(Qt.AlignmentFlag.AlignRight)
    return label
