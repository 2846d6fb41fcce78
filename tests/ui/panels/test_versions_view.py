"""Two models on the slide in view: in turn by a key, and side by side by a slider."""

import numpy as np
import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region
from napari_pathseg.masks.prediction import create_prediction

TUMOUR = 2
WHOLE = Region(0, 0, 256, 256)


def _write(project, model, slide, rows):
    names = project.classes.slot_names
    found = np.zeros((len(names), 256, 256), np.uint8)
    found[TUMOUR - 1, rows] = 250
    found[0] = 255 - found[TUMOUR - 1]
    create_prediction(project.prediction_path(model, slide), (256, 256), names).write(WHOLE, found)


@pytest.fixture
def panel(opened):
    """The panel beside a slide of which one model finds the upper half, the other the lower half."""
    session = opened.session
    for model, rows in (("m001", slice(0, 128)), ("m002", slice(128, 256))):
        save_model(session.project, make_bundle(model))
        _write(session.project, model, session.slide.id, rows)
    session.project_changed.emit()
    opened.sections["review"].set_open(True)
    return opened.review.versions


def _shown(dock):
    """Return where the layer shows tumour, by halves: upper left, upper right, lower left, lower right."""
    layer = dock.session.layers.versions
    pixels = np.asarray(layer.data[0]) == TUMOUR
    return [bool(part.all()) for half in np.split(pixels, 2) for part in np.split(half, 2, axis=1)]


def test_button_and_key_show_the_models_in_turn_in_place_of_the_mask(opened, panel, mouse, qtbot):
    mask = opened.session.layers.mask
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    assert _shown(opened) == [False, False, True, True]
    assert panel.sentence.text() == "Shown: m002."
    assert not mask.visible
    mouse.key(Qt.Key.Key_T, Qt.KeyboardModifier.ShiftModifier)
    assert _shown(opened) == [True, True, False, False]
    assert panel.sentence.text() == "Shown: m001."
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    assert _shown(opened) == [False, False, True, True]
    qtbot.mouseClick(panel.stop, Qt.MouseButton.LeftButton)
    assert opened.session.layers.versions is None
    assert mask.visible
    assert not panel.stop.isEnabled()


def test_layer_cannot_be_painted_and_the_mask_stays_as_it_is(opened, panel, mouse):
    before = opened.session.mask.counts.copy()
    panel.flicker()
    assert not opened.session.layers.versions.editable
    assert opened.session.layers.viewer.layers.selection.active is not opened.session.layers.versions
    panel.stop.click()
    assert (opened.session.mask.counts == before).all()


def test_slider_divides_the_view(opened, panel, viewer):
    viewer.reset_view()
    panel.flicker()
    panel.slider.setValue(50)
    view = opened.session.layers.visible_region()
    assert abs(view.left + view.width / 2 - 128) < 2
    assert panel.sentence.text() == "Left: m001, right: m002."
    pixels = np.asarray(opened.session.layers.versions.data[0]) == TUMOUR
    assert pixels[:128, :126].all()
    assert not pixels[:128, 130:].any()
    assert pixels[128:, 130:].all()


def test_model_that_has_not_predicted_the_slide_is_named(opened, panel, notifications, qtbot):
    save_model(opened.session.project, make_bundle("m003"))
    opened.session.project_changed.emit()
    qtbot.mouseClick(panel.button, Qt.MouseButton.LeftButton)
    text = f"m003 has not predicted {opened.session.slide.id} yet. Choose it, then press Predict slide."
    qtbot.waitUntil(lambda: text in notifications)
    assert opened.session.layers.mask.visible
    assert opened.session.layers.versions is None


def test_other_slide_without_predictions_shows_its_mask(opened, panel, qtbot):
    panel.flicker()
    opened.session.show_slide("case1")
    assert opened.session.layers.versions is None
    assert opened.session.layers.mask.visible
    assert panel.sentence.text() == ""


def test_other_slide_that_both_have_predicted_is_shown_the_same_way(opened, panel):
    for model, rows in (("m001", slice(0, 128)), ("m002", slice(128, 256))):
        _write(opened.session.project, model, "case1", rows)
    panel.flicker()
    opened.session.show_slide("case1")
    assert _shown(opened) == [False, False, True, True]
    panel.stop.click()
    assert opened.session.layers.mask.visible


def test_without_two_models_there_is_nothing_to_press(opened):
    assert not opened.review.versions.button.isEnabled()
