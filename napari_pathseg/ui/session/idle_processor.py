"""Applies the mask's pending operations whenever the event loop is idle."""

import time
from typing import Protocol

from psygnal import Signal

from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.layers.mask_layer import MaskLayer
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer
from napari_pathseg.ui.session.workspace import Workspace

_TIME_BUDGET_S = 0.008  # half a frame, so that the user notices nothing
_NOTIFY_INTERVAL_S = 0.5  # between two notifications that the mask changed


class IdleTimer(Protocol):
    """A timer that calls :meth:`IdleProcessor.process` whenever the event loop is idle; a QTimer of 0 ms."""

    def start(self) -> None:
        """Start calling."""

    def stop(self) -> None:
        """Stop calling."""


class IdleProcessor:
    """Processes the pending operations of the mask in view in short time slices.

    Signals: `progressed` (after each slice).
    """

    progressed = Signal()

    def __init__(self, workspace: Workspace, timer: IdleTimer) -> None:
        self._workspace, self._timer = workspace, timer
        self._layer: MaskLayer | PlainMaskLayer | None = None
        self._running, self._notified = False, 0.0  # when `mask_changed` was last emitted here
        workspace.slide_changed.connect(self._attach)
        self._attach()

    def process(self) -> None:
        """Process one time slice; stop the timer when nothing is left, or the disk refuses a stroke."""
        layer, mask = self._workspace.layers.mask, self._workspace.mask
        more = False
        if layer is not None and mask is layer.mask:
            try:
                layer.process_pending(_TIME_BUDGET_S)
            except PathsegError as error:
                self._workspace.message.emit(str(error), "", "error")
            # A failed operation does not stop the others; a stroke that the disk refused is retried with the next one.
            more = layer.mask.has_pending and not layer.mask.write_failed
        if not more:
            self._running = False
            self._timer.stop()
        if not more or time.monotonic() - self._notified > _NOTIFY_INTERVAL_S:
            self._notified = time.monotonic()
            self._workspace.mask_changed.emit()
        self.progressed.emit()

    def _attach(self) -> None:
        layer = self._workspace.layers.mask
        if layer is not None and layer is not self._layer:
            self._layer = layer
            layer.pending_changed.connect(self._start)

    def _start(self) -> None:
        if not self._running:
            self._running, self._notified = True, time.monotonic()
            self._timer.start()
