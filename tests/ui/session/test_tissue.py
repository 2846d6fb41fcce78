import numpy as np
import pytest

from napari_pathseg.projects.tissue_masks import load_tissue
from napari_pathseg.ui.session.tissue import TissueOverlay


@pytest.fixture
def opened(session, project):
    session.open_project(project.folder)
    return session


@pytest.fixture
def view(opened):
    return TissueOverlay(opened.workspace)


def layer_of(session):
    return next(layer for layer in session.layers.viewer.layers if layer.name.endswith("tissue"))


def test_tissue_layer_is_shown_over_its_slide_and_hidden_again(view, opened):
    view.toggle()
    layer, image = layer_of(opened), opened.layers.image
    assert view.shown
    assert layer.data.shape[0] * layer.scale[0] == pytest.approx(image.data[0].shape[0] * image.scale[0], rel=0.1)
    assert str(layer.units[0]) == str(image.units[0])
    view.toggle()
    assert not view.shown


def test_edited_tissue_is_saved_when_another_slide_is_shown(view, opened):
    view.show()
    found = load_tissue(opened.require_project(), opened.slide.id)
    layer_of(opened).data = np.zeros(found.pixels.shape, np.uint8)
    first = opened.slide.id
    opened.show_slide("case1")
    assert not view.shown
    kept = load_tissue(opened.require_project(), first)
    assert kept.edited
    assert not kept.pixels.any()


def test_untouched_tissue_is_not_marked_as_edited(view, opened):
    view.toggle()
    view.toggle()
    assert not load_tissue(opened.require_project(), opened.slide.id).edited


def test_tissue_can_be_detected_again(view, opened):
    view.show()
    before = load_tissue(opened.require_project(), opened.slide.id).pixels
    layer_of(opened).data = np.zeros(before.shape, np.uint8)
    view.detect_again()
    assert np.array_equal(np.asarray(layer_of(opened).data) > 0, before)
    assert not load_tissue(opened.require_project(), opened.slide.id).edited
