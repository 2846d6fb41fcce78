import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import paint
from napari_pathseg.ui.panels.annotate.cleanup import CleanupDialog
from napari_pathseg.ui.session.selection import SELECTION

TUMOUR = 2
SQUARE = ((40, 40), (40, 90), (90, 90), (90, 40), (42, 38))


@pytest.fixture
def opened(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files[:2])
    session = dock.session
    session.refresh_mask(paint(session.mask, Region(0, 0, 256, 256), np.full((256, 256), TUMOUR, np.uint8)))
    dock.sections["outline"].set_open(True)
    return dock


def send(dock, kind, position, button, held):
    native, scene = dock._viewer.window._qt_viewer.canvas.native, dock._viewer.scene
    row, column = (np.asarray(position) - scene.camera.center[-2:]) * scene.camera.zoom
    point = QPoint(round(native.width() / 2 + column), round(native.height() / 2 + row))
    place = QPointF(native.mapToGlobal(point))
    QApplication.sendEvent(native, QMouseEvent(kind, QPointF(point), place, button, held, Qt.KeyboardModifier(0)))
    QApplication.processEvents()


def lasso(dock, qtbot, corners=SQUARE):
    none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
    send(dock, QEvent.Type.MouseMove, corners[0], none, none)
    send(dock, QEvent.Type.MouseButtonPress, corners[0], left, left)
    for corner in corners[1:]:
        for share in np.linspace(0, 1, 4):
            qtbot.wait(6)
            previous = corners[corners.index(corner) - 1]
            between = (1 - share) * np.asarray(previous) + share * np.asarray(corner)
            send(dock, QEvent.Type.MouseMove, between, none, left)
    send(dock, QEvent.Type.MouseButtonRelease, corners[-1], left, none)
    qtbot.wait(30)


def labels_of(dock):
    return dock.session.mask.read(Region(0, 0, 256, 256))[0]


def test_drawn_area_is_selected_and_not_filled(opened, qtbot):
    before = labels_of(opened)
    opened.annotate.select.click()
    lasso(opened, qtbot)
    place = opened.session.selection.resolve_scope(SELECTION)
    assert len(place.shapes) == 1
    assert place.inside(Region(0, 0, 256, 256)).sum() == pytest.approx(2500, rel=0.1)
    np.testing.assert_array_equal(labels_of(opened), before)
    opened.annotate.choose("brush")
    assert opened.annotate.select.isChecked()
    opened.annotate.select.click()
    assert opened.session.selection.mask_shapes() == ()
    assert not opened.annotate.select.isChecked()


def test_two_areas_are_selected_together(opened, qtbot):
    opened.annotate.select.click()
    lasso(opened, qtbot)
    lasso(opened, qtbot, tuple((row + 100, column + 100) for row, column in SQUARE))
    assert len(opened.session.selection.resolve_scope(SELECTION).shapes) == 2


def test_selection_is_reassigned_and_nothing_around_it(opened, qtbot):
    dialog = CleanupDialog(opened.session, opened)
    dialog.open_beside()
    assert dialog.scope.current_choice == "In view"
    opened.annotate.select.click()
    lasso(opened, qtbot)
    assert dialog.scope.current_choice == "In the selection"
    dialog.method.value = "assign"
    dialog.new_label.value = 1
    dialog.label.value = 0
    inside = opened.session.selection.resolve_scope(SELECTION).inside(Region(0, 0, 256, 256))
    dialog.apply.click()
    np.testing.assert_array_equal(labels_of(opened) == 1, inside)
    opened.annotate.undo_step()
    assert (labels_of(opened) == TUMOUR).all()
    dialog.close()


def test_selection_is_kept_for_each_slide_until_the_project_closes(opened, qtbot):
    opened.annotate.select.click()
    lasso(opened, qtbot)
    selected = opened.session.selection.outlines()
    opened.session.show_slide("case1")
    assert opened.session.selection.mask_shapes() == ()
    opened.session.show_slide("case0")
    np.testing.assert_array_equal(opened.session.selection.outlines(), selected)
    folder = opened.session.require_project().folder
    opened.session.close()
    assert not any("selection" in layer.name for layer in opened._viewer.layers)
    opened.session.open_project(folder)
    assert opened.session.selection.outlines() == []
