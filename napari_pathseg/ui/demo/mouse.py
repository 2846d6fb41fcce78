"""A simulated mouse for the demo: it presses, drags and releases on the canvas as a user does.

The events go to the canvas widget itself, so that a stroke passes through the real viewer, the active tool, the
mask and the disk.
"""

import time

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_pathseg.ui.demo.correction_strokes import Stroke
from napari_pathseg.ui.layers.mask_layer import MaskLayer

_PAUSE_S = 0.02  # between two moves; napari merges moves less than 5 ms apart
_MARGIN = 3.0  # size of the view, relative to that of the stroke


def idle(seconds: float) -> None:
    """Process events for some seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.002)


class Mouse:
    """Moves the mouse over the canvas of a viewer."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        widgets = QApplication.allWidgets()
        self._canvas: QWidget = next(
            w for w in widgets if w.isVisible() and type(w).__name__.startswith("CanvasBackend")
        )

    def zoom_to(self, layer: MaskLayer, stroke: Stroke) -> None:
        """Zoom to the place of a stroke."""
        low, high = (np.array(layer.data_to_world(p)) for p in (stroke.path.min(axis=0), stroke.path.max(axis=0)))
        brush = stroke.diameter * float(layer.scale[-1])
        height, width = self._canvas.height(), self._canvas.width()
        self._viewer.scene.camera.center = tuple((low + high) / 2)
        self._viewer.scene.camera.zoom = min(height, width) / (_MARGIN * (float((high - low).max()) + brush))
        idle(0.3)

    def paint(self, layer: MaskLayer, stroke: Stroke) -> None:
        """Paint a stroke with the active brush.

        Raises
        ------
        RuntimeError
            If the mouse does not arrive at the intended position.
        """
        points = [self._on_canvas(layer, point) for point in stroke.path]
        self._send(QEvent.Type.MouseMove, points[0], Qt.MouseButton.NoButton, Qt.MouseButton.NoButton)
        self._check_arrived(layer, stroke)
        self._send(QEvent.Type.MouseButtonPress, points[0], Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton)
        for point in points[1:]:
            self._send(QEvent.Type.MouseMove, point, Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton)
        self._send(QEvent.Type.MouseButtonRelease, points[-1], Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton)

    def _on_canvas(self, layer: MaskLayer, point: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> QPointF:
        """Convert a position in the mask, ``(row, column)``, to canvas pixels."""
        offset = np.array(layer.data_to_world(point)) - np.array(self._viewer.scene.camera.center)[-2:]
        row, column = offset * self._viewer.scene.camera.zoom
        return QPointF(self._canvas.width() / 2 + column, self._canvas.height() / 2 + row)

    def _check_arrived(self, layer: MaskLayer, stroke: Stroke) -> None:
        found = np.array(layer.world_to_data(self._viewer.cursor.position))
        if np.abs(found - stroke.path[0]).max() > max(2.0, stroke.diameter / 4):
            raise RuntimeError(
                f"The mouse was sent to row {stroke.path[0][0]:.0f}, column {stroke.path[0][1]:.0f} of the mask "
                f"but arrived at {found.round(1).tolist()}; the canvas is not where it was expected."
            )

    def _send(self, kind: QEvent.Type, point: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        on_screen = QPointF(self._canvas.mapToGlobal(point.toPoint()))
        event = QMouseEvent(kind, point, on_screen, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._canvas, event)
        idle(_PAUSE_S)
