import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog

from napari_pathseg.geometry import Region
from napari_pathseg.ui.panels.annotate.cleanup import CleanUp, clean_up_button
from napari_pathseg.ui.session.selection import SELECTION, SLIDE

TUMOUR = 2
SQUARE = [[9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5]]


@pytest.fixture
def clean_up(ring, viewer):
    dialog = CleanUp(ring.session, ring)
    dialog.open_beside()
    yield dialog
    dialog.close()


def choose(box, data):
    box.setCurrentIndex(box.findData(data))


def labels_of(dock):
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0]


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_holes_are_filled_on_apply_and_undo_restores_them(ring, clean_up, qtbot):
    choose(clean_up.method, "holes")
    choose(clean_up.where, SLIDE)
    assert clean_up.label.currentText() == "Tumour"
    assert clean_up.amount.suffix() == " px"
    click(qtbot, clean_up.apply)
    assert (labels_of(ring)[90:100, 90:100] == TUMOUR).all()
    ring.annotate.undo_step()
    assert not labels_of(ring)[90:100, 90:100].any()


def test_dialog_is_not_modal(clean_up):
    assert not clean_up.isModal()


def test_amount_has_the_unit_of_the_method(ring, clean_up):
    ring.session.require_project().update_slide("case0", mpp=0.5)
    ring.session.show_slide("case0")
    shown = {}
    for method in ("holes", "smooth", "assign"):
        choose(clean_up.method, method)
        assert clean_up.amount.isVisible() != clean_up.onto.isVisible()
        shown[method] = clean_up.amount.suffix() if clean_up.amount.isVisible() else ""
    assert shown == {"holes": " µm²", "smooth": " µm", "assign": ""}


def test_any_class_can_be_reassigned_but_not_smoothed(clean_up):
    choose(clean_up.method, "assign")
    assert clean_up.label.findText("Any class") >= 0
    choose(clean_up.method, "smooth")
    assert clean_up.label.findText("Any class") < 0


def test_cleanup_settings_are_restored_with_the_project(ring, clean_up, qtbot):
    choose(clean_up.method, "shrink")
    clean_up.amount.setValue(3)
    choose(clean_up.where, SLIDE)
    click(qtbot, clean_up.apply)
    asked = clean_up.request
    folder = ring.session.require_project().folder
    ring.session.close()
    ring.session.open_project(folder)
    again = CleanUp(ring.session)
    qtbot.addWidget(again)
    assert again.request == asked


def test_clear_removes_all_classes_and_undo_restores_them(ring, clean_up, qtbot):
    before = labels_of(ring)
    choose(clean_up.method, "clear")
    choose(clean_up.label, 0)
    choose(clean_up.where, SLIDE)
    assert not clean_up.onto.isVisible()
    click(qtbot, clean_up.apply)
    assert not labels_of(ring).any()
    ring.annotate.undo_step()
    assert np.array_equal(labels_of(ring), before)


def test_dialog_opens_for_the_view_without_a_selection(ring, clean_up):
    place = clean_up.where.findData(SELECTION)
    assert clean_up.where.currentText() == "In view"
    assert clean_up.where.itemText(place) == "In the selection (none)"
    assert not clean_up.where.model().item(place).isEnabled()
    assert clean_up.where.toolTip().startswith("Nothing is selected on this slide.")


def test_dialog_returns_to_the_view_when_the_selection_is_cleared(ring, clean_up):
    ring.session.selection.activate()
    ring.session.selection.layer.add_polygons([SQUARE])
    ring.session.selection.select_all()
    assert clean_up.where.currentText() == "In the selection"
    ring.session.selection.clear()
    assert clean_up.where.currentText() == "In view"


def test_dialog_opens_beside_the_canvas_centre_and_stays_where_moved(ring, clean_up, viewer):
    canvas = viewer.window._qt_viewer.canvas.native
    assert not clean_up.frameGeometry().contains(canvas.mapToGlobal(canvas.rect().center()))
    assert clean_up.screen().availableGeometry().contains(clean_up.geometry())
    clean_up.move(30, 40)
    clean_up.close()
    clean_up.open_beside()
    assert (clean_up.x(), clean_up.y()) == (30, 40)


@pytest.mark.parametrize("focused", ["where", "amount"])
def test_undo_keys_act_on_the_mask_while_the_dialog_is_active(ring, clean_up, qtbot, focused):
    before = labels_of(ring)
    choose(clean_up.method, "grow")
    choose(clean_up.where, SLIDE)
    click(qtbot, clean_up.apply)
    grown = labels_of(ring)
    clean_up.activateWindow()
    qtbot.waitUntil(clean_up.isActiveWindow)
    box = getattr(clean_up, focused)
    box.setFocus()
    if focused == "amount":
        qtbot.keyClicks(box, "7")
    modifiers = Qt.KeyboardModifier.ControlModifier
    qtbot.keyClick(box, Qt.Key.Key_Z, modifiers)
    assert np.array_equal(labels_of(ring), before)
    qtbot.keyClick(box, Qt.Key.Key_Z, modifiers | Qt.KeyboardModifier.ShiftModifier)
    assert np.array_equal(labels_of(ring), grown)
    assert not np.array_equal(grown, before)


@pytest.mark.parametrize("cancel", [False, True])
def test_long_cleanup_shows_progress_and_cancel_undoes_it(ring, clean_up, qtbot, monkeypatch, cancel):
    """The work is made long by waiting in it for the window; the brush is away meanwhile."""
    monkeypatch.setattr("napari_pathseg.ui.widgets.progress_dialog._SHOW_AFTER_MS", 0)
    before, seen = labels_of(ring), []

    def look():
        progress = next((w for w in QApplication.topLevelWidgets() if isinstance(w, QProgressDialog)), None)
        if progress is None or not progress.isVisible():
            return
        seen.append((QApplication.activeModalWidget() is progress, ring.session.editor.busy))
        if cancel:
            progress.cancel()

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(0)
    choose(clean_up.method, "grow")
    clean_up.amount.setValue(4)
    choose(clean_up.where, SLIDE)
    click(qtbot, clean_up.apply)
    timer.stop()
    assert (True, True) in seen
    assert np.array_equal(labels_of(ring), before) == cancel
    assert clean_up._status.text() == ("Nothing changed." if cancel else "Done.")


def test_cleanup_button_needs_a_slide(dock, pictures, qtbot):
    button = clean_up_button(dock.session)
    qtbot.addWidget(button)
    assert not button.isEnabled()
    dock.slides.file_drop.add_files(pictures[:1])
    assert button.isEnabled()
