from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_pathseg.classes import DEFAULT_CLASSES
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits, open_mask
from napari_pathseg.ui.layers.mask_layer import MaskLayer

SHAPE = (600, 800)
WHOLE = Region(0, 0, *SHAPE)
BACKGROUND, TUMOUR = 1, 2


@pytest.fixture
def layer(tmp_path):
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as mask:
        layer = MaskLayer(mask, DEFAULT_CLASSES)
        ViewerModel().add_layer(layer)
        layer.brush_size = 20
        yield layer


@pytest.fixture
def predicted(layer):
    """The layer after a model found tumour everywhere."""
    edits.fill_from_model(layer.mask, WHOLE, np.full(SHAPE, TUMOUR, np.uint8))
    layer.mask.end_undo_group()
    layer.show(WHOLE)
    return layer


def on_screen(layer):
    return layer._slice.image.view


def test_brush_stroke_reaches_the_mask(layer):
    layer.paint((100, 100), TUMOUR)
    assert layer.mask.counts[TUMOUR, Provenance.DRAWN] == (np.asarray(layer.data) == TUMOUR).sum() > 300


def test_stroke_is_on_disk_before_anything_is_saved(layer, tmp_path):
    layer.paint((100, 100), TUMOUR)
    with open_mask(tmp_path / "m.zarr", SHAPE, DEFAULT_CLASSES) as other:
        assert (other.counts == layer.mask.counts).all()


@pytest.mark.parametrize("contour", [0, 2])
def test_painted_pixels_are_shown(layer, contour):
    layer.contour = contour
    layer.paint((100, 100), TUMOUR)
    assert (on_screen(layer)[85:115, 85:115] == TUMOUR).any()


def test_drag_of_many_segments_is_one_undo_step(layer):
    layer._begin_stroke()
    for column in range(100, 200, 10):
        layer.paint((100, column), TUMOUR)
    layer._commit_stroke()
    layer.undo()
    assert not np.asarray(layer.data).any()
    assert not on_screen(layer).any()
    layer.redo()
    assert layer.mask.counts[TUMOUR, Provenance.DRAWN] > 1000


def test_fills_are_separate_undo_steps(layer):
    layer.fill((5, 5), TUMOUR)
    layer.fill((5, 5), BACKGROUND)
    layer.undo()
    assert (np.asarray(layer.data) == TUMOUR).all()


def test_polygon_tool_of_napari_paints_on_the_mask(layer):
    layer.paint_polygon([[100, 100], [100, 200], [200, 200], [200, 100]], TUMOUR)
    assert layer.mask.counts[TUMOUR, Provenance.DRAWN] == pytest.approx(10_000, rel=0.05)
    layer.undo()
    assert not layer.mask.counts[TUMOUR].any()


def test_setting_single_pixels_is_painting_too(layer):
    layer.data_setitem((np.array([3, 3]), np.array([4, 9])), TUMOUR)
    assert layer.mask.counts[TUMOUR, Provenance.DRAWN] == 2


def test_setting_single_pixels_respects_locked_classes(layer, tmp_path):
    layer.paint((100, 100), TUMOUR)
    before = layer.mask.counts[TUMOUR].copy()
    layer.locked_classes = frozenset({TUMOUR})
    layer.data_setitem((np.array([100, 3]), np.array([100, 4])), BACKGROUND)
    layer.data[95:105, 95:105] = 0
    assert (layer.mask.counts[TUMOUR] == before).all()
    assert layer.mask.counts[BACKGROUND].sum() == 1
    with open_mask(tmp_path / "other.zarr", SHAPE, DEFAULT_CLASSES) as other:
        edits.paint(other, WHOLE, np.full(SHAPE, TUMOUR, np.uint8))
        layer.set_mask(other)
        layer.data[0:5, 0:5] = BACKGROUND
        assert not other.counts[BACKGROUND].any()


def test_unreviewed_pixels_are_lighter_than_corrected_ones(predicted):
    predicted.paint((100, 100), BACKGROUND)
    screen = on_screen(predicted)
    assert screen[100, 100] == BACKGROUND
    assert screen[400, 400] > 128
    _, light = predicted.colormap.map(np.array([TUMOUR, screen[400, 400]], np.uint8))
    full, _ = predicted.colormap.map(np.array([TUMOUR, screen[400, 400]], np.uint8))
    assert light[3] < full[3]
    assert np.asarray(predicted.data)[400, 400] == TUMOUR


def test_erased_predictions_become_background_at_once(predicted):
    predicted.paint((100, 100), 0)
    assert np.asarray(predicted.data)[100, 100] == BACKGROUND
    assert on_screen(predicted)[100, 100] == BACKGROUND


def test_undo_makes_a_corrected_pixel_the_models_again(predicted):
    predicted.paint((100, 100), BACKGROUND)
    predicted.undo()
    assert predicted.mask.counts[TUMOUR, Provenance.MODEL] == SHAPE[0] * SHAPE[1]
    assert on_screen(predicted)[100, 100] > 128


def test_undo_reverses_a_prediction_too(predicted):
    predicted.undo()
    assert not np.asarray(predicted.data).any()


def test_preserve_labels_of_napari_keeps_labelled_pixels(layer):
    layer.paint((100, 100), TUMOUR)
    tumour = layer.mask.counts[TUMOUR].sum()
    layer.preserve_labels = True
    layer.paint((100, 105), BACKGROUND)
    assert layer.mask.counts[TUMOUR].sum() == tumour
    assert layer.mask.counts[BACKGROUND].sum() > 0


def test_another_mask_replaces_the_first(layer, tmp_path):
    layer.paint((100, 100), TUMOUR)
    with open_mask(tmp_path / "other.zarr", (300, 200), DEFAULT_CLASSES) as other:
        layer.set_mask(other)
        assert layer.data.shape == (300, 200)
        layer.paint((50, 50), TUMOUR)
        assert other.counts[TUMOUR].any()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full disk to try")
def test_full_disk_undoes_the_stroke_and_says_so(layer):
    journal = layer.mask._journal
    file, journal._file = journal._file, Path("/dev/full").open("ab", buffering=0)  # noqa: SIM115
    with pytest.raises(ProjectError, match=r"m\.journal could not be written \(No space left on device\)"):
        layer.paint((100, 100), TUMOUR)
    assert not np.asarray(layer.data).any()
    journal._file.close()
    journal._file = file
    layer.paint((100, 100), TUMOUR)
    assert layer.mask.counts[TUMOUR].any()
