"""The top of the dock: read-only banner, project menu and next step."""

from collections.abc import Sequence
from functools import partial
from html import escape
from pathlib import Path

from magicgui.types import FileDialogMode
from magicgui.widgets import ComboBox, Dialog, FileEdit, LineEdit
from psygnal import Signal
from qtpy.QtCore import QSize, Qt, QTimer, QUrl
from qtpy.QtGui import QDesktopServices, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QLabel,
    QMenu,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QWidget,
)
from superqt.utils import qthrottled

from napari_pathseg.projects.project import FOLDER_SUFFIX
from napari_pathseg.ui.panels.project_cleanup import open_project_cleanup
from napari_pathseg.ui.session.guide import Guide
from napari_pathseg.ui.session.next_step import NextStep, next_step
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import QUPATH_KEYS, QuPathKeys, keys_text
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors, show_messages
from napari_pathseg.ui.widgets.plain_text import PlainLabel, menu_text, plain
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, STATE_HUES, SecondaryLabel
from napari_pathseg.ui.widgets.user_settings import recent_projects, remember_project

_WRITABLE_MS, _READ_ONLY_MS = 1000, 5000  # between two checks of the project lock
_LEAVE_WIDTH = 24  # pixels
_LEAVE_IMAGE = "Leave the image as it is; it is not offered again."
_LEAVE_TOUR = "Leave the tour. Help (?) goes on with it where you were."
_STEP_LINES = 2  # of the sentence with the next step
_DETAIL = (("1.0 µm per pixel (for tumour areas)", 1.0), ("Each slide's own pixels (finest, slower)", None))


class ReadOnlyBanner(QFrame):
    """Says why the project is read-only and checks regularly whether it still is; hidden otherwise."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.text = QLabel()
        FixedLines(self.text, _STEP_LINES)
        self.button = push_button(
            "Try again", "Check now whether the project is free; this also happens automatically."
        )
        column(self, row(self.text, self.button)).setContentsMargins(SPACING, 0, SPACING, 0)
        self.setObjectName("read_only")
        self.setStyleSheet(f"#read_only {{ border: 1px solid {STATE_HUES['predicted']}; border-radius: 4px; }}")
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._watch)
        self.button.clicked.connect(self._watch)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show why the project is read-only, or hide."""
        reason = self._session.workspace.taken
        self.text.setText(f"<b>Read-only:</b> {escape(reason)}." if reason else "")
        self.setVisible(bool(reason))
        self._timer.start(_READ_ONLY_MS if reason else _WRITABLE_MS)

    def _watch(self) -> None:
        self._session.poll_lock()


class NewProjectDialog(Dialog):
    """Asks for the folder, the name and the mask resolution of a new project."""

    def __init__(self, folder: Path, parent: QWidget | None = None) -> None:
        self.folder = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY,
            label="Folder",
            value=folder,
            tooltip="The folder to create the project in.",
        )
        self.project_name = LineEdit(label="Name", value="project")
        self.mpp = ComboBox(
            label="Detail",
            choices=_DETAIL,
            value=1.0,
            tooltip="Masks are painted and networks trained at this resolution. Slides without a pixel size\n"
            "keep their own.",
        )
        self.folder.choose_btn.text = "Browse…"
        super().__init__(widgets=[self.folder, self.project_name, self.mpp], parent=parent)
        self.native.setWindowTitle("New project")
        self.min_width = 460

    @property
    def project_folder(self) -> Path:
        """The project's own folder."""
        name = self.project_name.value.strip() or "project"
        return Path(str(self.folder.value)) / (name if name.endswith(FOLDER_SUFFIX) else name + FOLDER_SUFFIX)


class _StepPlace(QWidget):
    """The place of the step or of the banner, whichever is shown: as high as the lines of `text`, and a frame."""

    def __init__(self, step: QWidget, banner: QWidget, text: QWidget) -> None:
        super().__init__()
        self._text = text
        column(self, banner, step).setSpacing(0)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size."""
        return QSize(super().sizeHint().width(), self._text.maximumHeight() + HALF_SPACING)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """Return that the height depends on nothing; Qt would ask the layout."""
        return False

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the same height, and the width that both can have."""
        return QSize(0, self.sizeHint().height())


class _ProjectButton(QPushButton):
    """The button of the project menu; a long name ends with an "…", and the tool-tip has all of it."""

    _help = "Create or open a project, or show its folder."
    name = ""

    def show_name(self, name: str) -> None:
        """Show a project's name."""
        self.name = name
        self.setToolTip(plain(f"{name}\n{self._help}" if name else self._help))
        self._elide()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Show as much of the name as fits."""
        super().resizeEvent(event)
        self._elide()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Show as much of the name as fits, now that the width is known."""
        super().showEvent(event)
        self._elide()

    def _elide(self) -> None:
        metrics = self.fontMetrics()
        around = self.sizeHint().width() - metrics.horizontalAdvance(self.text())  # padding and the menu's arrow
        text = metrics.elidedText(self.name, Qt.TextElideMode.ElideMiddle, max(self.width() - around, 0))
        if text != self.text():
            self.setText(text if self.isVisible() else self.name)


class Header(QWidget):
    """The project menu with `buttons` beside it, and the next step: `step_pressed` and `step_changed` emit it."""

    step_pressed = Signal(object)
    step_changed = Signal(object)

    def __init__(
        self, session: Session, guide: Guide, buttons: Sequence[QWidget] = (), parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._session, self._guide = session, guide
        self.step = next_step(session)
        self.dialog: NewProjectDialog | None = None
        self.qupath: QuPathKeys | None = None  # set by the dock
        self.banner = ReadOnlyBanner(session)
        self.project = _ProjectButton()
        self.project.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.project.setStyleSheet("text-align: left; font-weight: bold; padding: 6px;")
        self.menu = QMenu(self)
        self.menu.setToolTipsVisible(True)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.project.setMenu(self.menu)
        self.text = PlainLabel()
        FixedLines(self.text, _STEP_LINES)
        self.button = push_button("", "Do the next step.")
        self.leave = push_button("✕", _LEAVE_IMAGE)
        self.leave.setFixedWidth(_LEAVE_WIDTH)
        self.leave.setStyleSheet("padding: 0px;")
        policy = self.button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.button.setSizePolicy(policy)
        self.step_row = QWidget()
        column(self.step_row, row(self.text, self.leave, self.button))
        self.notice = SecondaryLabel("Research use only")
        self.project.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # a long name leaves the rest
        step = _StepPlace(self.step_row, self.banner, self.text)
        column(self, row(self.project, *buttons), step, self.notice)
        self.button.clicked.connect(self._press)
        self.leave.clicked.connect(self._leave)
        self._show_step_later = qthrottled(self._show_step, timeout=150, leading=False, parent=self)
        session.project_changed.connect(self._show_project)
        session.slide_changed.connect(self._show_step_later.throttle)
        session.mask_changed.connect(self._show_step_later.throttle)
        session.training.run_changed.connect(self._show_step_later.throttle)
        session.open_images.changed.connect(self._show_step_later.throttle)
        session.places.changed.connect(self._show_step_later.throttle)
        session.live.changed.connect(self._show_step_later.throttle)
        guide.changed.connect(self._show_step)
        session.background.changed.connect(self._on_background)
        self._fill_menu()
        self._show_project()

    # -- actions

    def ask_for_new(self) -> None:
        """Ask for the folder of a new project and create it."""
        self.dialog = dialog = NewProjectDialog(self._start_folder(), self)
        dialog.native.accepted.connect(lambda: self.create_project(dialog.project_folder, dialog.mpp.value))
        dialog.native.open()

    def create_project(self, folder: Path, mpp: float | None) -> None:
        """Create a project and open it."""
        with show_errors():
            self._session.new_project(folder, mpp=mpp)

    def ask_for_project(self) -> None:
        """Ask for a project and open it."""
        folder = QFileDialog.getExistingDirectory(self, "Open a project (a .pathseg folder)", str(self._start_folder()))
        if folder:
            self.open(Path(folder))

    def open(self, folder: Path) -> None:
        """Open a project."""
        with show_errors():
            self._session.open_project(folder)

    def show_keys(self) -> None:
        """List all keyboard shortcuts."""
        box = QMessageBox(self)
        box.setWindowTitle("Keys")
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(
            "The keys work at once, except while you type a text or a number; Enter ends that."
            + keys_text(QUPATH_KEYS if self.qupath is not None and self.qupath.on else ())
        )
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.open()

    # -- display

    def _show_project(self) -> None:
        project = self._session.project
        self.project.show_name("No project" if project is None else project.folder.name)
        if project is not None and project.folder not in recent_projects()[:1]:
            remember_project(project.folder)
        self._show_step()

    def _on_background(self) -> None:
        """Follow the first slides of a project, which may be stopped before there is one."""
        project = self._session.project
        if project is not None and not project.slides:
            self._show_step_later.throttle()

    def _show_step(self) -> None:
        step = self._find_step()
        self.step_row.setVisible(not self._session.read_only)
        self.text.setText(step.text)
        self.button.setText(step.button)
        self.leave.setVisible(step.optional)
        self.leave.setToolTip(_LEAVE_TOUR if self._guide.active else _LEAVE_IMAGE)
        self.button.setVisible(step.action != "stop")  # the progress bar and the Train section have a Stop button
        if step != self.step:
            self.step = step
            self.step_changed.emit(step)

    def _find_step(self) -> NextStep:
        """Return the step of the tour, or else the one that advances the project most."""
        with show_errors():
            if (step := self._guide.step()) is not None:
                return step
        return next_step(self._session)

    def _fill_menu(self) -> None:
        self.menu.clear()
        self.menu.addAction("New project…", self.ask_for_new)
        self.menu.addAction("Open…", self.ask_for_project)
        recent = self.menu.addMenu("Recent")
        if recent is not None:
            for folder in recent_projects():
                recent.addAction(menu_text(str(folder)), partial(self.open, folder))
            recent.setEnabled(not recent.isEmpty())
        show = self.menu.addAction("Show folder", self._show_folder)
        if show is not None:
            show.setEnabled(self._session.project is not None)
        clean = self.menu.addAction("Clean up project…", self._clean_up)
        if clean is not None:
            clean.setEnabled(self._session.project is not None)
            clean.setToolTip("Show how much disk the project takes, and delete what it can do without.")
        self.menu.addSeparator()
        self.menu.addAction("Messages", self.show_messages)
        self.menu.addAction("Keys", self.show_keys)
        if self.qupath is not None:
            toggle = self.menu.addAction("QuPath keys")
            if toggle is not None:
                toggle.setCheckable(True)
                toggle.setChecked(self.qupath.on)
                toggle.toggled.connect(self.qupath.set_on)
                keys = ", ".join(f"{key.key} {key.help.lower()}" for key in QUPATH_KEYS)
                toggle.setToolTip(f"{keys}, instead of napari's keys.")

    def show_messages(self) -> None:
        """List the messages since napari was started."""
        show_messages(self)

    def _press(self) -> None:
        self.step_pressed.emit(self.step)

    def _leave(self) -> None:
        with show_errors():
            if self._guide.active:
                self._guide.leave()
            else:
                self._session.open_images.leave(self._session.open_images.offered)
        self._show_step()

    def _show_folder(self) -> None:
        if self._session.project is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._session.project.folder)))

    def _clean_up(self) -> None:
        with show_errors():
            open_project_cleanup(self._session, self)

    def _start_folder(self) -> Path:
        """Return the folder that dialogs start in."""
        project = self._session.project
        return Path.home() if project is None else project.folder.parent
