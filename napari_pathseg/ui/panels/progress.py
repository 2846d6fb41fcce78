"""Progress at the bottom of the dock: of the job that runs, and of a long operation on the mask."""

from qtpy.QtCore import QElapsedTimer
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QWidget
from superqt.utils import qdebounced, qthrottled

from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.ui.session.formatting import format_job
from napari_pathseg.ui.session.idle_processor import IdleProcessor
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors

_SHOW_AFTER_MS = 400  # of an operation on the mask; most are over by then
_HIDE_AFTER_MS = 4000  # the end of a job
_STEPS = 1000


class _ProgressRow(QWidget):
    """A text and a button above a bar; hidden while there is nothing to show."""

    def __init__(self, button: QPushButton, parent: QWidget | None) -> None:
        super().__init__(parent)
        self.text = QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, _STEPS)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        column(self, row(self.text, None, button), self.bar)
        self.hide()

    def show_progress(self, text: str, fraction: float) -> None:
        """Show a text and how much is done, 0 to 1."""
        self.text.setText(text)
        self.bar.setValue(round(_STEPS * fraction))


class JobProgressBar(_ProgressRow):
    """The training, prediction or other job that runs, the time left, and Stop."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        self._session = session
        self.stop = push_button("Stop", "End it and keep the best so far.")
        super().__init__(self.stop, parent)
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
