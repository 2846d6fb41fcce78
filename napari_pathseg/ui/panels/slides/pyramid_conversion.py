"""A slide that cannot be read in pieces, made into a pyramid beside the window's work."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QMessageBox, QProgressDialog, QWidget

from napari_pathseg.errors import PathsegError
from napari_pathseg.slides.pyramid_conversion import convert, memory_to_convert
from napari_pathseg.ui.widgets.notifications import show_errors

_PAUSE_MS = 100
_STEPS = 1000  # of the bar


def memory_needed(path: Path) -> int | None:
    """Return the bytes it takes to make a pyramid of a slide that was refused; None where none can be made."""
    try:
        return memory_to_convert(path)
    except PathsegError:
        return None


def ask_to_convert(path: Path, target: Path, needed: int, parent: QWidget) -> bool:
    """Ask whether a pyramid may be made of a slide, which needs so many bytes of memory."""
    text = f"{path.name} is written in one piece, too large to be read as it is looked at."
    more = f"Make a pyramid of it at {target}? The slide itself stays as it is. Needs {needed / 1e9:.1f} GB of memory."
    box = QMessageBox(QMessageBox.Icon.Question, "Make a pyramid", text, parent=parent)
    box.setInformativeText(more)
    box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    return bool(box.exec() == QMessageBox.StandardButton.Yes)


class PyramidProgress(QProgressDialog):
    """Makes a pyramid in a thread; calls `finished_with` with the file when it is there."""

    def __init__(self, path: Path, target: Path, finished_with: Callable[[Path], None], parent: QWidget) -> None:
        super().__init__(f"Making a pyramid of {path.name}…", "Cancel", 0, _STEPS, parent)
        self.setMinimumDuration(0)
        self.setAutoClose(False)
        self._target, self._finished_with = target, finished_with
        self._share, self._stop = 0.0, Event()
        self._hand = ThreadPoolExecutor(1, "pyramid")
        self._job = self._hand.submit(self._convert, path)
        self._timer = QTimer(self)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        self.canceled.connect(self._stop.set)

    def _convert(self, path: Path) -> bool:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        steps = convert(path, self._target)
        for share in steps:
            self._share = share
            if self._stop.is_set():
                steps.close()
                return False
        return True

    def _look(self) -> None:
        """Show how far it is; end with it."""
        if not self._job.done():
            if not self._stop.is_set():
                self.setValue(min(_STEPS - 1, int(_STEPS * self._share)))
            return
        self._timer.stop()
        self._hand.shutdown(wait=False)
        self.close()
        with show_errors():
            if self._job.result():
                self._finished_with(self._target)
