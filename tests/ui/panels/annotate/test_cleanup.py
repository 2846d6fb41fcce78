import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QLineEdit, QProgressDialog

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.ui.panels.annotate.cleanup import CleanUp, clean_up_button
from napari_pathseg.ui.session.selection import SELECTION, SLIDE

TUMOUR = 2
EYE, LOCK = 3, 4
SQUARE = [[9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5]]


@pytest.fixture
def opened(dock, pictures):
    dock.slides.file_drop.add_files(pictures[:2])
    return dock


@pytest.fixture
def ring(opened):
    """A dock whose slide shows a tumour with a hole of 100 pixels."""
    labels = np.zeros(opened.session.mask.shape, np.uint8)
    labels[50:150, 50:150] = TUMOUR
    labels[90:100, 90:100] = 0
    opened.session.refresh_mask(paint(opened.session.mask, Region(0, 0, *labels.shape), labels))
    return opened


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


def test_a_hole_is_filled_at_a_click_and_undo_brings_it_back(ring, clean_up, qtbot):
    choose(clean_up.method, "holes")
    choose(clean_up.where, SLIDE)
    assert clean_up.label.currentText() == "Tumour"
    assert clean_up.amount.suffix() == " px"
    click(qtbot, clean_up.apply)
    assert (labels_of(ring)[90:100, 90:100] == TUMOUR).all()
    ring.annotate.undo_step()
    assert not labels_of(ring)[90:100, 90:100].any()


def test_the_window_leaves_the_slide_to_be_worked_on(clean_up):
    assert not clean_up.isModal()


def test_the_amount_is_told_in_the_unit_of_what_is_done(ring, clean_up):
    ring.session.require_project().update_slide("case0", mpp=0.5)
    ring.session.show_slide("case0")
    shown = {}
    for method in ("holes", "smooth", "assign"):
        choose(clean_up.method, method)
        assert clean_up.amount.isVisible() != clean_up.onto.isVisible()
        shown[method] = clean_up.amount.suffix() if clean_up.amount.isVisible() else ""
    assert shown == {"holes": " µm²", "smooth": " µm", "assign": ""}


def test_any_class_can_be_given_another_one_but_not_be_smoothed(clean_up):
    choose(clean_up.method, "assign")
    assert clean_up.label.findText("Any class") >= 0
    choose(clean_up.method, "smooth")
    assert clean_up.label.findText("Any class") < 0


def test_what_was_asked_for_is_asked_again_with_the_project(ring, clean_up, qtbot):
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


def test_all_is_cleared_at_a_click_and_undo_brings_it_back(ring, clean_up, qtbot):
    before = labels_of(ring)
    choose(clean_up.method, "clear")
    choose(clean_up.label, 0)
    choose(clean_up.where, SLIDE)
    assert not clean_up.onto.isVisible()
    click(qtbot, clean_up.apply)
    assert not labels_of(ring).any()
    ring.annotate.undo_step()
    assert np.array_equal(labels_of(ring), before)


def test_without_outlines_it_opens_for_the_view_and_offers_no_selection(ring, clean_up):
    place = clean_up.where.findData(SELECTION)
    assert clean_up.where.currentText() == "In view"
    assert clean_up.where.itemText(place) == "In the selection (none)"
    assert not clean_up.where.model().item(place).isEnabled()
    assert clean_up.where.toolTip().startswith("Nothing is selected on this slide.")


def test_a_selection_that_is_dropped_is_no_place_to_clean_up(ring, clean_up):
    ring.session.selection.activate()
    ring.session.selection.layer.add_polygons([SQUARE])
    ring.session.selection.select_all()
    assert clean_up.where.currentText() == "In the selection"
    ring.session.selection.clear()
    assert clean_up.where.currentText() == "In view"


def test_the_window_leaves_the_middle_of_the_canvas_free_and_stays_where_it_is_put(ring, clean_up, viewer):
    canvas = viewer.window._qt_viewer.canvas.native
    assert not clean_up.frameGeometry().contains(canvas.mapToGlobal(canvas.rect().center()))
    assert clean_up.screen().availableGeometry().contains(clean_up.geometry())
    clean_up.move(30, 40)
    clean_up.close()
    clean_up.open_beside()
    assert (clean_up.x(), clean_up.y()) == (30, 40)


@pytest.mark.parametrize("focused", ["where", "amount"])
def test_the_keys_of_undo_are_the_masks_while_the_window_is_in_front(ring, clean_up, qtbot, focused):
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


def test_keys_work_after_a_click_on_a_class_in_the_table(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table = ring.annotate.classes
    where = table.visualRect(table.indexFromItem(table.topLevelItem(0), 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    table.setFocus()
    for key, tool in ((Qt.Key.Key_B, "brush"), (Qt.Key.Key_E, "eraser"), (Qt.Key.Key_W, "wand")):
        qtbot.keyClick(table, key, Qt.KeyboardModifier.ShiftModifier)
        assert ring.annotate.tool_controller.active_tool == tool
    qtbot.keyClick(table, Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    assert table.selected == TUMOUR
    qtbot.keyPress(table, Qt.Key.Key_H)
    assert not ring.session.layers.mask.visible
    qtbot.keyRelease(table, Qt.Key.Key_H)
    assert ring.session.layers.mask.visible


def test_a_name_in_the_table_is_still_typed(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table = ring.annotate.classes
    table.editItem(table.topLevelItem(0), 1)
    editor = table.findChild(QLineEdit)
    qtbot.keyClicks(editor, "BEW")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: ring.session.require_project().classes.names[0] == "BEW", timeout=2000)


@pytest.mark.parametrize("cancel", [False, True])
def test_long_work_tells_how_far_it_is_and_cancel_takes_it_back(ring, clean_up, qtbot, monkeypatch, cancel):
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


def test_the_button_needs_a_slide_that_can_be_changed(dock, pictures, qtbot):
    button = clean_up_button(dock.session)
    qtbot.addWidget(button)
    assert not button.isEnabled()
    dock.slides.file_drop.add_files(pictures[:1])
    assert button.isEnabled()


def test_eye_and_lock_are_clicked_in_the_table(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table, layer = ring.annotate.classes, ring.session.layers.mask
    item = table.topLevelItem(TUMOUR - 1)
    for column, marked in ((EYE, lambda: layer.hidden_classes), (LOCK, lambda: layer.locked_classes)):
        for expected in ({TUMOUR}, set()):
            where = table.visualRect(table.indexFromItem(item, column)).center()
            qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
            assert marked() == expected


def test_a_hidden_class_that_is_taken_in_hand_is_seen_again(ring):
    table = ring.annotate.classes
    table.toggle_hidden(1)
    table.select(1)
    assert ring.session.layers.mask.hidden_classes == frozenset()


def test_the_menus_accept_and_reject_in_outlines_and_on_the_slide(opened):
    session, review = opened.session, opened.review
    whole = Region(0, 0, *session.mask.shape)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full(session.mask.shape, TUMOUR, np.uint8)))
    opened.session.layers.contours.events.data.disconnect()  # what is drawn stays a selection here
    session.layers.contours.add_polygons([SQUARE])
    menu = review.accept_more.choices
    menu.aboutToShow.emit()
    assert menu.actions()[0].isEnabled()
    texts = [action.text() for action in menu.actions()]
    assert texts == ["Accept in the selection", "Accept on the whole slide"]
    review.accept_more.choices.actions()[0].trigger()
    assert session.mask.counts[TUMOUR, Provenance.ACCEPTED] == 100
    review.reject_more.choices.actions()[1].trigger()
    assert session.mask.counts.sum() - session.mask.counts[0].sum() == 100


def test_without_a_selection_the_menus_do_not_offer_it_and_nothing_is_done_instead(opened):
    session, review = opened.session, opened.review
    whole = Region(0, 0, *session.mask.shape)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full(session.mask.shape, TUMOUR, np.uint8)))
    for more in (review.accept_more, review.reject_more):
        more.choices.aboutToShow.emit()
        there, everywhere = more.choices.actions()
        assert (there.isEnabled(), everywhere.isEnabled()) == (False, True)
        assert there.toolTip() == "Nothing is selected on this slide. Draw around an area with Select first."
    review.accept_in(SELECTION)
    review.reject_in(SELECTION)
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 256 * 256
