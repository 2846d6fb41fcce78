import time

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QProgressDialog

from napari_pathseg.data.geometry import Region, layout
from napari_pathseg.data.mask import Provenance
from napari_pathseg.data.mask.deeds import Deed, Piece
from napari_pathseg.data.mask.shapes import Pull
from napari_pathseg.errors import ProjectError

TUMOUR = 2


@pytest.fixture
def opened(dock, pictures):
    dock.slides.arrivals.take(pictures[:2])
    return dock


def slow(mask):
    """Fill the mask piece by piece, slow enough to be felt."""
    boxes = list(layout(Region(0, 0, *mask.shape), mask.shape[0] // 8))
    for number, box in enumerate(boxes, 1):
        time.sleep(0.02)
        size = (box.height, box.width)
        changed = mask.edit(box, np.full(size, TUMOUR, np.uint8), np.full(size, Provenance.ACCEPTED, np.uint8))
        yield Piece(changed, number / len(boxes))


def tumour(dock):
    return int(dock.session.mask.counts_so_far[TUMOUR].sum())


def test_long_work_on_the_mask_is_seen_is_painted_over_meanwhile_and_is_one_step_of_undo(opened, qtbot):
    mask = opened.session.mask
    opened.session.corrections.do(Deed("Filling", slow))
    qtbot.waitUntil(opened.work.isVisible)
    assert opened.work.text.text().startswith("Filling · ")
    assert 0 < opened.work.bar.value() < 1000
    opened.session.layers.mask.stroke(Pull((20, 20), (20, 60), 5), 1)
    assert mask.doing is not None
    qtbot.waitUntil(lambda: not mask.waits)
    qtbot.waitUntil(opened.work.isHidden)
    assert mask.read(Region(20, 20, 1, 1))[0][0, 0] == 1
    opened.outline.undo_step()
    assert tumour(opened) == mask.shape[0] * mask.shape[1]
    opened.outline.undo_step()
    qtbot.waitUntil(lambda: not mask.waits)
    assert tumour(opened) == 0


def test_work_that_is_cancelled_leaves_the_mask_as_it_was(opened, qtbot):
    opened.session.corrections.do(Deed("Filling", slow))
    qtbot.waitUntil(opened.work.isVisible)
    assert tumour(opened)
    qtbot.mouseClick(opened.work.cancel, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not opened.session.mask.waits)
    assert tumour(opened) == 0
    qtbot.waitUntil(opened.work.isHidden)


def test_whoever_needs_the_mask_meanwhile_waits_for_the_work_and_is_told_how_far_it_is(opened, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.patience._FELT_MS", 0)
    seen = []

    def look():
        found = [one for one in QApplication.topLevelWidgets() if isinstance(one, QProgressDialog) and one.isVisible()]
        seen.extend((one.value(), opened.session.corrections.busy) for one in found)

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(0)
    opened.session.corrections.do(Deed("Filling", slow))
    opened.session.save_mask()
    timer.stop()
    assert {busy for _, busy in seen} == {True}
    assert len({value for value, _ in seen}) > 2
    assert tumour(opened) == opened.session.mask.shape[0] * opened.session.mask.shape[1]
    assert not opened.session.mask.waits


def test_work_that_fails_tells_why_and_the_window_goes_on(opened, qtbot):
    def refused(mask):
        yield Piece(Region(0, 0, 0, 0), 0.5)
        raise ProjectError("The disk is full. Free it.")

    told = []
    notification_manager.notification_ready.connect(lambda one: told.append(one.message))
    opened.session.corrections.do(Deed("Filling", slow))
    opened.session.mask.begin(Deed("Refused", refused))
    qtbot.waitUntil(lambda: bool(told))
    assert told == ["The disk is full. Free it."]
    assert not opened.session.mask.waits
    opened.outline.undo_step()
    assert tumour(opened) == 0
