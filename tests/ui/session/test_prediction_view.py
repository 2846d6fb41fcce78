"""What a prediction shows on the slide in view, and what its outline does to the mask."""

import os
import time

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import paint
from napari_pathseg.masks.prediction import create_prediction
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides
from napari_pathseg.ui.session.prediction_view import NOTHING, UNCERTAINTY, RefinementChoices

TUMOUR = 2
WHOLE = Region(0, 0, 192, 192)


@pytest.fixture
def session(learnable):
    """A session with a slide without contours in view, which a model has predicted: a square, and a speck."""
    save_model(learnable.project, make_bundle("m001"))
    learnable.show_slide("case5")
    write(learnable.project, "m001", "case5")
    yield learnable
    learnable.prediction_view.close()


def write(project, model, slide, weights=None):
    names = project.classes.slot_names
    found = np.zeros((len(names), 192, 192), np.uint8)
    found[TUMOUR - 1, 40:120, 40:120], found[TUMOUR - 1, 150:154, 150:154] = 200, 200
    found[TUMOUR - 1, 40:120, 100:120] = 140
    found[0] = 255 - found[TUMOUR - 1]
    create_prediction(project.prediction_path(model, slide), (192, 192), names, weights).write(WHOLE, found)


@pytest.fixture
def weights(session):
    """The weights of the live model, which has predicted two slides; the second is complete."""
    save_model(session.project, make_bundle("live"))
    path = session.project.folder / "models" / "live" / "weights.safetensors"
    path.write_bytes(b"weights")
    for slide in ("case5", "case0"):
        write(session.project, "live", slide, path.stat().st_mtime_ns)
    return path


def change(weights):
    stamp = weights.stat().st_mtime_ns + 1_000_000_000
    os.utime(weights, ns=(stamp, stamp))


OUTDATED = "The live model has changed since it predicted case5. Predict the slide again."


def finish(session):
    """Let the view read all that is wanted, as the window's timer does."""
    while session.prediction_view.advance():
        time.sleep(0.002)


def damage(session):
    for path in session.project.prediction_path("m001", "case5").glob("probabilities/c/**/*"):
        if path.is_file():
            path.write_bytes(b"damaged")


def layers(session):
    return [layer.name for layer in session.layers.viewer.layers]


def image(session):
    return np.asarray(session.layers.prediction.data[0])


def test_probability_of_a_class_and_the_uncertainty_are_layers_beneath_the_mask(session):
    view = session.prediction_view
    view.show("m001", str(TUMOUR))
    image(session)
    finish(session)
    assert layers(session).index("case5 · Tumour probability") == layers(session).index("case5 · mask") - 1
    assert (image(session)[60, 60], image(session)[60, 110], image(session)[0, 0]) == (200, 140, 0)
    view.show("m001", UNCERTAINTY)
    image(session)
    finish(session)
    assert "case5 · uncertainty" in layers(session)
    assert image(session)[60, 110] > image(session)[60, 60] > image(session)[0, 0] == 0
    view.show("m001", NOTHING)
    assert session.layers.prediction is session.layers.refined is None
    assert not any("uncertainty" in name for name in layers(session))


def test_outline_of_the_class_follows_the_choices_and_nothing_is_in_the_mask(session):
    view = session.prediction_view
    view.show("m001", str(TUMOUR))
    finish(session)
    shown = np.asarray(session.layers.refined.data)
    assert (shown == TUMOUR).sum() == 80 * 80 + 16
    view.set_refinement(RefinementChoices(threshold=0.7, smallest=20))
    finish(session)
    assert (np.asarray(session.layers.refined.data) == TUMOUR).sum() == 80 * 60
    assert not session.mask.counts[1:].any()


def test_another_outline_of_the_same_view_reads_nothing_again(session):
    view = session.prediction_view
    view.show("m001", str(TUMOUR))
    finish(session)
    damage(session)
    view.set_refinement(RefinementChoices(threshold=0.7, smallest=20))
    finish(session)
    assert view.sentence == ""
    assert (np.asarray(session.layers.refined.data) == TUMOUR).sum() == 80 * 60


def test_outline_is_filled_as_the_models_in_one_undo_step(session):
    paint(session.mask, Region(40, 40, 10, 10), np.full((10, 10), 1, np.uint8))
    session.mask.end_undo_group()
    view = session.prediction_view
    view.show("m001", str(TUMOUR))
    view.set_refinement(RefinementChoices(threshold=0.7, smallest=20))
    assert view.can_apply
    view.apply()
    session.editor.apply_pending()
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 80 * 60 - 100
    assert session.mask.counts[1, Provenance.DRAWN] == 100
    session.mask.undo()
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 0
    assert session.mask.counts[1, Provenance.DRAWN] == 100


def test_classes_are_applied_in_turn(session):
    view, model = session.prediction_view, Provenance.MODEL
    view.show("m001", str(TUMOUR))
    view.set_refinement(RefinementChoices(threshold=0.7, smallest=20))
    view.apply()
    session.editor.apply_pending()
    view.show("m001", "1")
    view.set_refinement(RefinementChoices(threshold=0.6))
    view.apply()
    session.editor.apply_pending()
    assert session.mask.counts[TUMOUR, model] == 80 * 60
    assert session.mask.counts[1, model] == 192 * 192 - 80 * 80 - 16
    assert session.mask.counts[0, model] == 0


def test_slide_that_the_model_has_not_predicted_shows_a_sentence_and_the_next_one_its_own(session):
    view = session.prediction_view
    change_slides(session.project, ["case4"], SlideChanges(complete=False))
    session.show_slide("case4")
    view.show("m001", str(TUMOUR))
    assert view.sentence == "m001 has not predicted case4 yet. Press Predict slide."
    assert not view.can_apply
    assert session.layers.prediction is None
    session.show_slide("case5")
    finish(session)
    assert view.sentence == ""
    assert "case5 · Tumour probability" in layers(session)


def test_outline_of_a_complete_slide_stays(session):
    write(session.project, "m001", "case0")
    session.show_slide("case0")
    session.prediction_view.show("m001", str(TUMOUR))
    assert session.prediction_view.sentence == "case0 is complete, so its outline stays as it is."
    assert not session.prediction_view.can_apply


def test_without_a_model_there_is_a_sentence(session):
    session.prediction_view.show("", str(TUMOUR))
    assert session.prediction_view.sentence == "No model yet. Train one, then predict the slide."


def test_slide_off_the_screen_has_no_outline_until_it_is_back(session):
    view = session.prediction_view
    view.show("m001", str(TUMOUR))
    finish(session)
    for region, shown in ((Region(0, 192, 192, 0), False), (WHOLE, True)):
        session.layers.mask.visible_region = region
        view.follow_view()
        finish(session)
        assert (session.layers.refined is not None) == shown
        assert session.layers.prediction is not None
        assert view.sentence == ""


def test_former_live_model_is_not_shown_once_the_project_keeps_another(session, weights):
    view = session.prediction_view
    view.show("live", str(TUMOUR))
    finish(session)
    assert view.can_apply
    assert view.sentence == ""
    change(weights)
    session.live.kept.emit()
    finish(session)
    assert view.sentence == OUTDATED
    assert not view.can_apply
    assert session.layers.prediction is session.layers.refined is None


def test_former_live_model_is_not_applied(session, weights):
    session.prediction_view.show("live", str(TUMOUR))
    change(weights)
    with pytest.raises(ProjectError, match=OUTDATED):
        session.prediction_view.apply()
    session.editor.apply_pending()
    assert not session.mask.counts[1:].any()


def test_complete_slide_is_compared_with_the_live_model_of_now_alone(session, weights):
    session.show_slide("case0")
    assert session.workspace.opinion is not None
    change(weights)
    session.show_slide("case5")
    session.show_slide("case0")
    assert session.workspace.opinion is None


def test_damaged_prediction_is_a_sentence(session):
    view = session.prediction_view
    view.show("m001", str(TUMOUR))
    finish(session)
    damage(session)
    view.reload()
    finish(session)
    assert view.sentence.startswith("The prediction of m001 cannot be read (")
    assert session.layers.prediction is None
