"""What is being done to the mask in view, once it is felt: what, how far it is, and Cancel where it can be given up."""

from qtpy.QtCore import QElapsedTimer
from qtpy.QtWidgets import QLabel, QProgressBar, QWidget
from superqt.utils import qthrottled

from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.ui.session.idle_processor import IdleProcessor
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors

_SHOW_AFTER_MS = 400


class OperationProgressBar(QWidget):
    """One line at the bottom of the dock; the slide can be worked on meanwhile."""

    def __init__(self, session: Session, strokes: IdleProcessor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._operation: MaskOperation | None = None
        self._most = 0  # chunks that waited to be painted
        self._since = QElapsedTimer()
        self.text = QLabel()
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.cancel = push_button("Cancel", "Give it up; what was done of it is taken back.")
        column(self, row(self.text, None, self.cancel), self.bar)
        self.cancel.clicked.connect(self._cancel)
        self._soon = qthrottled(self.refresh, timeout=100, leading=False, parent=self)
        strokes.progressed.connect(self._soon.throttle)
        session.slide_changed.connect(self.refresh)
        self.hide()

    def refresh(self) -> None:
        """Show what is being done, or nothing."""
        mask = self._session.mask
        operation = None if mask is None else mask.operations.running
        left = 0 if mask is None else mask.stroke_queue.pending_chunks
        if operation is not self._operation or (operation is None and not self._most):
            self._since.start()
        self._operation, self._most = operation, max(left, self._most) if left else 0
        if mask is None or (operation is None and not left):
            self.hide()
        elif self._since.elapsed() > _SHOW_AFTER_MS:
            name, share = (
                ("Painting", 1 - left / self._most)
                if operation is None
                else (operation.name, mask.operations.fraction_done)
            )
            self.text.setText(f"{name} · {share:.0%}")
            self.bar.setValue(round(1000 * share))
            self.cancel.setVisible(operation is not None and operation.can_be_cancelled)
            self.show()

    def _cancel(self) -> None:
        mask = self._session.mask
        if mask is not None and mask.operations.running is self._operation:  # and not what began just now
            with show_errors():
                mask.cancel()
            self.refresh()
