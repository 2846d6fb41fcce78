"""Undo and redo across the window, with real keys: strokes, changes of models, decisions on places, last one first."""

import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.evaluation.slide_scores import SlideScore
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import OfferedPlace, PlacesFound
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.skipped_places import load_skipped

CONTROL = Qt.KeyboardModifier.ControlModifier
CONTROL_SHIFT = CONTROL | Qt.KeyboardModifier.ShiftModifier
TUMOUR = 2


@pytest.fixture
def compared(opened, mouse):
    """The window with a second model, which a training has compared with the first."""
    project, models = opened.session.project, opened.session.models
    save_model(project, make_bundle("m001"))
    scores = [{"case0": SlideScore([dice, dice], "labels")} for dice in (0.8, 0.9)]
    save_model(project, make_bundle("m002", base="m001", base_scores=scores[0], slide_scores=scores[1]))
    models.settle("m002")
    opened.session.project_changed.emit()
    opened.sections["train"].set_open(True)
    opened.train.version_choice.refresh()
    mouse.key(Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    mouse.key(Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    return opened


def models(dock):
    project = Project.open(dock.session.project.folder)
    return project.model_ids(), project.current_model


def tumour(dock):
    dock.session.editor.apply_pending()
    return int(dock.session.mask.counts[TUMOUR].sum())


def discard(dock):
    QTest.mouseClick(dock.train.version_choice.discard, Qt.MouseButton.LeftButton)


def test_strokes_and_a_discarded_model_are_taken_back_in_turn_and_done_again(compared, mouse, viewer):
    mouse.drag((60, 60), (60, 100))
    first = tumour(compared)
    discard(compared)
    mouse.drag((180, 60), (180, 100))
    both = tumour(compared)
    assert models(compared) == (["m001"], "m001")
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert (tumour(compared), models(compared)) == (first, (["m001"], "m001"))
    assert viewer.status == "Undone: the last edit of case0."
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert (tumour(compared), models(compared)) == (first, (["m001", "m002"], "m002"))
    assert viewer.status == "Undone: m002 was discarded."
    assert compared.train.version_choice.discard.isVisible()
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert tumour(compared) == 0
    for _ in range(3):
        mouse.key(Qt.Key.Key_Z, CONTROL_SHIFT)
    assert (tumour(compared), models(compared)) == (both, (["m001"], "m001"))


def test_nothing_is_taken_back_twice(compared, mouse, viewer):
    discard(compared)
    for _ in range(2):
        mouse.key(Qt.Key.Key_Z, CONTROL)
    assert models(compared) == (["m001", "m002"], "m002")
    assert viewer.status == "There is nothing to undo on case0."


def test_discarded_model_is_taken_back_on_another_slide_too(compared, mouse):
    mouse.drag((60, 60), (60, 100))
    discard(compared)
    compared.slides.show_slide("case1")
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert models(compared) == (["m001", "m002"], "m002")
    compared.slides.show_slide("case0")
    assert tumour(compared) > 0


def test_what_was_removed_is_left_removed_once_another_change_of_models_came_in_between(compared, mouse):
    compared.session.models.remove("m001")
    Project.open(compared.session.project.folder)
    with compared.session.project.edit_state() as state:
        state.model_names = {"m002": "best"}
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert models(compared) == (["m002"], "m002")


def test_renamed_and_chosen_models_are_taken_back_one_by_one(compared, mouse, viewer):
    compared.session.models.make_current("m001")
    compared.session.models.rename("m001", "first")
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert (compared.session.project.state.model_names, models(compared)[1]) == ({}, "m001")
    assert viewer.status == "Undone: m001 was renamed."
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert models(compared)[1] == "m002"


def test_skipped_place_and_discarded_model_are_taken_back_in_turn(compared, mouse, viewer):
    compared.sections["review"].set_open(True)
    compared.review.places.search.click()
    boxes = [Region(0, 0, 64, 64), Region(128, 128, 64, 64)]
    compared.worker.event.emit(PlacesFound([OfferedPlace("case0", box, "unsure", None) for box in boxes]))
    QApplication.processEvents()
    mouse.key(Qt.Key.Key_N)
    mouse.key(Qt.Key.Key_S)
    discard(compared)
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert viewer.status == "Undone: m002 was discarded."
    assert load_skipped(compared.session.project) == {"case0": [boxes[0]]}
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert viewer.status == "Undone: a place on case0 was skipped."
    assert load_skipped(compared.session.project) == {}
