"""The sliders for the outline of a class, in a window."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.prediction import create_prediction

TUMOUR = 2


@pytest.fixture
def panel(opened, disc):
    """The panel beside a slide that a model has predicted: a disc and a speck."""
    session = opened.session
    save_model(session.project, make_bundle("m001"))
    names = session.project.classes.slot_names
    found = np.zeros((len(names), 256, 256), np.uint8)
    found[TUMOUR - 1, disc], found[TUMOUR - 1, 200:203, 128:131] = 220, 220
    found[0] = 255 - found[TUMOUR - 1]
    path = session.project.prediction_path("m001", session.slide.id)
    create_prediction(path, (256, 256), names).write(Region(0, 0, 256, 256), found)
    session.project_changed.emit()
    return opened.review.probability


def outlined(dock):
    layer = dock.session.layers.refined
    return 0 if layer is None else int((np.asarray(layer.data) == TUMOUR).sum())


def test_chosen_class_is_shown_refined_and_applied_to_the_slide(opened, panel, disc, mouse, qtbot):
    assert not panel.apply.isEnabled()
    panel.choice.setCurrentIndex(panel.choice.findText("Probability of Tumour"))
    qtbot.waitUntil(lambda: outlined(opened) == disc.sum() + 9)
    qtbot.waitUntil(lambda: opened.session.layers.prediction._slice.image.raw.max() == 220)
    panel.sliders["Smallest area"].setValue(6)
    qtbot.waitUntil(lambda: outlined(opened) == disc.sum())
    assert opened.session.mask.counts[:, Provenance.MODEL].sum() == 0
    panel.apply.click()
    counts = opened.session.mask
    qtbot.waitUntil(lambda: counts.counts[TUMOUR, Provenance.MODEL] == disc.sum())
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: counts.counts[:, Provenance.MODEL].sum() == 0)
    panel.choice.setCurrentIndex(0)
    assert opened.session.layers.prediction is None
    assert not panel.apply.isEnabled()


def test_view_stays_as_it_is_when_the_list_of_models_is_filled_again(opened, panel, disc, qtbot):
    session, changes = opened.session, []
    save_model(session.project, make_bundle("m000"))
    session.project_changed.emit()
    opened.review.model.setCurrentIndex(opened.review.model.findData("m001"))
    panel.choice.setCurrentIndex(panel.choice.findText("Probability of Tumour"))
    qtbot.waitUntil(lambda: outlined(opened) == disc.sum() + 9)
    shown = session.layers.prediction
    session.prediction_view.changed.connect(lambda: changes.append(session.prediction_view.sentence))
    session.project_changed.emit()
    session.live.kept.emit()
    assert changes == []
    assert session.layers.prediction is shown
    save_model(session.project, make_bundle("m002"))
    session.project_changed.emit()
    assert changes == [f"m002 has not predicted {session.slide.id} yet. Press Predict slide."]


def test_classes_that_are_added_can_be_chosen_and_the_choice_stays(opened, panel):
    panel.choice.setCurrentIndex(panel.choice.findText("Uncertainty"))
    opened.session.change_classes(opened.session.project.classes.add("Stroma"))
    assert panel.choice.findText("Probability of Stroma") > 0
    assert panel.choice.currentText() == "Uncertainty"


def test_disagreement_of_positions_is_offered_where_it_is_stored(opened, panel, qtbot):
    session, name = opened.session, "Disagreement of positions"
    assert panel.choice.findText(name) < 0
    path = session.project.prediction_path("m001", session.slide.id)
    values = np.zeros((256, 256), np.uint8)
    values[40:60, 40:60] = 90
    probabilities = np.full((len(session.project.classes.slot_names), 256, 256), 127, np.uint8)
    create_prediction(path, (256, 256), session.project.classes.slot_names).write(
        Region(0, 0, 256, 256), probabilities, values
    )
    session.project_changed.emit()
    panel.choice.setCurrentIndex(panel.choice.findText(name))
    qtbot.waitUntil(lambda: session.layers.prediction._slice.image.raw.max() == 90)
    assert session.layers.prediction.name.endswith("disagreement")
    assert not panel.apply.isEnabled()
    create_prediction(path, (256, 256), session.project.classes.slot_names).begin("in one position")
    session.prediction_view.reload()
    assert panel.sentence.text().startswith("m001 has predicted")
    panel.choice.setCurrentIndex(0)
    assert panel.choice.findText(name) < 0
