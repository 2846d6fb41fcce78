"""Accept by confidence in Review: what it would take, how often that was right, and what it leaves in the mask."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtWidgets import QApplication

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model, paint
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.ui.session.selection import SELECTION, SLIDE, VIEW

BACKGROUND, TUMOUR, SIDE = 1, 2, 256
WHOLE, LEFT = Region(0, 0, SIDE, SIDE), Region(0, 0, SIDE, 100)


def predict(session, slide, disc):
    """Store that a model is sure of Tumour in a disc, and of Background left of column 100 only."""
    background = np.full((SIDE, SIDE), 180, np.uint8)
    background[LEFT.slices] = 250
    background[disc] = 5
    path = session.project.prediction_path("m001", slide)
    pixels = np.stack([background, 255 - background])
    create_prediction(path, (SIDE, SIDE), ("Background", "Tumour")).write(WHOLE, pixels)
    return np.where(background > 127, BACKGROUND, TUMOUR).astype(np.uint8)


@pytest.fixture
def predicted(opened, disc):
    """The window with the section open on a slide that a model has predicted; case1 is held out and half wrong."""
    session = opened.session
    save_model(session.project, make_bundle(train=["case3"], val=["case1"]))
    session.show_slide("case1")
    labels = np.where(disc, TUMOUR, BACKGROUND).astype(np.uint8)
    labels[:128, :100] = TUMOUR
    paint(session.mask, WHOLE, labels)
    session.refresh_mask(WHOLE)
    session.editor.save_mask()
    session.project.update_slide("case1", role="val")
    predict(session, "case1", disc)
    session.show_slide("case0")
    session.refresh_mask(fill_from_model(session.mask, WHOLE, predict(session, "case0", disc)))
    opened.sections["review"].set_open(True)
    session.project_changed.emit()
    opened.review.confidence.set_open(True)
    settle(opened)
    return opened


def settle(dock):
    """Let it count to the end."""
    while dock.session.confident.advance():
        pass
    QApplication.processEvents()


def choose(dock, *, percent=95, label=None, scope=SLIDE):
    panel = dock.review.confident
    panel.threshold.setValue(percent)
    panel.label.setCurrentIndex(panel.label.findData(label))
    panel.scope.setCurrentIndex(panel.scope.findData(scope))
    settle(dock)
    return panel


def said(dock):
    return dock.session.confident.sentences


def accepted(dock):
    counts = dock.session.mask.counts[:, Provenance.ACCEPTED]
    return {label: int(counts[label]) for label in np.flatnonzero(counts)}


def test_it_says_what_it_takes_before_and_takes_exactly_that_in_one_undo_step(predicted, disc, qtbot):
    panel = choose(predicted)
    sure = disc.copy()
    sure[LEFT.slices] = True
    assert predicted.session.confident.pixels == sure.sum()
    assert panel.sentence.text().startswith(f"Takes {sure.sum() / 1e6:.2f} Mpx. ")
    panel.accept.click()
    qtbot.waitUntil(lambda: not predicted.session.mask.has_pending)
    labels, provenance = predicted.session.mask.read(WHOLE)
    assert np.array_equal(provenance == Provenance.ACCEPTED, sure)
    assert np.array_equal(labels[sure] == TUMOUR, disc[sure])
    settle(predicted)
    assert said(predicted)[0] == "Nothing that waits is so sure."
    assert not panel.accept.isEnabled()
    predicted.session.refresh_mask(predicted.session.mask.undo())
    assert accepted(predicted) == {}
    assert predicted.session.mask.counts[:, Provenance.MODEL].sum() == SIDE**2


def test_one_class_is_accepted_alone(predicted, disc, qtbot):
    choose(predicted, label=TUMOUR).accept.click()
    qtbot.waitUntil(lambda: accepted(predicted) == {TUMOUR: int(disc.sum())})


def test_lower_probability_takes_more_without_counting_again(predicted):
    panel = choose(predicted, percent=95)
    fewer = predicted.session.confident.pixels
    panel.threshold.setValue(60)
    assert fewer < predicted.session.confident.pixels == SIDE**2


def test_only_what_is_on_screen_or_selected_is_taken(predicted, viewer, qtbot):
    panel = choose(predicted, percent=60, scope=VIEW)
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (200, 200)
    qtbot.waitUntil(lambda: predicted.session.layers.visible_region().height < SIDE)
    predicted.session.confident.follow_view()
    settle(predicted)
    box = predicted.session.layers.visible_region()
    assert predicted.session.confident.pixels == box.height * box.width < SIDE**2
    assert not panel.scope.model().item(panel.scope.findData(SELECTION)).isEnabled()


def test_it_says_how_often_such_pixels_were_right_on_held_out_slides(predicted, disc):
    choose(predicted, label=BACKGROUND)
    assert said(predicted)[1].endswith("of such pixels were right on 1 held-out slide.")
    wrong = ~disc[:, :100]
    wrong[128:] = False
    expected = 1 - wrong.sum() / (~disc[:, :100]).sum()
    assert predicted.session.confident.right == pytest.approx(expected)
    choose(predicted, label=TUMOUR)
    assert said(predicted)[1] == "100 % of such pixels were right on 1 held-out slide."


def test_without_a_predicted_held_out_slide_that_is_not_known(predicted):
    predicted.session.project.update_slide("case1", role="train")
    save_model(predicted.session.project, make_bundle("m002"))
    predicted.session.confident.measure_again()
    choose(predicted)
    assert said(predicted)[1].startswith("How often such pixels are right is not known")


def test_held_out_slide_comes_with_a_warning(predicted, disc):
    predicted.session.show_slide("case1")
    mask = predicted.session.mask
    mask.edit(WHOLE, np.full((SIDE, SIDE), BACKGROUND, np.uint8), np.full((SIDE, SIDE), 1, np.uint8))
    predicted.session.refresh_mask(WHOLE)
    choose(predicted)
    assert "This slide is held out: scores on it get too good." in said(predicted)[0]


def test_slide_without_a_prediction_says_what_to_do(predicted):
    predicted.session.show_slide("case2")
    panel = choose(predicted)
    assert said(predicted)[0] == "m001 has not predicted case2 yet. Press Predict slide."
    assert not panel.accept.isEnabled()


def test_on_a_complete_slide_it_takes_what_surely_contradicts_the_outline_in_one_undo_step(predicted, disc, qtbot):
    session = predicted.session
    session.editor.set_complete(True)
    session.editor.apply_pending()
    paint(session.mask, Region(200, 0, 20, 200), np.full((20, 200), TUMOUR, np.uint8))
    session.refresh_mask(WHOLE)
    wrong = disc.copy()
    wrong[200:220, :100] = True  # where it is less sure of Background it takes nothing
    panel = choose(predicted)
    assert session.confident.pixels == wrong.sum()
    assert said(predicted)[0] == f"Takes {wrong.sum() / 1e6:.2f} Mpx from your outline, where the model differs."
    assert said(predicted)[1].endswith("1 held-out slide, fewer of those that contradict a person.")
    panel.accept.click()
    qtbot.waitUntil(lambda: not session.mask.has_pending)
    labels, provenance = session.mask.read(WHOLE)
    assert np.array_equal(provenance == Provenance.ACCEPTED, wrong)
    assert (labels[disc] == TUMOUR).all()
    assert (labels[200:220, :100] == BACKGROUND).all()
    assert (labels[200:220, 100:200] == TUMOUR).all()
    settle(predicted)
    assert said(predicted)[0] == "Nothing that differs is so sure."
    session.refresh_mask(session.mask.undo())
    assert session.mask.counts[:, Provenance.ACCEPTED].sum() == 0


def test_on_a_complete_slide_one_class_is_taken_alone(predicted, disc, qtbot):
    predicted.session.editor.set_complete(True)
    predicted.session.editor.apply_pending()
    assert choose(predicted, label=BACKGROUND).accept.isEnabled() is False
    choose(predicted, label=TUMOUR).accept.click()
    qtbot.waitUntil(lambda: accepted(predicted) == {TUMOUR: int(disc.sum())})


def test_whole_slide_gets_a_version_first(predicted, qtbot):
    choose(predicted).accept.click()
    qtbot.waitUntil(lambda: bool(accepted(predicted)))
    assert any((predicted.session.project.folder / "versions" / "case0").iterdir())


def test_nothing_is_counted_while_the_section_is_folded(predicted):
    predicted.review.confidence.set_open(False)
    predicted.session.confident.recount()
    assert not predicted.session.confident.advance()
    assert predicted.session.confident.pixels is None


def test_nothing_is_counted_while_review_is_closed(predicted, qtbot):
    predicted.sections["review"].set_open(False)
    predicted.session.mask_changed.emit()
    predicted.review.confident._advance()
    assert predicted.session.confident.pixels is None
    predicted.sections["review"].set_open(True)
    qtbot.waitUntil(lambda: predicted.session.confident.pixels is not None)
