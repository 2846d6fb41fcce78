import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_pathseg.geometry import Region
from napari_pathseg.ui.panels.annotate.cleanup import CleanupDialog, clean_up_button
from napari_pathseg.ui.session.selection import SELECTION, SLIDE

TUMOUR = 2
SQUARE = [[9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5]]


@pytest.fixture
def clean_up(ring, viewer):
    dialog = CleanupDialog(ring.session, ring)
    dialog.open_beside()
    yield dialog
    dialog.close()


def choose(box, value):
    box.value = value


def labels_of(dock):
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0]


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_holes_are_filled_on_apply_and_undo_restores_them(ring, clean_up, qtbot):
    choose(clean_up.method, "holes")
    choose(clean_up.scope, SLIDE)
    assert clean_up.label.current_choice == "Tumour"
    assert clean_up.amount.native.suffix() == " px"
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
        assert clean_up.amount.native.isVisible() != clean_up.new_label.native.isVisible()
        shown[method] = clean_up.amount.native.suffix() if clean_up.amount.native.isVisible() else ""
    assert shown == {"holes": " µm²", "smooth": " µm", "assign": ""}


def test_any_class_can_be_reassigned_but_not_smoothed(clean_up):
    choose(clean_up.method, "assign")
    assert 0 in clean_up.label.choices
    assert clean_up.label.native.findText("Any class") >= 0
    choose(clean_up.method, "smooth")
    assert clean_up.label.native.findText("Any class") < 0


def test_cleanup_settings_are_restored_with_the_project(ring, clean_up, qtbot):
    choose(clean_up.method, "shrink")
    clean_up.amount.value = 3
    choose(clean_up.scope, SLIDE)
    click(qtbot, clean_up.apply)
    asked = clean_up.request
    folder = ring.session.require_project().folder
    ring.session.close()
    ring.session.open_project(folder)
    again = CleanupDialog(ring.session)
    qtbot.addWidget(again)
    assert again.request == asked


def test_clear_removes_all_classes_and_undo_restores_them(ring, clean_up, qtbot):
    before = labels_of(ring)
    choose(clean_up.method, "clear")
    choose(clean_up.label, 0)
    choose(clean_up.scope, SLIDE)
    assert not clean_up.new_label.native.isVisible()
    click(qtbot, clean_up.apply)
    assert not labels_of(ring).any()
    ring.annotate.undo_step()
    assert np.array_equal(labels_of(ring), before)


def test_dialog_opens_for_the_view_without_a_selection(ring, clean_up):
    place = clean_up.scope.native.findData(SELECTION)
    assert clean_up.scope.current_choice == "In view"
    assert clean_up.scope.native.itemText(place) == "In the selection (none)"
    assert not clean_up.scope.native.model().item(place).isEnabled()
    assert clean_up.scope.native.toolTip().startswith("Nothing is selected on this slide.")


def test_dialog_returns_to_the_view_when_the_selection_is_cleared(ring, clean_up):
    ring.session.selection.activate()
    ring.session.selection.layer.add_polygons([SQUARE])
    ring.session.selection.select_all()
    assert clean_up.scope.current_choice == "In the selection"
    ring.session.selection.clear()
    assert clean_up.scope.current_choice == "In view"


def test_dialog_opens_beside_the_canvas_centre_and_stays_where_moved(ring, clean_up, viewer):
    canvas = viewer.window._qt_viewer.canvas.native
    assert not clean_up.frameGeometry().contains(canvas.mapToGlobal(canvas.rect().center()))
    assert clean_up.screen().availableGeometry().contains(clean_up.geometry())
    clean_up.move(30, 40)
    clean_up.close()
    clean_up.open_beside()
    assert (clean_up.x(), clean_up.y()) == (30, 40)


@pytest.mark.parametrize("focused", ["scope", "amount"])
def test_undo_keys_act_on_the_mask_while_the_dialog_is_active(ring, clean_up, qtbot, focused):
    before = labels_of(ring)
    choose(clean_up.method, "grow")
    choose(clean_up.scope, SLIDE)
    click(qtbot, clean_up.apply)
    grown = labels_of(ring)
    clean_up.activateWindow()
    qtbot.waitUntil(clean_up.isActiveWindow)
    box = getattr(clean_up, focused).native
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
def test_long_cleanup_runs_beside_the_window_and_cancel_undoes_it(ring, clean_up, qtbot, monkeypatch, cancel):
    """Tiny tiles and no time for them at once make a clean-up a long one."""
    monkeypatch.setattr("napari_pathseg.ui.session.cleanup._TILE", 16)
    monkeypatch.setattr("napari_pathseg.ui.layers.mask_layer._IMMEDIATE_BUDGET_S", 0)
    before, mask = labels_of(ring), ring.session.mask
    choose(clean_up.method, "grow")
    clean_up.amount.value = 4
    choose(clean_up.scope, SLIDE)
    click(qtbot, clean_up.apply)
    assert ring.session.editor.running.startswith("Growing (")
    assert clean_up._status.text() == "Cleaning up…"
    assert QApplication.activeModalWidget() is None
    if cancel:
        mask.cancel()
    qtbot.waitUntil(lambda: not mask.has_pending)
    assert np.array_equal(labels_of(ring), before) == cancel
    assert clean_up._status.text() == ("Nothing changed." if cancel else "Done.")


def test_cleanup_button_needs_a_slide(dock, slide_files, qtbot):
    button = clean_up_button(dock.session)
    qtbot.addWidget(button)
    assert not button.isEnabled()
    dock.slides.file_drop.add_files(slide_files[:1])
    assert button.isEnabled()
