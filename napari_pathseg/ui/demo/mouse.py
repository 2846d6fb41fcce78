"""A hand on the mouse for the demo: it presses, drags and lets go on the canvas as a person does.

The events go to the canvas' own widget, so that all a stroke meets on its way (the viewer,
the tool in hand, the mask, the disk) is the real thing.
"""

import time

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_pathseg.ui.demo.correction_strokes import Stroke
from napari_pathseg.ui.layers.mask_layer import MaskLayer

_PAUSE_S = 0.02  # between two moves; napari merges those that come faster than 5 ms
_MARGIN = 3.0  # of the view around a stroke, in its own lengths


def idle(seconds: float) -> None:
    """Let the window live for a while."""
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
        """Zoom to where a stroke will be."""
        low, high = (np.array(layer.data_to_world(p)) for p in (stroke.path.min(axis=0), stroke.path.max(axis=0)))
        brush = stroke.diameter * float(layer.scale[-1])
        height, width = self._canvas.height(), self._canvas.width()
        self._viewer.scene.camera.center = tuple((low + high) / 2)
        self._viewer.scene.camera.zoom = min(height, width) / (_MARGIN * (float((high - low).max()) + brush))
        idle(0.3)

    def paint(self, layer: MaskLayer, stroke: Stroke) -> None:
        """Draw a stroke with the brush in the hand.

        Raises
        ------
        RuntimeError
            If the mouse does not arrive where it was sent to.
        """
        points = [self._on_canvas(layer, point) for point in stroke.path]
        self._send(QEvent.Type.MouseMove, points[0], Qt.MouseButton.NoButton, Qt.MouseButton.NoButton)
        self._check_arrived(layer, stroke)
        self._send(QEvent.Type.MouseButtonPress, points[0], Qt.MouseButton.LeftButton, Qt.MouseButton.LeftButton)
        for point in points[1:]:
            self._send(QEvent.Type.MouseMove, point, Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton)
        self._send(QEvent.Type.MouseButtonRelease, points[-1], Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton)

    def _on_canvas(self, layer: MaskLayer, point: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> QPointF:
        """Return where a position of the mask, ``(row, column)``, is on the canvas."""
        away = np.array(layer.data_to_world(point)) - np.array(self._viewer.scene.camera.center)[-2:]
        row, column = away * self._viewer.scene.camera.zoom
        return QPointF(self._canvas.width() / 2 + column, self._canvas.height() / 2 + row)

    def _check_arrived(self, layer: MaskLayer, stroke: Stroke) -> None:
        found = np.array(layer.world_to_data(self._viewer.cursor.position))
        if np.abs(found - stroke.path[0]).max() > max(2.0, stroke.diameter / 4):
            raise RuntimeError(
                f"The mouse was sent to row {stroke.path[0][0]:.0f}, column {stroke.path[0][1]:.0f} of the mask "
                f"and came to {found.round(1).tolist()}; the canvas lies elsewhere than expected."
            )

    def _send(self, kind: QEvent.Type, point: QPointF, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        place = QPointF(self._canvas.mapToGlobal(point.toPoint()))
        event = QMouseEvent(kind, point, place, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self._canvas, event)
        idle(_PAUSE_S)
