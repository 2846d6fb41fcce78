"""Progress at the bottom of the dock: of a job, of files that are imported, and of a long operation on the mask."""

from collections.abc import Sequence

from psygnal import Signal
from qtpy.QtCore import QElapsedTimer, QTimer
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import QGridLayout, QProgressBar, QPushButton, QWidget
from superqt.utils import qdebounced, qthrottled

from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.ui.session.formatting import format_duration, format_job
from napari_pathseg.ui.session.idle_processor import IdleProcessor
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import HALF_SPACING

_SHOW_AFTER_MS = 400  # of an operation on the mask; most are over by then
_HIDE_AFTER_MS = 4000  # the end of a job
_STEPS = 1000
_POLL_MS = 50  # between two looks at the thread that imports


class _ProgressRow(QWidget):
    """A text and a button above a bar; hidden while there is nothing to show.

    The button is at the outer edge, `left` or right, where it stays whatever is shown beside.
    """

    toggled = Signal()  # shown or hidden

    def __init__(self, button: QPushButton, parent: QWidget | None, *, left: bool = False) -> None:
        super().__init__(parent)
        self.text = PlainLabel()
        FixedLines(self.text)
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        column(self, row(button, self.text) if left else row(self.text, button), self.bar).setSpacing(HALF_SPACING)
        for widget in (self, button):  # what is above must not move when they come and go
            policy = widget.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            widget.setSizePolicy(policy)
        self.hide()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Tell that it is shown."""
        super().showEvent(event)
        self.toggled.emit()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Tell that it is hidden."""
        super().hideEvent(event)
        self.toggled.emit()

    def show_progress(self, text: str, fraction: float) -> None:
        """Show a text and how much is done, 0 to 1."""
        self.text.setText(text)
        self.bar.setValue(round(_STEPS * fraction))


class JobProgressBar(_ProgressRow):
    """The training, prediction or other job that runs, the time left, and Stop."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        self._session = session
        self.stop = push_button("Stop", "End it and keep what it has reached.")
        super().__init__(self.stop, parent, left=True)
        set_icon(self.stop, "stop")
        self._hide_later = qdebounced(self.hide, timeout=_HIDE_AFTER_MS, parent=self)
        self._refresh_later = qthrottled(self._refresh, timeout=100, leading=False, parent=self)
        self._ended = False
        self.stop.clicked.connect(self._stop)
        session.training.run_changed.connect(self._refresh_later.throttle)

    def _stop(self) -> None:
        self._session.training.stop()

    def _refresh(self) -> None:
        run = self._session.training.run
        if run is None:  # its project was closed
            self.hide()
            return
        self.show_progress(format_job(run), run.fraction)
        self.stop.setVisible(run.active)
        self.stop.setEnabled(not run.stopping)
        if run.active:
            self._ended = False
            self._hide_later.cancel()
            self.show()
        elif self.isVisible() and not self._ended:
            self._ended = True
            self._hide_later.throttle()


class LiveFillBar(_ProgressRow):
    """How much of the slide the live model has filled, and Cancel."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        self._live = session.live
        self.cancel = push_button("Cancel", "Stop filling; what is filled stays.")
        super().__init__(self.cancel, parent)
        self._since = QElapsedTimer()
        self.cancel.clicked.connect(self._live.cancel_fill)
        self._live.changed.connect(self._refresh)

    def _refresh(self) -> None:
        fill = self._live.filling
        if fill is None:
            self._since.invalidate()
            self.hide()
            return
        if not self._since.isValid():
            self._since.start()
        if fill.whole or self._since.elapsed() > _SHOW_AFTER_MS:
            self.show_progress(f"Filling · {100 * fill.share:.0f} %", fill.share)
            self.show()


class BackgroundProgressBar(_ProgressRow):
    """The files that are added or imported in the background, the time left, and Stop; nothing else waits for it."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        self._jobs = session.background
        self.stop = push_button("Stop", "End after this file; what is finished stays.")
        super().__init__(self.stop, parent)
        set_icon(self.stop, "stop")
        self.setAutoFillBackground(True)
        self._since = QElapsedTimer()
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._jobs.poll)
        self.stop.clicked.connect(self._jobs.cancel)
        self._jobs.changed.connect(self.refresh)

    def refresh(self) -> None:
        """Show what runs, or nothing; poll as long as something runs."""
        if not self._jobs.active:
            self._timer.stop()
            self._since.invalidate()
            self.hide()
            return
        self._timer.start()
        if not self._since.isValid():
            self._since.start()
        if self._since.elapsed() > _SHOW_AFTER_MS:
            fraction, left = self._jobs.fraction, self._jobs.seconds_left
            self.bar.setRange(0, _STEPS if fraction >= 0 else 0)
            remaining = "" if left is None else f"{format_duration(left)} left · "
            self.show_progress(f"{remaining}{self._jobs.title}", max(0.0, fraction))
            self.stop.setEnabled(not self._jobs.cancelling)
            self.show()
            self.raise_()

    def finish(self) -> None:
        """Stop listening: the window closes."""
        self._timer.stop()
        self._jobs.changed.disconnect(self.refresh)


class OperationProgressBar(_ProgressRow):
    """The operation on the mask in view, and Cancel if it can be cancelled; the slide can be edited meanwhile."""

    def __init__(self, session: Session, processor: IdleProcessor, parent: QWidget | None = None) -> None:
        self._session = session
        self.cancel = push_button("Cancel", "Stop it and undo what it has changed so far.")
        super().__init__(self.cancel, parent)
        self._operation: MaskOperation | None = None
        self._most_chunks = 0  # that waited to be painted
        self._since = QElapsedTimer()
        self.cancel.clicked.connect(self._cancel)
        self._refresh_later = qthrottled(self.refresh, timeout=100, leading=False, parent=self)
        processor.progressed.connect(self._refresh_later.throttle)
        session.slide_changed.connect(self.refresh)

    def refresh(self) -> None:
        """Show the operation that runs, or nothing."""
        mask = self._session.mask
        operation = None if mask is None else mask.operations.running
        chunks = 0 if mask is None else mask.stroke_queue.pending_chunks
        if operation is not self._operation or (operation is None and not self._most_chunks):
            self._since.start()
        self._operation, self._most_chunks = operation, max(chunks, self._most_chunks) if chunks else 0
        if mask is None or (operation is None and not chunks):
            self.hide()
        elif self._since.elapsed() > _SHOW_AFTER_MS:
            painting = "Painting", 1 - chunks / max(1, self._most_chunks)
            name, fraction = painting if operation is None else (operation.name, mask.operations.fraction_done)
            self.show_progress(f"{name} · {fraction:.0%}", fraction)
            self.cancel.setVisible(operation is not None and operation.can_be_cancelled)
            self.show()

    def _cancel(self) -> None:
        mask = self._session.mask
        if mask is not None and mask.operations.running is self._operation:  # not one that began just now
            with show_errors():
                mask.cancel()
            self.refresh()


class ProgressArea(QWidget):
    """The place of all progress: a job at the left and what else runs at the right, each as wide as the other allows.

    All keep their height and their buttons, so that nothing moves when one of them comes or goes.
    """

    def __init__(self, job: _ProgressRow, others: Sequence[_ProgressRow], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._job, self._others = job, others
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setColumnStretch(0, 1)
        self._grid.setColumnStretch(1, 1)
        for part in (job, *others):
            part.toggled.connect(self._share)
        self._share()

    def _share(self) -> None:
        """Give each part half of the width, or all of it where it is alone."""
        job, other = not self._job.isHidden(), any(not part.isHidden() for part in self._others)
        self._place(self._job, 0, 1 if other else 2)
        for part in self._others:
            self._place(part, 1 if job else 0, 1 if job else 2)

    def _place(self, part: _ProgressRow, column: int, columns: int) -> None:
        self._grid.removeWidget(part)
        self._grid.addWidget(part, 0, column, 1, columns)
