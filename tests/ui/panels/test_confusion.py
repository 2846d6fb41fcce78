"""The confusion matrix in Review: what its cells say, and the places that they open."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import (
    FilesWritten,
    FindDisagreements,
    OfferedPlace,
    PlacesFound,
    Report,
    Score,
    ScoringFinished,
)
from napari_pathseg.masks.edits import paint

BACKGROUND, TUMOUR, SIDE = 1, 2, 256
WHOLE = Region(0, 0, SIDE, SIDE)
COUNTS = [[900_000, 100_000], [0, 500_000]]


@pytest.fixture
def scorable(opened):
    """The window with Review open on a model and a held-out slide with labels."""
    session = opened.session
    save_model(session.project, make_bundle(val=["case0"]))
    paint(session.mask, WHOLE, np.full((SIDE, SIDE), BACKGROUND, np.uint8))
    session.refresh_mask(WHOLE)
    session.editor.save_mask()
    session.project.update_slide("case0", role="val")
    session.project_changed.emit()
    opened.sections["review"].set_open(True)
    opened.review.mixed_up.set_open(True)
    return opened


def score(dock, mm2=()):
    dock.review.confusion.score.click()
    assert isinstance(dock.worker.sent[-1], Score)
    dice = {"Background": 0.9, "Tumour": 0.8}
    finished = ScoringFinished("m001", dice, ["case0"], confusion=COUNTS, confusion_mm2=[list(row) for row in mm2])
    dock.worker.event.emit(finished)
    QApplication.processEvents()
    dock.review.confusion.refresh()


def texts(dock):
    return {pair: button.text() for pair, button in dock.review.confusion.cells.items()}


def test_without_scores_it_says_how_to_get_them(scorable):
    panel = scorable.review.confusion
    assert panel.cells == {}
    assert panel.sentence.text().startswith("Score the model to see which classes it mixes up")


def test_main_scores_are_said_in_words_with_what_limits_them(scorable):
    panel = scorable.review.confusion
    panel.score.click()
    said = {"text": ["Tumour: Dice 0.800."], "notes": ["1 patient is scored."]}
    scorable.worker.event.emit(ScoringFinished("m001", {"Tumour": 0.8}, ["case0"], confusion=COUNTS, **said))
    QApplication.processEvents()
    panel.refresh()
    assert panel.scores.text() == "Tumour: Dice 0.800.\n1 patient is scored."


def test_report_is_written_by_the_worker_and_named_when_it_is_there(scorable, tmp_path, qtbot):
    messages = []
    scorable.session.message.connect(lambda text, *_: messages.append(text))
    scorable.review.write_report(tmp_path)
    command = scorable.worker.sent[-1]
    assert isinstance(command, Report)
    assert (command.model, command.folder) == ("m001", str(tmp_path))
    qtbot.waitUntil(lambda: not scorable.review.report.isEnabled())
    scorable.worker.event.emit(FilesWritten([str(tmp_path / "report.html")]))
    qtbot.waitUntil(scorable.review.report.isEnabled)
    assert any("report.html" in text for text in messages)


def test_scored_model_shows_shares_of_what_is_labelled(scorable):
    score(scorable)
    assert texts(scorable) == {(1, 1): "90.0 %", (1, 2): "10.0 %", (2, 1): "", (2, 2): "100 %"}
    assert scorable.review.confusion.sentence.text().startswith("Rows: your labels. Columns: m001, on case0.")
    cell = scorable.review.confusion.cells[1, 2]
    assert cell.toolTip().startswith("Labelled Background, predicted Tumour: 0.10 Mpx, 10.0 % of Background.")
    assert cell.accessibleName()


def test_what_a_training_found_is_shown_before_the_model_is_scored(scorable):
    trained = {"case0": SlideScore([0.9, 0.8], "labels", [[300, 100], [0, 600]])}
    save_model(scorable.session.project, make_bundle("m002", val=["case0"], slide_scores=trained))
    scorable.session.models.make_current("m002")
    scorable.review.confusion.refresh()
    assert texts(scorable) == {(1, 1): "75.0 %", (1, 2): "25.0 %", (2, 1): "", (2, 2): "100 %"}
    assert scorable.review.confusion.sentence.text().endswith("m002, on case0. Score shows where the errors are.")
    assert not scorable.review.confusion.cells[1, 2].isEnabled()
    assert "Press Score, then click here" in scorable.review.confusion.cells[1, 2].toolTip()


def test_areas_are_shown_where_the_pixel_size_is_known(scorable):
    score(scorable, mm2=[[0.9, 0.1], [0, 0.5]])
    scorable.review.confusion.areas.click()
    assert texts(scorable) == {(1, 1): "0.90", (1, 2): "0.10", (2, 1): "", (2, 2): "0.50"}
    assert "0.10 mm²" in scorable.review.confusion.cells[1, 2].toolTip()


def test_only_errors_can_be_opened(scorable):
    score(scorable)
    enabled = {pair for pair, button in scorable.review.confusion.cells.items() if button.isEnabled()}
    assert enabled == {(1, 2)}


def test_cell_opens_the_places_of_its_pair_with_the_keyboard_and_goes_to_the_first(scorable):
    score(scorable)
    cell = scorable.review.confusion.cells[1, 2]
    assert cell.focusPolicy() & Qt.FocusPolicy.TabFocus
    QTest.keyClick(cell, Qt.Key.Key_Space)
    command = scorable.worker.sent[-1]
    assert isinstance(command, FindDisagreements)
    assert (command.pair, command.model, command.slides) == ((1, 2), "m001", ["case0"])
    place = OfferedPlace("case0", Region(0, 0, 128, 128), "you: Background, model: Tumour 98 %", pair=(1, 2))
    scorable.worker.event.emit(PlacesFound([place]))
    assert scorable.session.places.framed
    kind = scorable.review.places.kind
    assert kind.currentText() == "Background, not Tumour"
    kind.setCurrentIndex(0)
    kind.activated.emit(0)
    assert [kind.itemText(at) for at in range(kind.count())] == ["Least sure", "Disagreements"]


def test_later_search_does_not_move_the_view_if_the_cell_had_no_places(scorable):
    score(scorable)
    scorable.review.confusion.cells[1, 2].click()
    scorable.worker.event.emit(PlacesFound([]))
    scorable.session.places.search.start()
    place = OfferedPlace("case0", Region(0, 0, 128, 128), "you: Background, model: Tumour 98 %", pair=(1, 2))
    scorable.worker.event.emit(PlacesFound([place]))
    assert scorable.session.places.left == 1
    assert not scorable.session.places.framed


def test_other_project_shows_no_matrix(scorable):
    score(scorable)
    scorable.session.close()
    scorable.review.confusion.refresh()
    assert scorable.review.confusion.cells == {}
