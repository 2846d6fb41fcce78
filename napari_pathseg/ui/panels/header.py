"""The top of the dock: whether the project can be changed, which it is, and what to do next."""

from pathlib import Path
from typing import Any

from psygnal import Signal
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QDialog, QFileDialog, QLabel, QMenu, QMessageBox, QPushButton, QSizePolicy, QWidget
from superqt.utils import qthrottled

from napari_pathseg.ui.panels.new_project import NewProjectDialog
from napari_pathseg.ui.panels.read_only_banner import ReadOnlyBanner
from napari_pathseg.ui.session.next_step import next_step
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts.keymap import keys_text
from napari_pathseg.ui.shortcuts.qupath import QUPATH_KEYS, QuPathKeys
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.recent_projects import recent_projects, remember_project
from napari_pathseg.ui.widgets.theme import SecondaryLabel


class Header(QWidget):
    """The project menu and the next step; `step_pressed` and `step_changed` carry a `NextStep`."""

    step_pressed = Signal(object)
    step_changed = Signal(object)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.step = next_step(session)
        self.qupath: QuPathKeys | None = None  # which the dock turns on and off
        self.banner = ReadOnlyBanner(session)
        self.project = QPushButton()
        self.project.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.project.setStyleSheet("text-align: left; font-weight: bold; padding: 6px;")
        self.project.setToolTip("Make, open or show a project.")
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.project.setMenu(self.menu)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.button = push_button("", "Do the next step.")
        self.notice = SecondaryLabel("Research use only")
        column(self, self.banner, self.project, row(self.text, self.button), self.notice)
        self.button.clicked.connect(self._press)
        self._soon = qthrottled(self._show_step, timeout=150, leading=False, parent=self)
        session.project_changed.connect(self._show_project)
        session.slide_changed.connect(self._soon.throttle)
        session.mask_changed.connect(self._soon.throttle)
        session.training.run_changed.connect(self._soon.throttle)
        self._fill_menu()
        self._show_project()

    # -- what the user may do

    def ask_for_new(self) -> None:
        """Let the user make a project."""
        dialog = NewProjectDialog(self._start(), self)
        if dialog.exec() == QDialog.DialogCode.Accepted:
            self.make(dialog.project_folder, dialog.mpp.currentData())
        dialog.deleteLater()

    def make(self, folder: Path, mpp: float | None) -> None:
        """Make a project and open it."""
        with show_errors():
            self._session.new_project(folder, mpp=mpp)

    def ask_for_project(self) -> None:
        """Let the user open a project."""
        folder = QFileDialog.getExistingDirectory(self, "Open a project (a folder .pathseg)", str(self._start()))
        if folder:
            self.open(Path(folder))

    def open(self, folder: Path) -> None:
        """Open a project."""
        with show_errors():
            self._session.open_project(folder)

    def show_keys(self) -> None:
        """List all keys."""
        box = QMessageBox(self)
        box.setWindowTitle("Keys")
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(
            "They work while the slide has the focus: click on it first."
            + keys_text(QUPATH_KEYS if self.qupath is not None and self.qupath.on else ())
        )
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    # -- what the user sees

    def _show_project(self) -> None:
        project = self._session.project
        self.project.setText("No project" if project is None else project.folder.name)
        if project is not None and project.folder not in recent_projects()[:1]:
            remember_project(project.folder)
        self._show_step()

    def _show_step(self) -> None:
        step = next_step(self._session)
        self.text.setText(step.text)
        self.button.setText(step.button)
        self.button.setVisible(step.action != "stop")  # the jobs row has that button, and Train
        if step != self.step:
            self.step = step
            self.step_changed.emit(step)

    def _fill_menu(self) -> None:
        self.menu.clear()
        self.menu.addAction("New project…", self.ask_for_new)
        self.menu.addAction("Open…", self.ask_for_project)
        recent = self.menu.addMenu("Recent")
        if recent is not None:
            for folder in recent_projects():
                recent.addAction(str(folder))
            recent.triggered.connect(self._open_recent)
            recent.setEnabled(not recent.isEmpty())
        show = self.menu.addAction("Show folder", self._show_folder)
        if show is not None:
            show.setEnabled(self._session.project is not None)
        self.menu.addSeparator()
        self.menu.addAction("Keys", self.show_keys)
        if self.qupath is not None:
            own = self.menu.addAction("QuPath keys")
            if own is not None:
                own.setCheckable(True)
                own.setChecked(self.qupath.on)
                own.toggled.connect(self.qupath.turn)
                own.setToolTip("B brush, W wand, P polygon, V live-wire, M move: in place of napari's on the slide.")

    def _press(self) -> None:
        self.step_pressed.emit(self.step)

    def _open_recent(self, action: Any) -> None:
        self.open(Path(action.text()))

    def _show_folder(self) -> None:
        if self._session.project is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._session.project.folder)))

    def _start(self) -> Path:
        """Return the folder in which dialogs begin."""
        project = self._session.project
        return Path.home() if project is None else project.folder.parent
