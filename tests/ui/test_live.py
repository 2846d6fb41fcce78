"""The live model in a real window, with a real worker: strokes by the mouse, and what is seen after them."""

import os
import signal

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.masks import Provenance

BACKGROUND, TUMOUR = 1, 2


def overlay(dock):
    """Return the classes that the live layer shows."""
    layer = dock.session.layers.live
    return np.zeros((256, 256), np.uint8) if layer is None else np.asarray(layer.data[0]) % 128


def draw(dock, mouse, label, *places):
    dock.annotate.classes.select(label)
    dock.annotate.choose("brush")
    mouse.drag(*places)


@pytest.fixture
def followed(real_worker, opened, mouse, disc, qtbot):
    """The window after a stroke of each class, with the overlay that follows."""
    draw(opened, mouse, TUMOUR, (80, 110), (120, 150))
    qtbot.waitUntil(lambda: "Background" in opened.annotate.live.sentence.text())
    draw(opened, mouse, BACKGROUND, (220, 40), (220, 220))
    qtbot.waitUntil(lambda: (overlay(opened)[disc] == TUMOUR).mean() > 0.5)
    return opened


def test_overlay_follows_the_second_class_and_is_taken_over_as_the_models(followed, mouse, disc, qtbot):
    session = followed.session
    assert (overlay(followed)[~disc] == TUMOUR).mean() < 0.1
    assert session.mask.counts[:, Provenance.MODEL].sum() == 0
    mouse.key(Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    assert not session.layers.live.visible
    mouse.key(Qt.Key.Key_O, Qt.KeyboardModifier.ShiftModifier)
    assert session.layers.live.visible
    followed.sections["review"].set_open(True)
    followed.review.live.fill_view.click()
    qtbot.waitUntil(lambda: session.live.filling is None)
    found = session.mask.counts[TUMOUR, Provenance.MODEL]
    assert 0.5 * disc.sum() < found < 1.2 * disc.sum()
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: session.mask.counts[:, Provenance.MODEL].sum() == 0)
    followed.review.live.live.switch.click()
    assert not followed.annotate.live.switch.isChecked()
    assert not overlay(followed).any()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_overlay_comes_back_by_itself_after_the_worker_was_killed(followed, mouse, disc, qtbot):
    os.kill(followed.worker.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not followed.session.live.ready)
    draw(followed, mouse, BACKGROUND, (20, 20), (20, 60))
    qtbot.waitUntil(lambda: followed.session.live.ready)
    qtbot.waitUntil(lambda: (overlay(followed)[disc] == TUMOUR).mean() > 0.5)
    assert followed.session.mask.counts[BACKGROUND, Provenance.DRAWN] > 40 * 20
