"""The brush that keeps to what the live model finds, with real mouse and keys."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.engine.events import LiveStatus, LiveTile
from napari_pathseg.engine.live.packed import pack
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance
from napari_pathseg.ui.tools.preferences import KEEP_TO_EDGE

TUMOUR, SIDE = 2, 256
SHIFT, CONTROL = Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.ControlModifier
WHOLE, LEFT = Region(0, 0, SIDE, SIDE), Region(0, 0, SIDE, 128)


def answer(dock, region, disc):
    """Let the live model answer in a box as the worker does: Tumour is probable in the disc alone."""
    probability = np.where(disc, np.uint8(250), np.uint8(5))[region.slices]
    pixels = pack(np.stack([np.full_like(probability, TUMOUR), probability]))
    dock.worker.event.emit(LiveTile("case0", region, 1, 1, pixels))


@pytest.fixture
def answered(opened, mouse, disc):
    """The window with the brush at hand, after the live model has found the disc, in the left half alone."""
    opened.session.live.redraw_wanted.connect(lambda _: opened.session.live.redraw())
    mouse.key(Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    mouse.key(Qt.Key.Key_B, SHIFT)
    mouse.drag((245, 200), (245, 210))
    opened.session.editor.apply_pending()
    mouse.key(Qt.Key.Key_2, Qt.KeyboardModifier.AltModifier)
    opened.worker.event.emit(LiveStatus(ready=True, fit=1))
    answer(opened, LEFT, disc)
    assert opened.session.layers.live is not None
    return opened


def painted(dock):
    dock.session.editor.apply_pending()
    labels, provenance = dock.session.mask.read(WHOLE)
    return (labels == TUMOUR) & (provenance == Provenance.DRAWN)


def test_brush_paints_as_usual_until_it_is_asked_to_keep_to_the_edge(answered, mouse, disc):
    assert not answered.annotate.options.checks[KEEP_TO_EDGE].isChecked()
    mouse.drag((100, 40), (100, 90))
    assert (painted(answered) & ~disc).any()


def test_stroke_ends_where_the_live_model_sees_the_border_and_is_one_undo_step(answered, mouse, disc, viewer):
    mouse.key(Qt.Key.Key_K, SHIFT)
    assert answered.annotate.options.checks[KEEP_TO_EDGE].isChecked()
    assert viewer.status == "The brush keeps to what Live finds."
    mouse.drag((100, 40), (100, 60), (100, 90), (60, 90))
    found = painted(answered)
    assert found.any()
    assert not (found & ~disc).any()
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(answered).any()


def test_where_the_live_model_has_no_answer_the_brush_paints_as_usual(answered, mouse, disc):
    mouse.key(Qt.Key.Key_K, SHIFT)
    mouse.drag((100, 170), (100, 230))
    assert painted(answered)[100, 170:230].all()
    mouse.key(Qt.Key.Key_O, SHIFT)
    mouse.drag((200, 40), (200, 90))
    assert painted(answered)[200, 40:90].all()


def test_it_says_why_nothing_is_painted(answered, mouse, viewer):
    mouse.key(Qt.Key.Key_K, SHIFT)
    mouse.drag((200, 40), (200, 90))
    assert not painted(answered).any()
    assert viewer.status == "Live finds no Tumour here, so nothing is painted. Shift+K lets the brush paint as usual."
    mouse.key(Qt.Key.Key_K, SHIFT)
    mouse.drag((200, 40), (200, 90))
    assert painted(answered).any()


def test_eraser_and_alt_do_not_keep_to_the_edge(answered, mouse):
    mouse.drag((200, 40), (200, 90))
    mouse.key(Qt.Key.Key_K, SHIFT)
    mouse.drag((200, 30), (200, 100), modifiers=Qt.KeyboardModifier.AltModifier)
    assert not painted(answered).any()


def test_it_keeps_to_the_edge_on_another_slide_and_when_zoomed_out(answered, mouse, disc, viewer):
    mouse.key(Qt.Key.Key_K, SHIFT)
    mouse.key(Qt.Key.Key_PageDown)
    mouse.key(Qt.Key.Key_PageUp)
    answer(answered, WHOLE, disc)
    viewer.scene.camera.zoom /= 8
    mouse.drag((100, 60), (100, 100))
    strokes = painted(answered)
    assert strokes.any()
    assert (strokes & ~disc).sum() < 0.1 * strokes.sum()
