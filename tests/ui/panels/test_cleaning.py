import numpy as np
import pytest
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog

from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask import Provenance
from napari_pathseg.data.mask.edits import fill_from_model, paint
from napari_pathseg.ui.panels.cleaning import CleanUp, clean_up_button
from napari_pathseg.ui.places import SLIDE

TUMOUR = 2
EYE, LOCK = 3, 4


@pytest.fixture
def opened(dock, pictures):
    dock.slides.arrivals.take(pictures[:2])
    return dock


@pytest.fixture
def ring(opened):
    """A dock whose slide shows a tumour with a hole of 100 pixels."""
    labels = np.zeros(opened.session.mask.shape, np.uint8)
    labels[50:150, 50:150] = TUMOUR
    labels[90:100, 90:100] = 0
    opened.session.mask_edited(paint(opened.session.mask, Region(0, 0, *labels.shape), labels))
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
    choose(clean_up.deed, "holes")
    choose(clean_up.where, SLIDE)
    assert clean_up.label.currentText() == "Tumour"
    assert clean_up.amount.suffix() == " px"
    click(qtbot, clean_up.apply)
    assert (labels_of(ring)[90:100, 90:100] == TUMOUR).all()
    ring.outline.undo_step()
    assert not labels_of(ring)[90:100, 90:100].any()


def test_the_window_leaves_the_slide_to_be_worked_on(clean_up):
    assert not clean_up.isModal()


def test_the_amount_is_told_in_the_unit_of_what_is_done(ring, clean_up):
    ring.session.opened.change("case0", mpp=0.5)
    ring.session.show_slide("case0")
    shown = {}
    for deed in ("holes", "smooth", "assign"):
        choose(clean_up.deed, deed)
        assert clean_up.amount.isVisible() != clean_up.onto.isVisible()
        shown[deed] = clean_up.amount.suffix() if clean_up.amount.isVisible() else ""
    assert shown == {"holes": " µm²", "smooth": " µm", "assign": ""}


def test_any_class_can_be_given_another_one_but_not_be_smoothed(clean_up):
    choose(clean_up.deed, "assign")
    assert clean_up.label.findText("Any class") >= 0
    choose(clean_up.deed, "smooth")
    assert clean_up.label.findText("Any class") < 0


def test_what_was_asked_for_is_asked_again_with_the_project(ring, clean_up, qtbot):
    choose(clean_up.deed, "shrink")
    clean_up.amount.setValue(3)
    choose(clean_up.where, SLIDE)
    click(qtbot, clean_up.apply)
    asked = clean_up.cleaning
    folder = ring.session.opened.folder
    ring.session.close()
    ring.session.open_project(folder)
    again = CleanUp(ring.session)
    qtbot.addWidget(again)
    assert again.cleaning == asked


def test_all_is_cleared_at_a_click_and_undo_brings_it_back(ring, clean_up, qtbot):
    before = labels_of(ring)
    choose(clean_up.deed, "clear")
    choose(clean_up.label, 0)
    choose(clean_up.where, SLIDE)
    assert not clean_up.onto.isVisible()
    click(qtbot, clean_up.apply)
    assert not labels_of(ring).any()
    ring.outline.undo_step()
    assert np.array_equal(labels_of(ring), before)


def test_without_outlines_it_opens_for_the_view(ring, clean_up):
    assert clean_up.where.currentText() == "In view"


@pytest.mark.parametrize("cancel", [False, True])
def test_long_work_tells_how_far_it_is_and_cancel_takes_it_back(ring, clean_up, qtbot, monkeypatch, cancel):
    """The work is made long by waiting in it for the window; the brush is away meanwhile."""
    monkeypatch.setattr("napari_pathseg.ui.patience._FELT_MS", 0)
    before, seen = labels_of(ring), []

    def look():
        progress = next((w for w in QApplication.topLevelWidgets() if isinstance(w, QProgressDialog)), None)
        if progress is None or not progress.isVisible():
            return
        seen.append((QApplication.activeModalWidget() is progress, ring.session.corrections.busy))
        if cancel:
            progress.cancel()

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(0)
    choose(clean_up.deed, "grow")
    clean_up.amount.setValue(4)
    choose(clean_up.where, SLIDE)
    click(qtbot, clean_up.apply)
    timer.stop()
    assert (True, True) in seen
    assert np.array_equal(labels_of(ring), before) == cancel
    assert clean_up._told.text() == ("Nothing was changed." if cancel else "Done.")


def test_the_button_needs_a_slide_that_can_be_changed(dock, pictures, qtbot):
    button = clean_up_button(dock.session)
    qtbot.addWidget(button)
    assert not button.isEnabled()
    dock.slides.arrivals.take(pictures[:1])
    assert button.isEnabled()


def test_eye_and_lock_are_clicked_in_the_table(ring, qtbot):
    ring.sections["outline"].set_open(True)
    table, layer = ring.outline.classes, ring.session.layers.mask
    item = table.topLevelItem(TUMOUR - 1)
    for column, marked in ((EYE, lambda: layer.hidden_classes), (LOCK, lambda: layer.locked_classes)):
        for expected in ({TUMOUR}, set()):
            where = table.visualRect(table.indexFromItem(item, column)).center()
            qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=where)
            assert marked() == expected


def test_a_hidden_class_that_is_taken_in_hand_is_seen_again(ring):
    table = ring.outline.classes
    table.toggle_hidden(1)
    table.select(1)
    assert ring.session.layers.mask.hidden_classes == frozenset()


def test_the_menus_accept_and_reject_in_outlines_and_on_the_slide(opened):
    session, review = opened.session, opened.review
    whole = Region(0, 0, *session.mask.shape)
    session.mask_edited(fill_from_model(session.mask, whole, np.full(session.mask.shape, TUMOUR, np.uint8)))
    opened.session.layers.contours.events.data.disconnect()  # what is drawn stays a selection here
    session.layers.contours.add_polygons([[[9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5]]])
    texts = [action.text() for action in review.accept_more.choices.actions()]
    assert texts == ["Accept in the selection", "Accept on the whole slide"]
    review.accept_more.choices.actions()[0].trigger()
    assert session.mask.counts[TUMOUR, Provenance.ACCEPTED] == 100
    review.reject_more.choices.actions()[1].trigger()
    assert session.mask.counts.sum() - session.mask.counts[0].sum() == 100
