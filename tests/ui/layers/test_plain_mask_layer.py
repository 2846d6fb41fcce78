"""With unknown napari internals, masks are painted on the plain layer."""

import napari
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits, open_mask
from napari_pathseg.masks.shapes import BrushSegment
from napari_pathseg.ui.layers import plain_mask_layer
from napari_pathseg.ui.layers.mask_layer import MaskLayer, can_paint_pyramids, make_mask_layer
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer

SHAPE, TUMOUR = (1500, 2000), 2


@pytest.fixture
def mask(tmp_path):
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        yield mask


@pytest.fixture
def layer(mask):
    layer = PlainMaskLayer(mask, DEFAULT_CLASSES)
    ViewerModel().add_layer(layer)
    layer.brush_size = 20
    return layer


def test_untested_version_of_napari_gets_the_plain_layer(mask, monkeypatch):
    assert can_paint_pyramids()
    assert isinstance(make_mask_layer(mask, DEFAULT_CLASSES), MaskLayer)
    monkeypatch.setattr(napari, "__version__", "0.99.0")
    assert isinstance(make_mask_layer(mask, DEFAULT_CLASSES), PlainMaskLayer)


def test_strokes_reach_the_mask_and_can_be_undone(layer, mask):
    layer.paint((100, 100), TUMOUR)
    painted = mask.counts[TUMOUR, Provenance.DRAWN]
    assert painted == (np.asarray(layer.data) == TUMOUR).sum() > 300
    layer.stroke(BrushSegment((200, 200), (200, 300), 10), TUMOUR)
    assert mask.counts[TUMOUR].sum() > painted + 1500
    layer.undo()
    assert mask.counts[TUMOUR].sum() == painted
    layer.undo()
    assert not np.asarray(layer.data).any()
    layer.redo()
    assert (np.asarray(layer.data) == TUMOUR).sum() == painted


def test_mask_larger_than_a_texture_is_painted_coarser(mask, monkeypatch):
    monkeypatch.setattr(plain_mask_layer, "LARGEST_SIDE", 1000)
    layer = PlainMaskLayer(mask, DEFAULT_CLASSES)
    ViewerModel().add_layer(layer)
    assert layer.data.shape == (750, 1000)
    layer.data_setitem((np.array([3]), np.array([4])), TUMOUR)
    labels, _ = mask.read(Region(0, 0, *SHAPE))
    assert (labels[6:8, 8:10] == TUMOUR).all()
    assert (labels == TUMOUR).sum() == 4


def test_changes_made_elsewhere_are_shown(layer, mask):
    layer.show(edits.fill_from_model(mask, Region(0, 0, 9, 9), np.full((9, 9), TUMOUR, np.uint8)))
    assert (np.asarray(layer.data) == TUMOUR).sum() == 81


def test_pixels_set_at_once_are_one_undo_step(layer, mask):
    layer.paint((100, 100), TUMOUR)
    layer.data_setitem((np.array([300, 301]), np.array([400, 401])), TUMOUR)
    layer.undo()
    assert (np.asarray(layer.data) == TUMOUR).sum() > 300
    layer.undo()
    assert not np.asarray(layer.data).any()


def test_locked_class_keeps_its_pixels_in_the_mask_and_on_screen(layer, mask):
    layer.paint((100, 100), TUMOUR)
    before = mask.counts.copy()
    layer.locked_classes = frozenset({TUMOUR})
    layer.paint((100, 100), 0)
    layer.data_setitem((np.array([100]), np.array([100])), 1)
    layer.data[95:105, 95:105] = 1
    assert (mask.counts == before).all()
    assert layer._slice.image.raw[100, 100] == TUMOUR
