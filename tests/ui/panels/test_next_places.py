"""Next places in the window: the strip, and the keys that go from place to place and decide, with real events."""

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.live.packed import pack
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import FindPlaces, OfferedPlace, PlacesFound
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.projects.skipped_places import FILE

BACKGROUND, TUMOUR, SIDE = 1, 2, 128
FIRST, SECOND = Region(0, 0, SIDE, SIDE), Region(128, 128, SIDE, SIDE)
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
WHY = "unsure between Background and Tumour"


def place(slide, region):
    picture = pack(np.full((64, 64, 3), 200, np.uint8))
    return OfferedPlace(slide, region, WHY, None, ("Background", "Tumour"), (64, 64), picture)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """However slow the disk is, what goes before a decision is over in time."""
    monkeypatch.setattr("napari_pathseg.ui.session.mask_editor._SOON_S", 60.0)


@pytest.fixture
def offered(opened):
    """The window with Review open, a model's tumour all over the first slide, and three places."""
    session = opened.session
    pixels = np.full(session.mask.shape, TUMOUR, np.uint8)
    session.refresh_mask(fill_from_model(session.mask, Region(0, 0, 256, 256), pixels))
    opened.sections["review"].set_open(True)
    opened.review.places.search.click()
    assert isinstance(opened.worker.sent[-1], FindPlaces)
    assert opened.review.places.search.text() == "Stop"
    opened.worker.event.emit(PlacesFound([place("case0", FIRST), place("case0", SECOND), place("case1", FIRST)]))
    QApplication.processEvents()
    return opened


def frame(dock):
    """Return the box of the frame on screen; None without one."""
    layer = dock.session.layers.overlays.get("next place")
    if layer is None or not len(layer.data):
        return None
    corners = np.asarray(layer.data[0])
    return Region(*(int(value) for value in (corners.min(axis=0) + 0.5)), *(int(v) for v in np.ptp(corners, axis=0)))


def person(dock):
    return dock.session.mask.counts[:, Provenance.ACCEPTED :].sum(axis=1)[[BACKGROUND, TUMOUR]].tolist()


def decisions(dock):
    return [offer.shown_decision for offer in dock.session.places.offers]


def test_strip_shows_each_place_with_its_slide_and_why(offered):
    cards = offered.review.places.cards
    assert [card.offer is not None for card in cards] == [True] * 3 + [False] * 3
    assert [card.isHidden() for card in cards] == [False] * 3 + [True] * 3  # a row without a place
    assert cards[2].toolTip() == f"case1: {WHY} · 0.02 Mpx\nClick to go there."
    assert offered.review.places.sentence.text() == "3 places. Press N to go to the first."
    assert cards[0].grab().toImage().pixelColor(6, 6).lightness() == pytest.approx(200, abs=8)  # in 16 bits, too


def test_n_flies_to_the_next_place_framed_and_shift_n_back(offered, mouse, viewer):
    mouse.key(Qt.Key.Key_N)
    assert frame(offered) == FIRST
    visible = offered.session.layers.visible_region()
    assert visible.intersect(FIRST) == FIRST
    assert visible.clip((256, 256)).height < 256
    mouse.key(Qt.Key.Key_N)
    assert frame(offered) == SECOND
    mouse.key(Qt.Key.Key_N)
    assert (offered.session.slide.id, frame(offered)) == ("case1", FIRST)
    mouse.key(Qt.Key.Key_N, SHIFT)
    assert (offered.session.slide.id, frame(offered)) == ("case0", SECOND)


def test_a_accepts_what_the_model_says_in_the_frame_in_one_undo_step_and_moves_on(offered, mouse, qtbot):
    paint(offered.session.mask, Region(0, 0, 10, 10), np.full((10, 10), BACKGROUND, np.uint8))
    offered.session.refresh_mask(Region(0, 0, 10, 10))
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_A)
    assert frame(offered) == SECOND
    assert person(offered) == [100, SIDE * SIDE - 100]
    assert offered.session.mask.counts[TUMOUR, Provenance.ACCEPTED] == SIDE * SIDE - 100
    assert decisions(offered) == ["accepted", "", ""]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: person(offered) == [100, 0])
    assert frame(offered) == FIRST
    assert decisions(offered) == ["", "", ""]


def test_x_makes_background_of_the_frame_in_one_undo_step_and_moves_on(offered, mouse, qtbot):
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_X)
    assert frame(offered) == SECOND
    assert offered.session.mask.counts[BACKGROUND, Provenance.CORRECTED] == SIDE * SIDE
    assert decisions(offered) == ["none here", "", ""]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: person(offered) == [0, 0])
    assert decisions(offered) == ["", "", ""]


def test_s_skips_the_place_which_the_project_remembers_and_undo_takes_back(offered, mouse):
    stored = offered.session.project.folder / FILE
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_S)
    assert frame(offered) == SECOND
    assert json.loads(stored.read_text())["slides"] == {"case0": [list(FIRST)]}
    offered.review.places.more.choices.aboutToShow.emit()
    assert offered.review.places.more.choices.actions()[0].text() == "Offer skipped places again (1)"
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert json.loads(stored.read_text())["slides"] == {}
    assert frame(offered) == FIRST
    assert person(offered) == [0, 0]


def test_painting_in_the_frame_corrects_only_what_it_touches_and_the_rest_is_accepted(offered, mouse, qtbot):
    mouse.key(Qt.Key.Key_N)
    offered.annotate.classes.select(BACKGROUND)
    offered.annotate.choose("brush")
    mouse.drag((60, 40), (60, 80))
    qtbot.waitUntil(lambda: person(offered)[0] > 0 and not offered.session.mask.has_pending)
    painted = person(offered)[0]
    mouse.key(Qt.Key.Key_A)
    assert person(offered) == [painted, SIDE * SIDE - painted]


def test_after_the_last_decision_others_are_looked_for(offered, mouse):
    for key in (Qt.Key.Key_N, Qt.Key.Key_A, Qt.Key.Key_X, Qt.Key.Key_S):
        mouse.key(key)
    assert decisions(offered) == ["accepted", "none here", "skipped"]
    assert sum(isinstance(command, FindPlaces) for command in offered.worker.sent) == 2
    assert frame(offered) is None


def test_locked_class_stays_the_models(offered, mouse):
    offered.session.class_flags.set_locked(TUMOUR, True)
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_A)
    mouse.key(Qt.Key.Key_X)
    assert person(offered) == [0, 0]


def test_without_a_frame_the_keys_are_naparis(offered, mouse):
    layer = offered.session.layers.mask
    offered.annotate.classes.select(TUMOUR)
    mouse.key(Qt.Key.Key_X)
    assert layer.selected_label != TUMOUR
    mouse.key(Qt.Key.Key_X)
    assert layer.selected_label == TUMOUR
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_X)
    assert layer.selected_label == TUMOUR
    offered.sections["review"].set_open(False)
    assert frame(offered) is None
    mouse.key(Qt.Key.Key_X)
    assert layer.selected_label != TUMOUR
    assert decisions(offered) == ["none here", "", ""]


def test_n_goes_nowhere_while_review_is_folded(offered, mouse):
    offered.sections["review"].set_open(False)
    mouse.key(Qt.Key.Key_N)
    assert offered.session.places.current is None


def test_a_place_is_gone_to_and_decided_on_with_the_mouse_too(offered, mouse):
    panel = offered.review.places
    panel.cards[1].click()
    assert frame(offered) == SECOND
    panel.none_here.click()
    assert (offered.session.slide.id, frame(offered)) == ("case1", FIRST)
    panel.skip.click()
    panel.cards[2].click()
    assert panel.skip.text() == "Offer S"
    panel.next.click()
    assert (offered.session.slide.id, frame(offered)) == ("case0", FIRST)
    panel.accept.click()
    assert decisions(offered) == ["accepted", "none here", "skipped"]


def test_buttons_can_be_pressed_only_where_there_is_something_to_decide(dock, offered, mouse):
    panel = offered.review.places
    buttons = (panel.accept, panel.none_here, panel.skip)
    assert not any(button.isEnabled() for button in buttons)
    mouse.key(Qt.Key.Key_N)
    assert all(button.isEnabled() for button in buttons)
    offered.session.show_slide("case2")
    assert not any(button.isEnabled() for button in buttons)
    for button, key in zip((panel.next, *buttons), "NAXS", strict=True):
        assert button.text().endswith(f" {key}")
        assert button.toolTip().endswith(f"({key})")


def test_search_can_be_left_to_the_user(offered):
    panel = offered.review.places
    assert panel.auto.isChecked()
    panel.auto.click()
    assert not offered.session.project.state.finds_places
    assert not panel.auto.isChecked()


def test_worker_finds_places_with_pictures_of_the_slides(real_worker, opened, mouse, qtbot):
    opened.sections["review"].set_open(True)
    opened.review.places.search.click()
    qtbot.waitUntil(lambda: bool(opened.session.places.offers))
    cards = [card for card in opened.review.places.cards if card.offer is not None]
    assert {card.offer.place.slide for card in cards} == {"case0", "case1", "case2", "case3"}
    assert all("nothing is labelled yet" in card.toolTip() for card in cards)
    pink = cards[0].grab().toImage().pixelColor(6, 6)
    assert pink.red() > pink.green() + 20
    mouse.key(Qt.Key.Key_N)
    assert opened.session.slide.id == cards[0].offer.place.slide
