"""Carries out what waits on the mask in the moments in which the window has nothing else to do."""

from psygnal import Signal
from qtpy.QtCore import QObject, QTimer
from superqt.utils import qthrottled

from napari_pathseg.ui.layers.mask_layer import MaskLayer
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.notifications import show_errors

_TIME_BUDGET_S = 0.008  # half a frame, so that the hand feels nothing
_NOTIFY_INTERVAL_MS = 500  # between two times at which it is said that the mask changed


class IdleProcessor(QObject):
    """Listens to the mask of the slide in view and works on what waits there.

    Signals: `progressed` (that something was done, or all is done).
    """

    progressed = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._heard: MaskLayer | None = None
        self._timer = QTimer(self)
        self._timer.setInterval(0)  # when all other events are done
        self._timer.timeout.connect(self._work)
        self._told = qthrottled(session.mask_changed.emit, timeout=_NOTIFY_INTERVAL_MS, leading=False, parent=self)
        session.slide_changed.connect(self._listen)
        self._listen()

    def _listen(self) -> None:
        layer = self._session.layers.mask
        if layer is not None and layer is not self._heard:
            self._heard = layer
            layer.pending_changed.connect(self._begin)

    def _begin(self) -> None:
        self._timer.start()

    def _work(self) -> None:
        layer, mask = self._session.layers.mask, self._session.mask
        more = False
        if layer is not None and mask is layer.mask:
            with show_errors():
                layer.process_pending(_TIME_BUDGET_S)
            more = (
                layer.mask.has_pending and not layer.mask.write_failed
            )  # an operation that failed is over, the rest goes on
        if more:
            self._told.throttle()
        else:  # done, or the disk refuses a stroke: the next one tries again
            self._timer.stop()
            self._session.mask_changed.emit()
        self.progressed.emit()
