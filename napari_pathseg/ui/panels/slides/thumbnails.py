"""Thumbnails of slides, loaded one at a time while the event loop is idle."""

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap

from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.session import Session

SIDE = 40
_SHARPER = 2  # image pixels per layout pixel, for high-DPI screens
_PAUSE_MS = 20
_MAX_PIXELS = 40_000_000  # a slide whose smallest level is larger gets no thumbnail: reading it would block the window


class Thumbnails(QObject):
    """Thumbnails by slide; `loaded` is emitted with the slide whose thumbnail is ready."""

    loaded = Signal(str)

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self._loaded: dict[str, QPixmap | None] = {}
        self._queue: list[str] = []
        self._timer = QTimer(self)
        self._timer.setInterval(_PAUSE_MS)
        self._timer.timeout.connect(self._load_next)

    def clear(self) -> None:
        """Discard all thumbnails, for another project."""
        self._loaded.clear()
        self._queue.clear()
        self._timer.stop()

    def find(self, slide_id: str) -> QPixmap | None:
        """Return a slide's thumbnail, or None and queue it."""
        if slide_id not in self._loaded and slide_id not in self._queue:
            self._queue.append(slide_id)
            self._timer.start()
        return self._loaded.get(slide_id)

    def _load_next(self) -> None:
        project = self._session.project
        if project is None or not self._queue:
            self._timer.stop()
            return
        slide_id = self._queue.pop(0)
        self._loaded[slide_id] = _thumbnail(project, slide_id) if slide_id in project.slides else None
        self.loaded.emit(slide_id)


def _thumbnail(project: Project, slide_id: str) -> QPixmap | None:
    try:
        with project.open_slide(slide_id) as slide:
            rows, columns = slide.levels[-1].shape
            if rows * columns > _MAX_PIXELS:
                return None
            pixels = slide.thumbnail(4 * SIDE * _SHARPER)
    except PathsegError:
        return None  # reported when the slide is shown
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    side = SIDE * _SHARPER
    whole = QPixmap.fromImage(image).scaled(
        side, side, Qt.AspectRatioMode.KeepAspectRatioByExpanding, Qt.TransformationMode.SmoothTransformation
    )
    return whole.copy((whole.width() - side) // 2, (whole.height() - side) // 2, side, side)
