"""The dock: a session, its worker, and the sections a pathologist goes through from top to bottom."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QFrame, QMainWindow, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_pathseg.masks import Mask
from napari_pathseg.ui.panels.annotate.annotate import AnnotatePanel
from napari_pathseg.ui.panels.annotate.operation_progress import OperationProgressBar
from napari_pathseg.ui.panels.export import ExportPanel
from napari_pathseg.ui.panels.header import Header
from napari_pathseg.ui.panels.job_progress import JobProgressBar
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.panels.slides.slides import SlidesPanel
from napari_pathseg.ui.panels.train.train import TrainPanel
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.idle_processor import IdleProcessor
from napari_pathseg.ui.session.next_step import NextStep
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts.actions import key_actions
from napari_pathseg.ui.shortcuts.keymap import bind_keys, unbind_keys
from napari_pathseg.ui.shortcuts.qupath import QuPathKeys
from napari_pathseg.ui.widgets.notifications import notify
from napari_pathseg.ui.widgets.progress_dialog import settle
from napari_pathseg.ui.widgets.section import Section
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING
from napari_pathseg.ui.worker_process import WorkerProcess

_WIDTH, _MIN_WIDTH = 400, 360
_ALWAYS_OPEN = "slides"
_UNFOLD_MS = 300  # until what unfolds, curves too, has its size


class PathsegDock(QWidget):
    """The window's panel of napari-pathseg.

    It makes the session and the worker, and closes both when it is closed, or the window is.
    """

    _window: QWidget | None = None  # here and not below: Qt sends events before and after a widget's life
    _open = _closing = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.worker = WorkerProcess()
        self.session = Session(napari_viewer, self.worker)
        self._viewer = napari_viewer
        self._open = True
        self._follows, self._reached = True, ("", "")
        self.session.message.connect(notify)
        self.header = Header(self.session)
        self.slides = SlidesPanel(self.session)
        self.annotate = AnnotatePanel(self.session)
        self.train = TrainPanel(self.session)
        self.review = ReviewPanel(self.session)
        self.export = ExportPanel(self.session)
        self.job_progress = JobProgressBar(self.session)
        self.sections = {
            "slides": Section("1  Slides", self.slides),
            "outline": Section("2  Outline", self.annotate),
            "train": Section("3  Train", self.train),
            "review": Section("4  Review", self.review),
            "export": Section("5  Export", self.export),
        }
        idle_timer = QTimer(self)
        idle_timer.setInterval(0)  # after all other events
        self._idle_processor = IdleProcessor(self.session.workspace, idle_timer)
        idle_timer.timeout.connect(self._idle_processor.process)
        self.operation_progress = OperationProgressBar(self.session, self._idle_processor)
        self.session.editor.run_pending = partial(settle, parent=self)
        self._lay_out()
        self._connect()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size it likes."""
        return QSize(_WIDTH, 700)

    def shutdown(self, *, clear: bool = True) -> None:
        """Save and end the worker; `clear` takes the layers out of the viewer too."""
        if not self._open:
            return
        self._open = False
        if self._window is not None:
            self._window.removeEventFilter(self)
            self._window = None
        if clear:
            unbind_keys(self._viewer)
        self.session.editor.run_pending = Mask.apply_pending  # no dialog while the window goes
        try:
            self.session.close(clear=clear)
        finally:
            self.worker.close()

    # -- dropping files

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Take files."""
        mime = None if event is None else event.mimeData()
        if event is not None and mime is not None and mime.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Bring slides, contours or a project in."""
        mime = None if event is None else event.mimeData()
        if event is None or mime is None:
            return
        event.acceptProposedAction()
        self.slides.file_drop.add_files([Path(url.toLocalFile()) for url in mime.urls() if url.isLocalFile()])

    # -- the end

    def event(self, event: QEvent | None) -> bool:
        """Notice being put into a window, and being taken out of it for good."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is None and self._window is not None:
                self.shutdown()
            elif self._window is None:
                QTimer.singleShot(0, self._watch_window)  # napari first wraps it, then docks it
        elif event is not None and event.type() == QEvent.Type.Show:
            self._watch_window()
        return super().event(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Save when the window is about to go."""
        if event is not None and watched is self._window and self._is_end(event):
            self.shutdown(clear=False)
        return super().eventFilter(watched, event)

    def _is_end(self, event: QEvent) -> bool:
        """Return whether the window goes now; what a person closes may still be kept, in napari's dialog."""
        if event.type() == QEvent.Type.Close:
            self._closing = True
            return not event.spontaneous()
        return event.type() == QEvent.Type.DeferredDelete or (self._closing and event.type() == QEvent.Type.Hide)

    def _watch_window(self) -> None:
        window = self.window()
        if self._window is None and isinstance(window, QMainWindow):
            self._window = window
            window.installEventFilter(self)

    # -- how it is made

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
        self.header.step_changed.connect(self._follow)
        self.header.step_pressed.connect(self._do)
        for section in self.sections.values():
            section.folded_by_hand.connect(self._stop_following)
        self.session.project_changed.connect(self._note)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._quit)
        actions = key_actions(self.slides, self.annotate, self.review)
        bind_keys(self._viewer, actions, self.review.hide_mask)
        self.header.qupath = QuPathKeys(self._viewer, actions)
        self._note()
        self._follow(self.header.step)

    def _quit(self) -> None:
        self.shutdown(clear=False)

    # -- the next step

    def _do(self, step: NextStep) -> None:
        """Do what the next step says."""
        steps: dict[str, Callable[[], None]] = {
            "add": self.slides.ask_for_slides,
            "show": lambda: self.slides.show_slide(step.slide),
            "brush": lambda: self._take_brush(2),
            "brush_background": lambda: self._take_brush(1),
            "train": self.train.train_or_stop,
            "accept": self.review.accept_view,
            "predict_all": self.review.predict_everything,
            "export": self.export.ask_for_folder,
        }
        steps[step.action]()

    def _take_brush(self, index: int) -> None:
        self.annotate.classes.select(index)
        self.annotate.choose("brush")

    def _follow(self, step: NextStep) -> None:
        """Open the section that matters now, until the user folds by hand; what draws stays within reach."""
        if not self._follows:
            return
        wanted = {step.section, _ALWAYS_OPEN, *(["outline"] if self.annotate.drawing else [])}
        for name, section in self.sections.items():
            section.set_open(name in wanted)
        if (step.section, step.action) != self._reached:
            self._reached = step.section, step.action
            QTimer.singleShot(_UNFOLD_MS, self._reach)

    def _reach(self) -> None:
        self.area.ensureWidgetVisible(self.sections[self._reached[0]], 0, 0)

    def _stop_following(self) -> None:
        self._follows = False

    def _note(self) -> None:
        project = self.session.project
        number = 0 if project is None else len(project.slides)
        models = 0 if project is None else len(project.model_ids())
        self.sections["slides"].set_note(str(number) if number else "")
        self.sections["review"].set_note(plural(models, "model") if models else "")
