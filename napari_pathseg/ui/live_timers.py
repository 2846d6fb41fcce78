"""Decides when what the live model finds is drawn, and when it is sent what was painted.

Drawn at once where frames are cheap, in batches where they are not: without a graphics card a frame takes all cores for
a fifth of a second, in which the live model waits.
"""

import time

from qtpy.QtCore import QObject, QTimer

from napari_pathseg.ui.session.live_controller import LiveController

_BATCH_S, _LONGEST_S = 0.04, 0.3  # without a further tile until those that came are drawn, and at the longest
_LAZY_MS = 500  # until the overlay follows a change of the mask above it, if no tiles come before
_SHARE = 2  # times as long as a frame takes, no other one is drawn


class LiveTimers(QObject):
    """Calls :meth:`LiveController.redraw` and :meth:`LiveController.send_edits` when they are wanted."""

    def __init__(self, live: LiveController, parent: QObject) -> None:
        super().__init__(parent)
        self._live = live
        self._began = self._not_before = self._latest = 0.0
        self._timer, self._frame, self._send = QTimer(self), QTimer(self), QTimer(self)
        actions = (self._redraw, self._end_frame, live.send_edits)
        for timer, action in zip((self._timer, self._frame, self._send), actions, strict=True):
            timer.setSingleShot(True)
            timer.timeout.connect(action)
        live.redraw_wanted.connect(self._want)
        live.send_wanted.connect(self._send_later)

    def _send_later(self, seconds: float) -> None:
        if not self._send.isActive():
            self._send.start(1 + int(1000 * seconds))

    def _want(self, soon: bool) -> None:
        now = time.monotonic()
        if not self._timer.isActive():
            self._latest = now + _LONGEST_S
            self._timer.start(_LAZY_MS)
        if soon:
            begin = max(self._not_before, min(now + _BATCH_S, self._latest))
            self._timer.start(max(0, round(1000 * (begin - now))))

    def _redraw(self) -> None:
        self._began = time.monotonic()
        self._live.redraw()
        self._frame.start(0)  # it is drawn before a timer of no time ends

    def _end_frame(self) -> None:
        now = time.monotonic()
        self._not_before = now + _SHARE * (now - self._began)
