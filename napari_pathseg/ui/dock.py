"""The dock widget: creates the session and its worker, and lays out the sections from top to bottom."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFrame, QMainWindow, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_pathseg.masks import Mask
from napari_pathseg.ui.panels.annotate.annotate import AnnotatePanel
from napari_pathseg.ui.panels.export import ExportPanel
from napari_pathseg.ui.panels.header import Header
from napari_pathseg.ui.panels.progress import JobProgressBar, OperationProgressBar
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.panels.slides.slides import SlidesPanel
from napari_pathseg.ui.panels.train.train import TrainPanel
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.idle_processor import IdleProcessor
from napari_pathseg.ui.session.next_step import NextStep
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import CLASS_KEYS, QuPathKeys, bind_keys, unbind_keys
from napari_pathseg.ui.tools.registry import TOOLS
from napari_pathseg.ui.widgets.notifications import notify
from napari_pathseg.ui.widgets.progress_dialog import apply_with_progress
from napari_pathseg.ui.widgets.section import CollapsibleSection
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING
from napari_pathseg.ui.worker_process import WorkerProcess

_WIDTH, _MIN_WIDTH = 400, 360
_ALWAYS_OPEN = "slides"
_LAYOUT_MS = 300  # until an opened section, curves included, has its final size


class PathsegDock(QWidget):
    """The plugin's dock widget in the napari window; it closes the session and the worker with the window."""

    _window: QWidget | None = None  # class attributes: Qt sends events before and after a widget's life
    _open = _closing = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.worker = WorkerProcess()
        self.session = Session(napari_viewer, self.worker)
        self._viewer = napari_viewer
        self._open = True
        self._opens_sections, self._last_step = True, ("", "")
        self.session.message.connect(notify)
        self.header = Header(self.session)
        self.slides = SlidesPanel(self.session)
        self.annotate = AnnotatePanel(self.session)
        self.train = TrainPanel(self.session)
        self.review = ReviewPanel(self.session)
        self.export = ExportPanel(self.session)
        self.job_progress = JobProgressBar(self.session)
        self.sections = {
            "slides": CollapsibleSection("1  Slides", self.slides),
            "outline": CollapsibleSection("2  Outline", self.annotate),
            "train": CollapsibleSection("3  Train", self.train),
            "review": CollapsibleSection("4  Review", self.review),
            "export": CollapsibleSection("5  Export", self.export),
        }
        idle_timer = QTimer(self)
        idle_timer.setInterval(0)  # after all other events
        self._idle_processor = IdleProcessor(self.session.workspace, idle_timer)
        idle_timer.timeout.connect(self._idle_processor.process)
        self.operation_progress = OperationProgressBar(self.session, self._idle_processor)
        self.session.editor.run_pending = partial(apply_with_progress, parent=self)
        self._lay_out()
        self._connect()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size."""
        return QSize(_WIDTH, 700)

    def shutdown(self, *, clear: bool = True) -> None:
        """Save, close the session and stop the worker; `clear` also removes the layers from the viewer."""
        if not self._open:
            return
        self._open = False
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None
        if clear:
            unbind_keys(self._viewer)
        self.session.editor.run_pending = Mask.apply_pending  # no dialog while the window closes
        try:
            self.session.close(clear=clear)
        finally:
            self.worker.close()

    # -- dropping files

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Accept files."""
        mime = None if event is None else event.mimeData()
        if event is not None and mime is not None and mime.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Add the dropped slides, contours or project."""
        mime = None if event is None else event.mimeData()
        if event is None or mime is None:
            return
        event.acceptProposedAction()
        self.slides.file_drop.add_files([Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()])

    # -- closing

    def event(self, event: QEvent | None) -> bool:
        """Detect when the dock is added to a window or removed from it."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None and self._window is not None:
                self.shutdown()
            elif self._window is None:
                QTimer.singleShot(0, self._watch_window)  # napari wraps the widget first and docks it afterwards
        elif event is not None and event.type() == QEvent.Type.Show:
            self._watch_window()
        return super().event(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Save when the window is about to close."""
        if event is not None and watched is self._window and self._is_closing(event):
            self.shutdown(clear=False)
        return super().eventFilter(watched, event)

    def _is_closing(self, event: QEvent) -> bool:
        """Return whether the window is really closing; after a click on its close button napari may still ask."""
        if event.type() == QEvent.Type.Close:
            self._closing = True
            return not event.spontaneous()
        return event.type() == QEvent.Type.DeferredDelete or (self._closing and event.type() == QEvent.Type.Hide)

    def _watch_window(self) -> None:
        window = self.window()
        if self._window is None and isinstance(window, QMainWindow):
            self._window = window
            window.installEventFilter(self)

    # -- construction

    def _lay_out(self) -> None:
        inside = QWidget()
        sections = QVBoxLayout(inside)
        sections.setContentsMargins(0, 0, HALF_SPACING, 0)
        sections.setSpacing(HALF_SPACING)
        for section in self.sections.values():
            sections.addWidget(section)
        sections.addStretch(1)
        self.area = QScrollArea()
        self.area.setWidget(inside)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(HALF_SPACING, HALF_SPACING, HALF_SPACING, HALF_SPACING)
        layout.setSpacing(SPACING)
        layout.addWidget(self.header)
        layout.addWidget(self.area, 1)
        layout.addWidget(self.operation_progress)
        layout.addWidget(self.job_progress)
        self.setMinimumWidth(_MIN_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.header.step_changed.connect(self._open_section)
        self.header.step_pressed.connect(self._do_step)
        for section in self.sections.values():
            section.toggled_by_user.connect(self._stop_opening_sections)
        self.session.project_changed.connect(self._show_counts)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._quit)
        actions = self._actions()
        bind_keys(self._viewer, actions, self.review.hide_mask)
        self.header.qupath = QuPathKeys(self._viewer, actions)
        self._show_counts()
        self._open_section(self.header.step)

    def _actions(self) -> dict[str, Callable[[], None]]:
        """Return the actions of the keyboard shortcuts, by name."""
        actions: dict[str, Callable[[], None]] = {
            "next_slide": partial(self.slides.step, 1),
            "previous_slide": partial(self.slides.step, -1),
            "undo": self.annotate.undo_step,
            "redo": self.annotate.redo_step,
            "clean": self.annotate.clean_up.click,
            "select": self.annotate.select.click,
            "complete_box": self.annotate.complete_box.click,
            "accept": self.review.accept_view,
            "reject": self.review.reject_view,
        }
        actions |= {tool.name: partial(self.annotate.choose, tool.name) for tool in TOOLS}
        numbers = range(1, CLASS_KEYS + 1)
        return actions | {f"class_{number}": partial(self.annotate.classes.select, number) for number in numbers}

    def _quit(self) -> None:
        self.shutdown(clear=False)

    # -- the next step

    def _do_step(self, step: NextStep) -> None:
        """Do the next step."""
        steps: dict[str, Callable[[], None]] = {
            "add": self.slides.ask_for_slides,
            "show": lambda: self.slides.show_slide(step.slide),
            "brush": lambda: self._choose_brush(2),
            "brush_background": lambda: self._choose_brush(1),
            "train": self.train.train_or_stop,
            "accept": self.review.accept_view,
            "predict_all": self.review.predict_everything,
            "export": self.export.ask_for_folder,
        }
        steps[step.action]()

    def _choose_brush(self, index: int) -> None:
        self.annotate.classes.select(index)
        self.annotate.choose("brush")

    def _open_section(self, step: NextStep) -> None:
        """Open the section of the next step, until the user folds one; the tools stay open while one is active."""
        if not self._opens_sections:
            return
        wanted = {step.section, _ALWAYS_OPEN, *(["outline"] if self.annotate.drawing else [])}
        for name, section in self.sections.items():
            section.set_open(name in wanted)
        if (step.section, step.action) != self._last_step:
            self._last_step = step.section, step.action
            QTimer.singleShot(_LAYOUT_MS, self._scroll_to_section)

    def _scroll_to_section(self) -> None:
        self.area.ensureWidgetVisible(self.sections[self._last_step[0]], 0, 0)

    def _stop_opening_sections(self) -> None:
        self._opens_sections = False

    def _show_counts(self) -> None:
        project = self.session.project
        number = 0 if project is None else len(project.slides)
        models = 0 if project is None else len(project.model_ids())
        self.sections["slides"].set_note(str(number) if number else "")
        self.sections["review"].set_note(plural(models, "model") if models else "")
