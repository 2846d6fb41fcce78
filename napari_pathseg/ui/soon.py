"""Do something soon, once, however often it is asked for: a stroke asks many times a second."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, QTimer


class Soon(QObject):
    """Calls `action` at most once in `milliseconds`; it is asked by being called."""

    def __init__(self, action: Callable[[], None], milliseconds: int, parent: QObject) -> None:
        super().__init__(parent)
        self._action = action
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(milliseconds)
        self._timer.timeout.connect(self._act)

    def ask(self, *_: Any) -> None:
        """Ask for the action; signals may bring what they like."""
        if not self._timer.isActive():
            self._timer.start()

    def _act(self) -> None:
        self._action()
