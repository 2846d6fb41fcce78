"""What the window says of held-out slides, of what is learnt, and of scores: a real window, mouse and keys."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_pathseg.config import TrainConfig
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import Score, ScoringFinished, TrainingFinished
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.projects.checks.trainability import describe_training
from napari_pathseg.projects.held_out_parts import WEAKER
from napari_pathseg.projects.importing.add_slides import AddOptions
from napari_pathseg.projects.project_state import TrainedLabels
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.queries import compared_on
from napari_pathseg.ui.widgets.fixed_lines import FixedLines

LEFT = Qt.MouseButton.LeftButton


def scores(**dice):
    return {name: {"dice": value} for name, value in dice.items()}


def give_model(session, name="m001", **fields):
    """Put the metadata of a model where the project looks for it."""
    save_model(session.project, make_bundle(name, **fields))
    session.project_changed.emit()


@pytest.fixture
def annotated(opened, slide_files, mask_folder):
    """A window with four complete slides, of which case0 is held out, and a good model."""
    session = opened.session
    session.add_slides(slide_files, AddOptions(contours=mask_folder))
    for number in range(4):
        change_slides(session.project, [f"case{number}"], SlideChanges(role="train" if number else "val"))
    good = {"scores": scores(Background=0.98, Tumour=0.9), "mean_dice": 0.94}
    give_model(session, train=["case1", "case2", "case3"], val=["case0"], **good)
    session.show_slide("case0")
    return opened


@pytest.fixture
def drag(annotated, mouse):
    """A function that paints with the brush."""

    def paint(*positions):
        annotated.annotate.choose("brush")
        annotated.annotate.classes.select(2)
        mouse.drag(*positions)

    return paint


def test_correcting_a_held_out_slide_says_so_at_once_and_offers_to_learn_from_it(annotated, drag, qtbot, notifications):
    header, project = annotated.header, annotated.session.project
    assert "held out" not in header.text.text()
    drag((20, 20), (40, 60))
    qtbot.waitUntil(lambda: header.button.text() == "Learn from it")
    assert header.text.text() == "This slide is held out, not learnt. Hold out another instead?"
    QTest.mouseClick(header.button, LEFT)
    roles = {name: record.role for name, record in project.slides.items()}
    (instead,) = [name for name, role in roles.items() if role == "val"]
    assert roles["case0"] == "train"
    said = notifications[-1]
    assert said.startswith(f"The next training learns from case0; {instead} is held out instead.")
    assert f"m001 has learnt from {instead}: train from scratch" in said
    qtbot.waitUntil(lambda: header.button.text() != "Learn from it")
    assert f"held out to score it: {instead}." in annotated.train.sentence.text()


def test_correcting_a_training_slide_offers_to_train_again(annotated, drag, qtbot):
    header, session = annotated.header, annotated.session
    with session.project.edit_state() as state:
        state.trained_labels = TrainedLabels("m001", session.workspace.labelled_pixels())
    session.show_slide("case1")
    drag((20, 20), (40, 60))
    qtbot.waitUntil(lambda: header.button.text() == "Train")
    assert header.text.text() == "You changed 1 slide since m001. Train again to learn from it."
    session.show_slide("case0")
    drag((20, 20), (40, 60))
    session.show_slide("case2")
    qtbot.waitUntil(lambda: header.text.text() == "You changed 1 slide since m001. Train again to learn from it.")


def test_undoing_the_correction_takes_the_hint_back(annotated, drag, mouse, qtbot):
    drag((20, 20), (40, 60))
    qtbot.waitUntil(lambda: annotated.header.button.text() == "Learn from it")
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: annotated.header.button.text() != "Learn from it")


def test_panel_names_what_the_next_training_learns_from(annotated):
    sentence = annotated.train.sentence.text()
    assert sentence.startswith("Learns from 3 slides (")
    assert sentence.endswith("; held out to score it: case0. Learnt: case1, case2 and case3.")


def test_one_slide_can_be_trained_and_the_window_says_what_that_is_worth(opened, slide_files, mask_folder, qtbot):
    session, header = opened.session, opened.header
    session.add_slides(slide_files[:1], AddOptions(contours=mask_folder))
    qtbot.waitUntil(lambda: header.button.text() == "Train")
    assert "parts are held out, weaker evidence" in header.text.text()
    sentence = opened.train.sentence
    assert "but for parts held out to score it" in sentence.text()
    sentence.setFixedWidth(320)  # in a dock of 360 pixels
    sentence.setText(describe_training([slide_files[0].stem], [], "0.21 mm²", parts="the parts outlined in orange,"))
    assert WEAKER in " ".join(sentence.findChild(FixedLines).shown_text.split())


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"scores": scores(Background=0.2, Tumour=0.26), "mean_dice": 0.23}, "m002 is not reliable yet (Dice 0.23)."),
        (
            {"scores": scores(Background=0.0, Tumour=0.89), "mean_dice": 0.445, "collapsed": "Tumour"},
            "m002 collapsed: all is Tumour. Outline more Background, train from scratch.",
        ),
    ],
)
def test_predictions_of_a_poor_model_are_never_offered_for_accepting(annotated, qtbot, fields, text):
    session = annotated.session
    session.project.update_slide("case1", complete=False)
    session.show_slide("case1")
    whole = Region(0, 0, 256, 256)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full((256, 256), 2, np.uint8)))
    qtbot.waitUntil(lambda: annotated.header.button.text() == "Accept view")
    give_model(session, "m002", val=["case0"], **fields)
    qtbot.waitUntil(lambda: annotated.header.text.text().startswith(text))
    assert "accept" not in annotated.header.text.text().lower()
    assert annotated.header.button.text() == "Outline"


def test_finished_training_is_announced_with_its_verdict(annotated, qtbot, notifications):
    session = annotated.session
    session.training.run = JobState(JobKind.TRAIN, model="m001")
    text = "m001 has collapsed: it calls everything Tumour."
    session.worker.event.emit(TrainingFinished("m001", 0.445, "", text, reliable=False))
    assert text in notifications


def test_models_scored_on_other_slides_say_so_in_the_list(annotated):
    give_model(annotated.session, "m002", mean_dice=0.48, val=["case3"], train=["case1"])
    models = [annotated.review.model.itemText(number) for number in range(2)]
    assert models == ["● m002 · Dice 0.48 · new", "m001 · Dice 0.94 on case0 · new"]


def test_collapsed_model_is_marked_in_the_list(annotated):
    give_model(annotated.session, "m002", mean_dice=0.45, val=["case0"], collapsed="Tumour")
    assert annotated.review.model.currentText() == "● m002 · collapsed, all Tumour · Dice 0.45 · new"


def test_compare_scores_both_models_on_slides_that_neither_has_learnt(annotated, qtbot):
    session = annotated.session
    change_slides(session.project, ["case3"], SlideChanges(role="val"))
    give_model(session, "m002", mean_dice=0.9, val=["case0", "case3"], train=["case1"])
    annotated.sections["review"].set_open(True)
    qtbot.waitUntil(annotated.review.compare.isEnabled)
    annotated.review.compare.click()
    sent = [command for command in session.worker.sent if isinstance(command, Score)]
    assert [(command.model, command.slides) for command in sent] == [("m001", ["case0"])]
    session.worker.event.emit(ScoringFinished("m001", {"Background": 0.9, "Tumour": None}, ["case0"]))
    session.worker.event.emit(ScoringFinished("m002", {"Background": 0.95, "Tumour": None}, ["case0"]))
    table = annotated.review.table

    def shown():
        layout = table.layout()
        return [layout.itemAt(number).widget().text() for number in range(layout.count())]

    qtbot.waitUntil(lambda: table.isVisible() and "0.900" in shown())
    cells = shown()
    assert cells[:4] == ["Dice", "m001", "m002", "Difference"]
    assert cells[4:12] == ["Background", "0.900", "0.950", "+0.050", "Tumour", "–", "–", "–"]
    assert cells[12] == "Both on case0."


def test_compare_scores_models_adapted_as_well_while_adapt_to_scanner_is_on(annotated, qtbot):
    session = annotated.session
    give_model(session, "m002", mean_dice=0.9, val=["case0"], train=["case1"])
    annotated.review.settings.fields["adapt"].value = True
    annotated.review.compare_models()
    assert [command.adapt for command in session.worker.sent if isinstance(command, Score)] == [True]
    for model, dice, adapted in (("m001", 0.6, 0.8), ("m002", 0.7, 0.69)):
        found = {"Background": dice, "Tumour": None}, ["case0"]
        session.worker.event.emit(ScoringFinished(model, *found, adapted={"Background": adapted, "Tumour": None}))
    assert compared_on(session) == (
        "Both on case0. m001 adapted to scanner: Background 0.80 (plain 0.60). "
        "m002 adapted to scanner: Background 0.69 (plain 0.70)."
    )


def test_models_that_learnt_what_is_held_out_are_not_compared(annotated, notifications):
    give_model(annotated.session, "m002", mean_dice=0.9, val=["case1"], train=["case0"])
    annotated.review.compare_models()
    assert "m001 and m002 cannot be compared: m002 learnt from what is held out now (case0)." in notifications[-1]


@pytest.fixture
def with_part(opened, slide_files, mask_folder):
    """A window with one complete slide, a part of which the newest model was scored on."""
    session = opened.session
    session.add_slides(slide_files[:1], AddOptions(contours=mask_folder))
    for number in range(1, 4):
        session.remove_slides([f"case{number}"])
    part, good = [160, 160, 60, 60], {"scores": scores(Background=0.98, Tumour=0.9), "mean_dice": 0.94}
    config = TrainConfig(tile=64).to_json()
    give_model(session, train=["case0"], val=["case0"], held_out={"case0": [part]}, config=config, **good)
    session.show_slide("case0")
    return opened


def part_layers(dock):
    layers = dock.session.layers.viewer.layers
    return [one for one in layers if one.metadata.get("napari_pathseg", {}).get("role") == "held-out parts"]


def test_held_out_parts_are_outlined_with_their_margin_and_not_in_the_way(with_part, mouse, qtbot):
    (layer,) = part_layers(with_part)
    sides = [np.ptp(box, axis=0).tolist() for box in layer.data]
    assert sides[0] == [60, 60]
    assert sides[1][0] > 60
    assert not layer.editable
    assert with_part.session.layers.viewer.layers.selection.active is with_part.session.layers.mask
    assert "the parts outlined in orange, held out" in with_part.train.sentence.text()
    mouse.hold(Qt.Key.Key_H, True)
    assert not layer.visible
    mouse.hold(Qt.Key.Key_H, False)
    assert layer.visible


def test_correcting_a_held_out_part_says_so_at_once(with_part, mouse, qtbot):
    header = with_part.header
    with_part.annotate.choose("brush")
    mouse.drag((20, 20), (20, 50))
    qtbot.wait(400)
    assert "held out" not in header.text.text()
    mouse.drag((190, 190), (190, 200))
    qtbot.waitUntil(
        lambda: "a held-out part, outlined in orange: it scores models and is not learnt" in header.text.text()
    )
    header.button.click()
    qtbot.waitUntil(lambda: "held-out part" not in header.text.text())


def test_no_part_is_outlined_once_a_slide_of_another_patient_is_held_out(with_part, slide_files, mask_folder):
    session = with_part.session
    session.restore_slides(["case1"])
    change_slides(session.project, ["case1"], SlideChanges(role="val"))
    session.add_slides(slide_files[1:2], AddOptions(contours=mask_folder))
    session.project_changed.emit()
    session.show_slide("case0")
    assert not any(len(layer.data) for layer in part_layers(with_part))
