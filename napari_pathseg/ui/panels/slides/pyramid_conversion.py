"""Conversion of a slide that cannot be read in pieces to a tiled pyramid, in a background thread."""

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QMessageBox, QProgressDialog, QWidget

from napari_pathseg.contours.formats import stem_of
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.pyramid_conversion import convert, memory_to_convert
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import plain

_PAUSE_MS = 100
_STEPS = 1000  # of the progress bar


def memory_needed(path: Path) -> int | None:
    """Return the bytes of memory that the conversion of a refused slide takes, or None if that would not help."""
    with contextlib.suppress(PathsegError):
        open_slide(path).close()
        return None  # it opens, so it was refused for what it shows, not for how it is stored
    try:
        return memory_to_convert(path)
    except PathsegError:
        return None


def pyramid_path(project: Project, path: Path) -> Path:
    """Return where the pyramid of a slide is written; the fingerprint keeps slides of one name apart."""
    return project.folder / "slides" / fingerprint(path)[:8] / f"{stem_of(path)}.tif"


def ask_to_convert(path: Path, target: Path, needed: int, parent: QWidget, answered: Callable[[bool], None]) -> None:
    """Ask whether to convert a slide to a pyramid, which takes `needed` bytes of memory; pass on the answer."""
    text = f"{path.name} is stored in one piece, which is too large to display."
    more = (
        f"Convert it to a pyramid at {target}? The slide itself is not changed. "
        f"This needs {needed / 1e9:.1f} GB of memory."
    )
    box = QMessageBox(QMessageBox.Icon.Question, "Convert to a pyramid", plain(text), parent=parent)
    box.setInformativeText(plain(more))
    box.setStandardButtons(QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    box.finished.connect(lambda code: answered(code == QMessageBox.StandardButton.Yes))
    box.open()


class PyramidProgress(QProgressDialog):
    """Converts a slide in a thread, and calls `on_finished` with the new file."""

    def __init__(self, path: Path, target: Path, on_finished: Callable[[Path], None], parent: QWidget) -> None:
        super().__init__(plain(f"Converting {path.name} to a pyramid…"), "Cancel", 0, _STEPS, parent)
        self.setMinimumDuration(0)
        self.setAutoClose(False)
        self._target, self._on_finished = target, on_finished
        self._fraction, self._cancelled = 0.0, Event()
        self._executor = ThreadPoolExecutor(1, "pyramid")
        self._job = self._executor.submit(self._convert, path)
        self._timer = QTimer(self)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._poll)
        self._timer.start()
        self.canceled.connect(self._cancelled.set)

    def _convert(self, path: Path) -> bool:
        self._target.parent.mkdir(parents=True, exist_ok=True)
        steps = convert(path, self._target)
        for fraction in steps:
            self._fraction = fraction
            if self._cancelled.is_set():
                steps.close()
                return False
        return True

    def _poll(self) -> None:
        """Show the progress, and finish when the conversion has."""
        if not self._job.done():
            if not self._cancelled.is_set():
                self.setValue(min(_STEPS - 1, int(_STEPS * self._fraction)))
            return
        self._timer.stop()
        self._executor.shutdown(wait=False)
        self.close()
        with show_errors():
            if self._job.result():
                self._on_finished(self._target)
