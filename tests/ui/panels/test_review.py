import json
from dataclasses import asdict

import numpy as np
import pytest
from bundle_helpers import make_bundle
from qtpy.QtCore import Qt

from napari_pathseg.config import PredictConfig
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import Predict
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.review import ReviewPanel
from napari_pathseg.ui.session.selection import SELECTION

TUMOUR = 2
BUNDLE = make_bundle("m001")
SQUARE = [[9.5, 9.5], [9.5, 19.5], [19.5, 19.5], [19.5, 9.5]]


def test_opacity_and_contour_sync_with_the_layer(opened):
    layer = opened.session.layers.mask
    opened.review.opacity.setValue(80)
    assert layer.opacity == pytest.approx(0.8)
    layer.opacity = 0.2
    assert opened.review.opacity.value() == 20
    opened.sections["review"].set_open(True)
    opened.review.only_contour.click()
    assert layer.contour > 0
    layer.contour = 0
    assert not opened.review.only_contour.isChecked()


def test_c_shows_only_borders_while_review_is_open(opened, mouse):
    mask, image = opened.session.layers.mask, opened.session.layers.image
    mouse.key(Qt.Key.Key_C)
    assert mask.contour == 0
    opened.sections["review"].set_open(True)
    for layer in (mask, image):  # of which napari would change the contrast
        opened.session.layers.viewer.layers.selection.active = layer
        mouse.key(Qt.Key.Key_C)
        assert mask.contour > 0
        mouse.key(Qt.Key.Key_C)
        assert mask.contour == 0
    assert tuple(image.contrast_limits) == (0, 255)


def test_borders_keep_their_width_at_any_zoom_and_areas_return(opened, viewer, qtbot):
    layer, review = opened.session.layers.mask, opened.review
    opened.sections["review"].set_open(True)
    review.opacity.setValue(40)
    review.only_contour.click()
    assert layer.opacity > 0.9
    for zoom in (1.0, 0.5, 3.0):
        viewer.scene.camera.zoom = zoom
        qtbot.waitUntil(lambda zoom=zoom: layer.contour * zoom * 2**layer.data_level == pytest.approx(3, abs=0.5))
    review.only_contour.click()
    assert layer.contour == 0
    assert layer.opacity == pytest.approx(0.4)


def test_borders_of_predictions_are_clearly_visible(opened):
    layer = opened.session.layers.mask
    lighter = layer.colormap.color_dict[130][3]
    opened.sections["review"].set_open(True)
    opened.review.only_contour.click()
    assert lighter < layer.colormap.color_dict[130][3] < 1
    opened.review.only_contour.click()
    assert layer.colormap.color_dict[130][3] == lighter


def test_predict_and_compare_need_a_model(opened):
    review = opened.review
    buttons = (review.predict_view, review.predict_slide, review.predict_all, review.compare)
    assert not any(button.isEnabled() for button in buttons)
    assert review.model.currentText() == "None yet: train one"


def test_menus_accept_in_the_selection_and_reject_on_the_slide(opened):
    session, review = opened.session, opened.review
    whole = Region(0, 0, *session.mask.shape)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full(session.mask.shape, TUMOUR, np.uint8)))
    opened.session.layers.contours.events.data.disconnect()  # the drawn area stays a selection here
    session.layers.contours.add_polygons([SQUARE])
    menu = review.accept_more.choices
    menu.aboutToShow.emit()
    assert menu.actions()[0].isEnabled()
    texts = [action.text() for action in menu.actions()]
    assert texts == ["Accept in the selection", "Accept on the whole slide"]
    review.accept_more.choices.actions()[0].trigger()
    assert session.mask.counts[TUMOUR, Provenance.ACCEPTED] == 100
    review.reject_more.choices.actions()[1].trigger()
    assert session.mask.counts.sum() - session.mask.counts[0].sum() == 100


def test_selection_entries_are_disabled_without_a_selection(opened):
    session, review = opened.session, opened.review
    whole = Region(0, 0, *session.mask.shape)
    session.refresh_mask(fill_from_model(session.mask, whole, np.full(session.mask.shape, TUMOUR, np.uint8)))
    for more in (review.accept_more, review.reject_more):
        more.choices.aboutToShow.emit()
        there, everywhere = more.choices.actions()
        assert (there.isEnabled(), everywhere.isEnabled()) == (False, True)
        assert there.toolTip() == "Nothing is selected on this slide. Draw around an area with Select first."
    review.accept_in(SELECTION)
    review.reject_in(SELECTION)
    assert session.mask.counts[TUMOUR, Provenance.MODEL] == 256 * 256


def test_prediction_takes_the_settings_of_the_panel(qtbot, learnable, worker):
    folder = learnable.project.folder / "models" / "m001"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(asdict(BUNDLE)))
    panel = ReviewPanel(learnable)
    qtbot.addWidget(panel)
    panel.settings.fields["shifts"].value, panel.settings.fields["tta"].value = 4, 2
    panel.predict_everything()
    (command,) = (sent for sent in worker.sent if isinstance(sent, Predict))
    assert command.config == PredictConfig(shifts=4, tta=2)


def test_prediction_after_a_training_takes_the_settings_of_the_panel(opened):
    opened.review.settings.fields["shifts"].value = 2
    assert opened.session.training.predict_config.shifts == 2
    opened.review.settings.fields["halo"].value = "33"  # no multiple of 32; Predict says so
    assert opened.session.training.predict_config.halo == PredictConfig().halo


def test_settings_of_the_last_prediction_are_shown_when_the_project_is_opened_again(qtbot, learnable, worker, tmp_path):
    folder = learnable.project.folder / "models" / "m001"
    folder.mkdir(parents=True)
    (folder / "bundle.json").write_text(json.dumps(asdict(BUNDLE)))
    panel = ReviewPanel(learnable)
    qtbot.addWidget(panel)
    panel.settings.fields["shifts"].value, panel.settings.fields["halo"].value = 3, "96"
    panel.predict_everything()
    project = learnable.project.folder
    learnable.new_project(tmp_path / "other.pathseg")
    assert panel.settings.fields["shifts"].value == 1
    learnable.open_project(project)
    assert (panel.settings.fields["shifts"].value, panel.settings.fields["halo"].value) == (3, "96")
    assert learnable.training.predict_config == PredictConfig(shifts=3, halo=96)
    later = ReviewPanel(learnable)
    qtbot.addWidget(later)
    assert later.settings.fields["shifts"].value == 3


def test_prediction_settings_are_remembered_by_a_training_too(opened):
    opened.review.settings.fields["tta"].value = 8
    opened.train.train_or_stop()
    assert Project.open(opened.session.project.folder).state.prediction_choices["tta"] == 8


def test_prediction_settings_are_remembered_without_a_prediction(opened):
    opened.review.settings.fields["halo"].value = "128"
    stored = Project.open(opened.session.project.folder).state.prediction_choices
    assert stored == PredictConfig(halo=128).to_json()
