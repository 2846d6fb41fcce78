import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QMenu

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.projects.project import Project

TUMOUR = 2


@pytest.fixture
def opened(dock, slide_files, qtbot):
    dock.slides.file_drop.add_files(slide_files[:2])
    notification_manager.records.clear()
    dock.sections["outline"].set_open(True)
    return dock


def canvas(dock):
    return dock._viewer.window._qt_viewer.canvas.native


def to_canvas(dock, row, column):
    """Return where a level-0 pixel of the slide is on the canvas."""
    scene = dock._viewer.scene
    size = canvas(dock).size()
    centre_row, centre_column = scene.camera.center[-2:]
    zoom = scene.camera.zoom
    return QPoint(
        round(size.width() / 2 + (column - centre_column) * zoom), round(size.height() / 2 + (row - centre_row) * zoom)
    )


def send(dock, kind, point, button, held):
    native = canvas(dock)
    place = QPointF(native.mapToGlobal(point))
    QApplication.sendEvent(native, QMouseEvent(kind, QPointF(point), place, button, held, Qt.KeyboardModifier(0)))
    QApplication.processEvents()


def drag(dock, qtbot, start, end):
    first, last = to_canvas(dock, *start), to_canvas(dock, *end)
    none, left = Qt.MouseButton.NoButton, Qt.MouseButton.LeftButton
    send(dock, QEvent.Type.MouseMove, first, none, none)
    send(dock, QEvent.Type.MouseButtonPress, first, left, left)
    for step in range(1, 6):
        qtbot.wait(6)  # napari merges moves that come faster than 5 ms
        send(dock, QEvent.Type.MouseMove, first + (last - first) * step / 5, none, left)
    send(dock, QEvent.Type.MouseButtonRelease, last, left, none)


def boxes_of(dock):
    return Project.open(dock.session.require_project().folder).slide(dock.session.slide.id).boxes


def draw(dock, qtbot, start=(20, 30), end=(80, 120)):
    before = len(boxes_of(dock))
    if not dock.session.boxes.active:
        dock.annotate.complete_box.click()
    drag(dock, qtbot, start, end)
    qtbot.waitUntil(lambda: len(boxes_of(dock)) > before)


def test_box_drawn_with_the_mouse_is_saved(opened, qtbot):
    draw(opened, qtbot)
    (box,) = boxes_of(opened)
    assert np.allclose((box.top, box.left, box.bottom, box.right), (20, 30, 80, 120), atol=3)
    assert len(opened.session.layers.overlays["complete boxes"].data) == 1
    assert opened.annotate.complete_box.isChecked()


def test_boxes_belong_to_their_slide_and_outlive_the_window(opened, qtbot):
    draw(opened, qtbot)
    kept = boxes_of(opened)
    opened.session.show_slide("case1")
    assert len(opened.session.layers.overlays["complete boxes"].data) == 0
    assert boxes_of(opened) == ()
    folder = opened.session.require_project().folder
    opened.session.close()
    assert not any("boxes" in layer.name for layer in opened._viewer.layers)
    opened.session.open_project(folder)
    assert opened.session.slide.boxes == kept
    assert len(opened.session.layers.overlays["complete boxes"].data) == 1


def test_slide_without_boxes_has_no_layer_for_them(opened):
    assert [layer.name for layer in opened._viewer.layers if "boxes" in layer.name] == []


def test_selected_box_is_deleted_with_the_key_and_can_be_redrawn(opened, qtbot):
    draw(opened, qtbot)
    layer = opened.session.layers.overlays["complete boxes"]
    layer.mode = "select"
    layer.selected_data = {0}
    native = canvas(opened)
    native.setFocus()
    qtbot.keyClick(native, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: boxes_of(opened) == ())
    draw(opened, qtbot)
    assert len(boxes_of(opened)) == 1


def test_right_click_on_a_box_offers_to_remove_it(opened, qtbot):
    draw(opened, qtbot)
    opened.session.boxes.deactivate()
    qtbot.mouseClick(canvas(opened), Qt.MouseButton.RightButton, pos=to_canvas(opened, 50, 60))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    assert [action.text() for action in menu.actions()] == ["Remove this box"]
    menu.actions()[0].trigger()
    menu.close()
    assert boxes_of(opened) == ()
    assert len(opened.session.layers.overlays["complete boxes"].data) == 0


def test_box_removed_in_the_menu_can_be_undone_despite_the_lost_release(opened, qtbot):
    draw(opened, qtbot)
    drawn, right = boxes_of(opened), Qt.MouseButton.RightButton
    send(opened, QEvent.Type.MouseButtonPress, to_canvas(opened, 50, 60), right, right)
    menu = QApplication.activePopupWidget()
    menu.actions()[0].trigger()
    menu.close()
    assert boxes_of(opened) == ()
    canvas(opened).setFocus()
    qtbot.keyClick(canvas(opened), Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert boxes_of(opened) == drawn


def test_undo_and_redo_keys_reverse_changes_to_boxes(opened, qtbot):
    def press(modifiers=Qt.KeyboardModifier.ControlModifier):
        canvas(opened).setFocus()
        qtbot.keyClick(canvas(opened), Qt.Key.Key_Z, modifiers)
        return boxes_of(opened)

    paint(opened.session.mask, Region(200, 200, 9, 9), np.full((9, 9), TUMOUR, np.uint8))
    draw(opened, qtbot)
    drawn = boxes_of(opened)
    opened.session.boxes.layer.mode = "select"
    drag(opened, qtbot, (50, 60), (90, 60))
    qtbot.waitUntil(lambda: boxes_of(opened) != drawn)
    moved = boxes_of(opened)
    opened.session.boxes.remove_at((90.0, 60.0))
    assert [press() for _ in range(4)] == [moved, drawn, (), ()]
    assert len(opened.session.boxes.layer.data) == 0
    opened.session.show_slide("case1")
    opened.session.show_slide("case0")
    opened.session.boxes.activate()
    shift = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    assert [press(shift) for _ in range(3)] == [drawn, moved, ()]
    assert press() == moved
    draw(opened, qtbot, (150, 150), (190, 240))
    assert press(shift) == boxes_of(opened)
    assert len(boxes_of(opened)) == 2
    assert opened.session.mask.counts[TUMOUR].sum() == 81


def test_undoing_a_box_restores_predictions_but_not_over_annotations(opened, qtbot):
    session, whole = opened.session, Region(0, 0, 256, 256)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full((256, 256), TUMOUR, np.uint8)))
    draw(opened, qtbot)
    session.refresh_mask(paint(session.mask, Region(30, 40, 5, 5), np.full((5, 5), 1, np.uint8)))
    session.boxes.undo()
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 256 * 256 - 25
    assert session.mask.counts[1].sum() == 25
    session.boxes.redo()
    (box,) = boxes_of(opened)
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 256 * 256 - box.height * box.width


def test_click_without_a_drag_draws_no_box(opened, qtbot):
    opened.session.boxes.activate()
    layer = opened.session.layers.overlays["complete boxes"]
    where = to_canvas(opened, 50, 60)
    qtbot.mouseClick(canvas(opened), Qt.MouseButton.LeftButton, pos=where)
    qtbot.waitUntil(lambda: len(layer.data) == 0)
    assert boxes_of(opened) == ()


def test_moved_box_is_saved_at_its_new_place(opened, qtbot):
    draw(opened, qtbot)
    layer, (before,) = opened.session.layers.overlays["complete boxes"], boxes_of(opened)
    layer.mode = "select"
    drag(opened, qtbot, (50, 60), (90, 60))
    qtbot.waitUntil(lambda: boxes_of(opened) != (before,))
    (after,) = boxes_of(opened)
    assert after.top - before.top == pytest.approx(40, abs=3)
    assert (after.left, after.height, after.width) == pytest.approx((before.left, before.height, before.width), abs=2)


def test_new_box_removes_predictions_and_keeps_annotations(opened, qtbot):
    session, whole = opened.session, Region(0, 0, 256, 256)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full((256, 256), TUMOUR, np.uint8)))
    session.refresh_mask(paint(session.mask, Region(30, 40, 5, 5), np.full((5, 5), 1, np.uint8)))
    draw(opened, qtbot)
    (box,) = boxes_of(opened)
    labels, provenance = session.mask.read(box)
    assert (labels > 0).sum() == 25
    assert not (provenance == Provenance.MODEL).any()
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 256 * 256 - box.height * box.width


def test_line_has_the_same_width_on_screen_at_any_zoom(opened, qtbot):
    draw(opened, qtbot)
    layer, camera = opened.session.layers.overlays["complete boxes"], opened._viewer.scene.camera
    widths = []
    for zoom in (0.5, 4.0):
        camera.zoom = zoom
        widths.append(layer.edge_width[0] * zoom)
    assert widths == pytest.approx([2, 2])


def test_button_is_released_when_another_tool_is_chosen(opened, qtbot):
    opened.session.boxes.activate()
    assert opened.annotate.complete_box.isChecked()
    opened.annotate.choose("brush")
    assert not opened.annotate.complete_box.isChecked()
    opened.annotate.complete_box.click()
    opened.annotate.complete_box.click()
    assert not opened.session.boxes.active
