"""The dock widget: creates the session and its worker, and lays out the sections from top to bottom."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from napari.layers import Labels
from napari.viewer import Viewer
from qtpy.QtCore import QEvent, QObject, QPoint, QSize, Qt, QTimer
from qtpy.QtGui import (  # type: ignore[attr-defined]
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
    QMouseEvent,
    QResizeEvent,
    QShortcut,
)
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QMainWindow,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import qdebounced, qthrottled

from napari_pathseg.ui.live_timers import LiveTimers
from napari_pathseg.ui.panels.annotate.annotate import AnnotatePanel
from napari_pathseg.ui.panels.doctor import DoctorDialog
from napari_pathseg.ui.panels.export import ExportPanel
from napari_pathseg.ui.panels.header import Header
from napari_pathseg.ui.panels.help import KEY as HELP_KEY
from napari_pathseg.ui.panels.help import HelpButton
from napari_pathseg.ui.panels.progress import (
    BackgroundProgressBar,
    JobProgressBar,
    LiveFillBar,
    OperationProgressBar,
    ProgressArea,
)
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.panels.slides.slides import SlidesPanel
from napari_pathseg.ui.panels.train.train import TrainPanel
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.guide import STEPS, Guide
from napari_pathseg.ui.session.idle_processor import IdleProcessor
from napari_pathseg.ui.session.next_step import NextStep, next_step
from napari_pathseg.ui.session.queries import unreviewed
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import (
    CLASS_KEYS,
    PLACE_KEYS,
    REVIEW_KEYS,
    UNDO_KEYS,
    LayerKeys,
    QuPathKeys,
    bind_keys,
    unbind_keys,
)
from napari_pathseg.ui.tools.registry import TOOLS
from napari_pathseg.ui.tour import starting_tour
from napari_pathseg.ui.widgets.notifications import close_messages, notify, show_errors
from napari_pathseg.ui.widgets.panel_guard import PanelGuard
from napari_pathseg.ui.widgets.section import CollapsibleSection
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING
from napari_pathseg.ui.window_layout import WindowLayout
from napari_pathseg.ui.worker_process import WorkerProcess

_WIDTH, _MIN_WIDTH = 360, 360
_ALWAYS_OPEN = "slides"
_CANVAS_CLASS = "CanvasBackend"  # how vispy's widgets are called; napari keeps its canvas private
_VIEW_MS = 100  # between two views that the live model is asked for
_SETTLE_MS = 300  # after the last move of the camera
_LAYOUT_MS = 300  # until an opened section, curves included, has its final size


class PathsegDock(QWidget):
    """The plugin's dock widget in the napari window; it closes the session and the worker with the window."""

    _window: QWidget | None = None  # class attributes: Qt sends events before and after a widget's life
    _open = _closing = _closes_later = False

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.worker = WorkerProcess()
        self.session = Session(napari_viewer, self.worker)
        self._viewer = napari_viewer
        self._open = True
        self._scroll_target, self._last_opened = _ALWAYS_OPEN, ""
        self._folder: Path | None = None  # of the project whose sections were opened
        self.session.message.connect(notify)
        self.window_layout = WindowLayout(self)
        self.guide = Guide(self.session)
        self.help = self._make_help()
        buttons = (self.window_layout.fold, self.window_layout.canvas_only, self.help)
        self.header = Header(self.session, self.guide, buttons)
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
        self.live_progress = LiveFillBar(self.session)
        self.background_progress = BackgroundProgressBar(self.session)
        self._lay_out()
        self.guard = PanelGuard(self, self._canvas)
        self.slides.list.canvas = self._canvas
        self.guard.adopt()
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
        self.background_progress.finish()
        try:
            self.session.close(clear=clear)
        finally:
            self.worker.close()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Give the list of slides its share of the height."""
        super().resizeEvent(event)
        self.slides.set_panel_height(self.height())

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Give the keys to the canvas after a click on nothing in particular."""
        self.guard.release()
        super().mousePressEvent(event)

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
        """Save when the window is about to close; let it close only after a long operation."""
        if event is None or watched is not self._window:
            return super().eventFilter(watched, event)
        if event.type() == QEvent.Type.Close and self._can_wait and not self.session.editor.finishes_soon():
            event.ignore()
            self._close_later()
            return True
        if self._is_closing(event):
            self.shutdown(clear=False)
        return super().eventFilter(watched, event)

    def _is_closing(self, event: QEvent) -> bool:
        """Return whether the window is really closing; after a click on its close button napari may still ask."""
        if event.type() == QEvent.Type.Close:
            self._closing = True
            return not event.spontaneous()
        return event.type() == QEvent.Type.DeferredDelete or (self._closing and event.type() == QEvent.Type.Hide)

    @property
    def _can_wait(self) -> bool:
        """Whether the window can stay for a while; napari's canvas is hidden if a program closes the viewer."""
        canvas = self._canvas()
        return self._open and canvas is not None and canvas.isVisible()

    def _close_later(self) -> None:
        if not self._closes_later:
            self.session.message.emit(
                f"The window closes as soon as {self.session.editor.running} has ended.", "", "info"
            )
        self._closes_later = True

    def _close_window(self) -> None:
        """Close the window if that was asked for while an operation ran."""
        if self._closes_later and not self.session.editor.running:
            self._closes_later = False
            if self._window is not None:
                QTimer.singleShot(0, self._window.close)

    def _watch_window(self) -> None:
        window = self.window()
        if self._window is None and isinstance(window, QMainWindow):
            self._window = window
            window.installEventFilter(self)

    # -- construction

    def _make_help(self) -> HelpButton:
        def tour() -> str:
            return f"Go on with the tour ({self.guide.number} of {STEPS})" if self.guide.paused else "Tour"

        entries: list[tuple[Callable[[], str], Callable[[], None]]] = [
            (tour, self.start_tour),
            (lambda: "Keys", lambda: self.header.show_keys()),
            (lambda: "Messages", lambda: self.header.show_messages()),
            (lambda: "Doctor", self.show_doctor),
        ]
        shortcut = QShortcut(QKeySequence(HELP_KEY), self)
        help = HelpButton(lambda: self._section_in_use, entries)
        shortcut.activated.connect(help.show_help)
        return help

    def show_doctor(self) -> None:
        """Check the installation, and the disk of the project."""
        folder = Path.home() if self.session.project is None else self.session.project.folder
        dialog = self.findChild(DoctorDialog) or DoctorDialog(folder, self)
        dialog.show()
        dialog.raise_()

    def start_tour(self) -> None:
        """Begin the tour, or go on with it; its sample slides are another project."""
        self.session.background.start(
            starting_tour(self.session, self.guide), self._on_tour, lambda error: notify(str(error), kind="error")
        )

    def _on_tour(self, _: None) -> None:
        self.open_section(self.header.step.section)

    @property
    def _section_in_use(self) -> str:
        """The section that has the keys, or else was opened last."""
        focused = QApplication.focusWidget()
        for name, section in self.sections.items():
            if focused is not None and section.isAncestorOf(focused):
                return name
        is_open = self._last_opened in self.sections and self.sections[self._last_opened].is_open
        return self._last_opened if is_open else ""

    def _note_opened(self, name: str, is_open: bool) -> None:
        if is_open:
            self._last_opened = name

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
        self.area.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # one that comes and goes moves all
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(HALF_SPACING, HALF_SPACING, HALF_SPACING, HALF_SPACING)
        layout.setSpacing(SPACING)
        layout.addWidget(self.header)
        layout.addWidget(self.area, 1)
        others = (
            self.live_progress,
            self.operation_progress,
            self.background_progress,
        )  # an import lies above an operation
        layout.addWidget(ProgressArea(self.job_progress, others))
        self.setMinimumWidth(_MIN_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.header.step_pressed.connect(self._do_step)
        self.slides.tour.clicked.connect(self.start_tour)
        for name, section in self.sections.items():
            section.toggled_by_user.connect(self.guard.adopt)
            section.opened.connect(partial(self._note_opened, name))
        self.session.project_changed.connect(self._show_counts)
        self.session.project_changed.connect(self._on_project)
        self.session.slide_changed.connect(self.guard.focus_canvas)
        self._idle_processor.progressed.connect(self._close_window)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._quit)
        actions = self._actions()
        bind_keys(self._viewer, actions, self.review.hide_overlays)
        self.header.qupath = QuPathKeys(self._viewer, actions)
        self.review.places.keys = LayerKeys(self._viewer, PLACE_KEYS, actions)
        self._undo_keys = LayerKeys(self._viewer, UNDO_KEYS, actions, Labels)
        self._undo_keys.set_on(True)
        self._review_keys = LayerKeys(self._viewer, REVIEW_KEYS, actions)
        self.sections["review"].opened.connect(self._review_keys.set_on)
        self.sections["review"].opened.connect(self.session.places.set_watched)
        self.review.confusion.chosen.connect(self._show_places)
        self._follow_view = qdebounced(self._settle, timeout=_SETTLE_MS, parent=self)
        self._answer_view = qthrottled(self.session.live.follow_view, timeout=_VIEW_MS, leading=False, parent=self)
        self._live_timers = LiveTimers(self.session.live, self)
        self.session.live.follow()
        camera = self._viewer.scene.camera
        for signal in (camera.events.center, camera.events.zoom, self.session.slide_changed):
            signal.connect(self._on_view)
        self._show_counts()
        self._open_first_sections()

    def _actions(self) -> dict[str, Callable[[], None]]:
        """Return the actions of the keyboard shortcuts, by name."""
        actions: dict[str, Callable[[], None]] = {
            "next_slide": partial(self.slides.step, 1),
            "previous_slide": partial(self.slides.step, -1),
            "undo": self.annotate.undo_step,
            "redo": self.annotate.redo_step,
            "keep_to_edge": self.annotate.options.toggle_keep_to_edge,
            "clean": self.annotate.clean_up.click,
            "select": self.annotate.select.click,
            "complete_box": self.annotate.complete_box.click,
            "accept": self.review.accept_view,
            "reject": self.review.reject_view,
            "next_place": partial(self.review.places.step, 1),
            "previous_place": partial(self.review.places.step, -1),
            "accept_place": self.review.places.accept_place,
            "none_in_place": self.review.places.none_in_place,
            "skip_place": self.review.places.skip_place,
            "only_contour": self.review.only_contour.click,
            "flicker": self.review.versions.flicker,
            "live_overlay": self.session.live.toggle_overlay,
            "canvas_only": self.window_layout.toggle_canvas_only,
        }
        actions |= {tool.name: partial(self.annotate.choose, tool.name) for tool in TOOLS}
        numbers = range(1, CLASS_KEYS + 1)
        return actions | {f"class_{number}": partial(self.annotate.classes.select_place, number) for number in numbers}

    def _on_view(self) -> None:
        self._answer_view.throttle()
        self._follow_view()

    def _settle(self) -> None:
        """Follow the view once it rests: by now napari has drawn it, and knows where it is."""
        self.session.training.follow_view()
        self.session.live.follow_view()
        self.session.prediction_view.follow_view()
        self.session.confident.follow_view()

    def _quit(self) -> None:
        self.shutdown(clear=False)

    # -- the next step

    def _do_step(self, step: NextStep) -> None:
        """Do the next step."""
        steps: dict[str, Callable[[], None]] = {
            "add": self.slides.ask_for_slides,
            "adopt": self.slides.file_drop.add_open_images,
            "uncover": self.session.open_images.uncover,
            "show": lambda: self.slides.show_slide(step.slide),
            "brush": lambda: self._choose_brush(step.label),
            "train": self.train.train_or_stop,
            "dismiss_part": self.session.held_out.dismiss,
            "learn_from": lambda: self._learn_from(step.slide),
            "accept": self.review.accept_view,
            "next_place": partial(self.review.places.step, 1),
            "find_or_go": self._find_or_go,
            "show_prediction": self._show_prediction,
            "toggle_live": self.session.live.toggle_overlay,
            "leave_tour": self.header.leave.click,
            "accept_place": self.review.places.accept_place,
            "predict_all": self.review.predict_everything,
            "export": self.export.ask_for_folder,
        }
        if step.action not in ("dismiss_part", "leave_tour"):
            self.open_section(step.section)
        steps[step.action]()

    def _find_or_go(self) -> None:
        """Go to the next place, or look for places if none is offered."""
        if self.session.places.left:
            self.review.places.step(1)
        elif not self.session.places.search.running:
            self.review.places.search.click()

    def _show_prediction(self) -> None:
        """Predict the view, unless the model has filled some of it."""
        if self.session.slide is not None and not unreviewed(self.session, self.session.slide.id):
            self.review.predict_view.click()

    def _learn_from(self, slide: str) -> None:
        with show_errors():
            self.session.held_out.learn_from(slide)

    def _choose_brush(self, index: int) -> None:
        self.annotate.classes.select(index)
        self.annotate.choose("brush")

    def open_section(self, name: str) -> None:
        """Open the section of a step that the user asked for, and bring it into view; no other one is folded."""
        self.sections[name].set_open(True)
        self.guard.adopt()
        self._scroll_target = name
        QTimer.singleShot(_LAYOUT_MS, self._scroll_to_target)

    def _open_first_sections(self) -> None:
        """Open the list of slides and the section that matters first; afterwards only the user opens and folds."""
        step = next_step(self.session)
        wanted = {_ALWAYS_OPEN, "outline" if step.section == _ALWAYS_OPEN else step.section}
        for name, section in self.sections.items():
            section.set_open(name in wanted)
        self.guard.adopt()

    def _on_project(self) -> None:
        """Open the first sections of another project, and close the messages of the last one."""
        folder = None if self.session.project is None else self.session.project.folder
        if folder != self._folder:
            if self._folder is not None:
                close_messages()
            if folder is not None:
                self._open_first_sections()
            self._folder = folder

    def _scroll_to_target(self) -> None:
        section, bar, inside = self.sections[self._scroll_target], self.area.verticalScrollBar(), self.area.widget()
        self.area.ensureWidgetVisible(section, 0, 0)
        if bar is not None and inside is not None:  # of a section that is too high, its beginning
            bar.setValue(min(bar.value(), section.mapTo(inside, QPoint(0, 0)).y()))

    def _show_places(self) -> None:
        """Scroll to the places that a cell of the confusion matrix has opened, whose keys are the canvas's."""
        self.area.ensureWidgetVisible(self.review.places, 0, 0)
        self.guard.focus_canvas()

    def _canvas(self) -> QWidget | None:
        """Return the widget of napari's canvas, which receives the keys."""
        window = self.window()
        central = window.centralWidget() if isinstance(window, QMainWindow) else None
        widgets = [] if central is None else central.findChildren(QWidget)
        return next((widget for widget in widgets if type(widget).__name__.startswith(_CANVAS_CLASS)), None)

    def _show_counts(self) -> None:
        project = self.session.project
        number = 0 if project is None else len(project.slides)
        models = 0 if project is None else len(project.model_ids())
        self.sections["slides"].set_note(str(number) if number else "")
        self.sections["review"].set_note(plural(models, "model") if models else "")
