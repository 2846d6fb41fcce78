"""How much of a 1280 × 800 window the canvas gets, with the real keys and buttons."""

import pytest
from napari.settings import get_settings
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.ui import launch
from napari_pathseg.ui.window_layout import CANVAS_WIDTH

LEFT, NONE, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier


def resize(dock, width):
    dock.window().setWindowState(Qt.WindowState.WindowNoState)
    dock.window().resize(width, 800)
    QApplication.processEvents()


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def test_canvas_is_wide_in_a_small_window_that_opens(dock, viewer):
    resize(dock, 1280)
    dock.window_layout.open()
    QApplication.processEvents()
    assert canvas_of(viewer).width() >= CANVAS_WIDTH


def test_left_column_is_shown_at_the_start_where_there_is_room(dock):
    resize(dock, 2200)
    dock.window_layout.open()
    assert not dock.window_layout.left_folded


def test_left_column_stays_as_the_user_left_it(dock, viewer):
    resize(dock, 1280)
    dock.window_layout.open()
    QTest.mouseClick(dock.window_layout.fold, LEFT)
    QApplication.processEvents()
    assert not dock.window_layout.left_folded
    assert canvas_of(viewer).width() < CANVAS_WIDTH
    dock.window_layout.open()  # the next start
    assert not dock.window_layout.left_folded
    QTest.mouseClick(dock.window_layout.fold, LEFT)
    assert dock.window_layout.left_folded


def test_one_key_hides_all_but_the_canvas_and_brings_it_back(dock, viewer):
    resize(dock, 1280)
    dock.window_layout.open()
    QApplication.processEvents()
    before, folded = canvas_of(viewer).width(), dock.window_layout.left_folded
    QTest.keyClick(canvas_of(viewer), Qt.Key.Key_H, SHIFT)
    QApplication.processEvents()
    assert not dock.isVisible()
    assert canvas_of(viewer).width() > dock.window().width() - 20
    QTest.keyClick(canvas_of(viewer), Qt.Key.Key_H, SHIFT)
    QApplication.processEvents()
    assert dock.isVisible()
    assert (canvas_of(viewer).width(), dock.window_layout.left_folded) == (before, folded)


@pytest.mark.parametrize("left", [None, (700, 500)])
def test_window_opens_over_the_whole_screen_or_as_it_was_left(left, qtbot, monkeypatch):
    monkeypatch.setattr(get_settings().application, "first_time", False)  # napari crashed before it was ever closed
    monkeypatch.setattr(get_settings().application, "window_size", left)
    monkeypatch.setattr(get_settings().application, "window_maximized", False)
    viewer, dock = launch.make_window()
    size, screen = dock.window().size(), dock.window().screen().availableSize()
    launch.close_window(viewer, dock)
    assert (size == screen) is (left is None)
    if left is not None:
        assert size.width() < screen.width()


def test_window_that_was_left_on_a_larger_screen_opens_on_this_one(qtbot, monkeypatch):
    monkeypatch.setattr(get_settings().application, "window_size", (3000, 2000))
    monkeypatch.setattr(get_settings().application, "window_maximized", False)
    viewer, dock = launch.make_window()
    window, room = dock.window().geometry(), dock.window().screen().availableGeometry()
    launch.close_window(viewer, dock)
    assert room.contains(window)
