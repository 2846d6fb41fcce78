"""The tools on the plain layer, the fallback for unknown napari internals."""

import napari
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.masks import Provenance
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
ROWS = ([(60, 60), (60, 100), (70, 140), (60, 180)], [(150, 60), (150, 100), (140, 140), (150, 180)])


@pytest.fixture
def plain(monkeypatch, request):
    monkeypatch.setattr(napari, "__version__", "0.99.0")
    opened = request.getfixturevalue("opened")
    assert isinstance(opened.session.layers.mask, PlainMaskLayer)
    return opened


@pytest.mark.parametrize("tool", ["brush", "wand"])
def test_each_drag_is_one_step_of_undo(plain, request, tool):
    mouse, mask = request.getfixturevalue("mouse"), plain.session.mask
    plain.annotate.choose(tool)
    painted = [0]
    for places in ROWS:
        mouse.drag(*places)
        painted.append(int(mask.counts[2, Provenance.DRAWN]))
    assert painted[2] > painted[1] > 500
    for left in (painted[1], 0):
        mouse.key(Qt.Key.Key_Z, CONTROL)
        assert mask.counts[2].sum() == left
    mouse.key(Qt.Key.Key_Z, CONTROL | SHIFT)
    assert mask.counts[2].sum() == painted[1]
