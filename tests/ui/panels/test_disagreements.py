"""Disagreements of labels and a model in the window: the strip, its keys, and what they leave in the mask."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.events import run
from napari_pathseg.engine.guidance.disagreements import disagreements
from napari_pathseg.engine.guidance.pictures import picture_of
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import FindDisagreements, FindPlaces, OfferedPlace, PlacesFound
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.disagreement import Question
from napari_pathseg.masks.edits import paint
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.skipped_places import DISAGREEMENTS_FILE

BACKGROUND, TUMOUR, SIDE = 1, 2, 256
WHOLE, BAND = Region(0, 0, SIDE, SIDE), Region(200, 0, 40, SIDE)
CONTROL = Qt.KeyboardModifier.ControlModifier


def search(dock):
    """Do what the worker would do with the last command, and send the window its answer."""
    command, project = dock.worker.sent[-1], dock.session.project
    assert isinstance(command, FindDisagreements)
    dock.session.mask.flush()
    question = Question(*command.pair) if command.pair else None
    found = run(disagreements(project, command.count, model=command.model, question=question))
    places = []
    for one in found.places:
        pair = tuple(project.classes.named(name).index for name in (one.labelled, one.predicted))
        picture = picture_of(project, one.slide, one.region)
        place = OfferedPlace(one.slide, one.region, one.reason, one.area_mm2, pair=pair, model=one.model)
        place = replace(place, confidence=one.confidence)
        places.append(replace(place, sides=picture.shape[:2], pixels=pack(picture), learnt=one.learnt))
    dock.worker.event.emit(PlacesFound(places, found.note))
    QApplication.processEvents()


@pytest.fixture
def labelled(opened, disc):
    """The window with Review open, and two labelled slides on which a model finds another tumour than is labelled."""
    session = opened.session
    save_model(session.project, make_bundle(train=["case1"], val=["case0"]))
    band = np.zeros((SIDE, SIDE), bool)
    band[BAND.slices] = True
    for slide, wrong, probability in (("case1", band, 0.9), ("case0", disc | band, 0.98)):
        session.show_slide(slide)
        paint(session.mask, WHOLE, np.full((SIDE, SIDE), BACKGROUND, np.uint8))
        session.refresh_mask(WHOLE)
        session.editor.save_mask()
        tumour = np.round(255 * np.where(wrong, probability, 0.02)).astype(np.uint8)
        path = session.project.prediction_path("m001", slide)
        create_prediction(path, (SIDE, SIDE), ("Background", "Tumour")).write(WHOLE, np.stack([255 - tumour, tumour]))
    opened.sections["review"].set_open(True)
    return opened


@pytest.fixture
def offered(labelled):
    """The same, after the disagreements were chosen and found."""
    choose(labelled, "Disagreements")
    search(labelled)
    return labelled


def choose(dock, text):
    kind = dock.review.places.kind
    kind.setCurrentIndex(kind.findText(text))
    kind.activated.emit(kind.currentIndex())


def kinds(dock):
    kind = dock.review.places.kind
    return [kind.itemText(at) for at in range(kind.count())]


def drawn(dock):
    return [str(kind) for kind in dock.session.layers.overlays["next place"].shape_type]


def decisions(dock):
    return [offer.shown_decision for offer in dock.session.places.offers]


def tumour(dock):
    return {
        Provenance(kind).name: int(dock.session.mask.counts[TUMOUR, kind])
        for kind in range(6)
        if dock.session.mask.counts[TUMOUR, kind]
    }


def test_choice_of_disagreements_looks_for_them_and_shows_the_surest_first(offered):
    places = offered.session.places
    assert [offer.place.slide for offer in places.offers] == ["case0", "case1"]
    first, second = offered.review.places.cards[:2]
    assert "you: Background, model: Tumour 98 %" in first.toolTip()
    assert "m001 has not learnt these labels." in first.toolTip()
    assert "m001 has learnt these labels." in second.toolTip()
    assert offered.review.places.sentence.text() == "2 places. Press N to go to the first."


def test_what_is_asked_about_is_outlined_in_the_frame(offered, mouse):
    mouse.key(Qt.Key.Key_N)
    assert offered.session.slide.id == "case0"
    assert drawn(offered) == ["rectangle", "path", "path"]  # the disc and the band
    assert offered.review.places.sentence.text().startswith("1 of 2 · case0 · you: Background, model: Tumour 98 %")


def test_place_whose_prediction_is_gone_stays_open_and_the_key_says_so(offered, mouse, notifications):
    mouse.key(Qt.Key.Key_N)
    shutil.rmtree(offered.session.project.prediction_path("m001", "case0"))
    mouse.key(Qt.Key.Key_A)
    assert decisions(offered) == ["", ""]
    assert "no readable prediction of case0" in notifications[-1]


def test_a_takes_what_the_model_says_in_one_undo_step(offered, mouse, qtbot, disc):
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_A)
    assert offered.session.slide.id == "case1"
    mouse.key(Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    assert tumour(offered) == {"ACCEPTED": int(disc.sum()) + BAND.height * BAND.width}
    assert drawn(offered) == ["rectangle"]
    assert decisions(offered) == ["taken", ""]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    qtbot.waitUntil(lambda: tumour(offered) == {})
    assert decisions(offered) == ["", ""]


def test_x_keeps_the_label_as_corrected_and_the_place_stays_away(offered, mouse, qtbot):
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_X)
    assert decisions(offered) == ["kept", ""]
    offered.session.show_slide("case0")
    assert tumour(offered) == {}
    corrected = offered.session.mask.counts[BACKGROUND, Provenance.CORRECTED]
    assert corrected > BAND.height * BAND.width
    offered.session.editor.save_mask()
    offered.review.places.search.click()
    search(offered)
    assert [offer.place.slide for offer in offered.session.places.offers] == ["case1"]
    offered.session.refresh_mask(offered.session.mask.undo())
    assert offered.session.mask.counts[BACKGROUND, Provenance.CORRECTED] == 0


def test_s_skips_the_place_which_stays_away(offered, mouse):
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_S)
    stored = json.loads((offered.session.project.folder / DISAGREEMENTS_FILE).read_text())["slides"]
    assert list(stored) == ["case0"]
    offered.review.places.more.choices.aboutToShow.emit()
    assert offered.review.places.more.choices.actions()[0].text() == "Offer skipped places again (1)"
    offered.session.places.search.start()
    search(offered)
    assert [offer.place.slide for offer in offered.session.places.offers] == ["case1"]


def test_painting_settles_what_it_touches_and_the_rest_is_asked(offered, mouse, disc):
    mouse.key(Qt.Key.Key_N)
    paint(offered.session.mask, BAND, np.full((BAND.height, BAND.width), TUMOUR, np.uint8))
    offered.session.refresh_mask(BAND)
    assert drawn(offered) == ["rectangle", "path"]
    mouse.key(Qt.Key.Key_A)
    offered.session.show_slide("case0")
    assert tumour(offered) == {"DRAWN": BAND.height * BAND.width, "ACCEPTED": int(disc.sum())}


def test_complete_slides_are_checked_too(offered, mouse):
    offered.session.editor.set_complete(True)
    assert len(offered.session.places.offers) == 2


def test_other_kind_comes_back_as_it_was(offered):
    choose(offered, "Least sure")
    assert isinstance(offered.worker.sent[-1], FindPlaces)
    offered.worker.event.emit(PlacesFound([OfferedPlace("case2", BAND, "unlike anything labelled")]))
    buttons = offered.review.places.accept, offered.review.places.none_here
    assert [button.text() for button in buttons] == ["Accept A", "None here X"]
    choose(offered, "Disagreements")
    assert [offer.place.slide for offer in offered.session.places.offers] == ["case0", "case1"]
    assert [button.text() for button in buttons] == ["Take A", "Keep X"]
    choose(offered, "Least sure")
    assert [offer.place.slide for offer in offered.session.places.offers] == ["case2"]


def test_slides_without_a_prediction_are_named_in_the_strip(labelled):
    labelled.session.show_slide("case2")
    paint(labelled.session.mask, WHOLE, np.full((SIDE, SIDE), BACKGROUND, np.uint8))
    labelled.session.refresh_mask(WHOLE)
    labelled.session.editor.save_mask()
    choose(labelled, "Disagreements")
    search(labelled)
    said = labelled.review.places.sentence.text()
    assert said == "2 places. Press N to go to the first. case2 is not compared: predict it first."
