"""A mouse for the canvas: real Qt events at positions ``(row, column)`` of the world."""

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

LEFT, RIGHT, NO_BUTTON = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.NoButton
PLAIN, ALT, SHIFT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
_APART_MS = 6  # napari drops moves that come faster than 5 ms after one another


class Mouse:
    """The mouse over the canvas of a viewer, and the keyboard below it."""

    def __init__(self, viewer):
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas.native

    def move(self, position, modifiers=PLAIN):
        self._send(QEvent.Type.MouseMove, position, NO_BUTTON, NO_BUTTON, modifiers)

    def drag(self, *positions, modifiers=PLAIN, release=True, button=LEFT):
        self.move(positions[0], modifiers)
        self._send(QEvent.Type.MouseButtonPress, positions[0], button, button, modifiers)
        for position in positions[1:]:
            QTest.qWait(_APART_MS)
            self._send(QEvent.Type.MouseMove, position, NO_BUTTON, button, modifiers)
        if release:
            self.release(positions[-1], modifiers, button)

    def release(self, position, modifiers=PLAIN, button=LEFT):
        self._send(QEvent.Type.MouseButtonRelease, position, button, NO_BUTTON, modifiers)

    def click(self, position, modifiers=PLAIN):
        self.drag(position, modifiers=modifiers)

    def double_click(self, position, modifiers=PLAIN):
        self.click(position, modifiers)
        self._send(QEvent.Type.MouseButtonDblClick, position, LEFT, LEFT, modifiers)
        self.release(position, modifiers)

    def wheel(self, position, steps, modifiers=PLAIN):
        point = self._point(position)
        event = QWheelEvent(
            QPointF(point), QPointF(self._canvas.mapToGlobal(point)), QPoint(0, 0), QPoint(0, 120 * steps),
            NO_BUTTON, modifiers, Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(self._canvas, event)
        QApplication.processEvents()

    def key(self, key, modifiers=PLAIN):
        self._canvas.setFocus()
        QTest.keyClick(self._canvas, key, modifiers)
        QApplication.processEvents()

    def hold(self, key, held):
        self._canvas.setFocus()
        (QTest.keyPress if held else QTest.keyRelease)(self._canvas, key)
        QApplication.processEvents()

    def _point(self, position):
        away = np.asarray(position) - np.asarray(self._viewer.scene.camera.center[-2:])
        row, column = away * self._viewer.scene.camera.zoom
        return QPoint(round(self._canvas.width() / 2 + column), round(self._canvas.height() / 2 + row))

    def _send(self, kind, position, button, held, modifiers):
        point = self._point(position)
        place = QPointF(self._canvas.mapToGlobal(point))
        QApplication.sendEvent(self._canvas, QMouseEvent(kind, QPointF(point), place, button, held, modifiers))
        QApplication.processEvents()


@pytest.fixture
def opened(dock, pictures, qtbot):
    """A dock with four slides, the first shown: pink with a dark disc around (100, 128)."""
    dock.slides.file_drop.add_files(pictures)
    qtbot.waitUntil(lambda: dock.session.slide is not None)
    dock.annotate.classes.select(2)
    QApplication.processEvents()
    return dock


@pytest.fixture
def mouse(opened, viewer):
    return Mouse(viewer)


@pytest.fixture
def disc():
    """Where the dark disc of the first slide is."""
    rows, columns = np.mgrid[:256, :256]
    return (rows - 100) ** 2 + (columns - 128) ** 2 < 60**2
