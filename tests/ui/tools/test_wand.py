import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_pathseg.geometry import Region
from napari_pathseg.ui.tools.preferences import SENSITIVITY, ToolPreferences

ALT, SHIFT = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def wand(opened, mouse, monkeypatch):
    """The window with the wand, which does not grow, however long a busy machine takes for a drag."""
    monkeypatch.setattr("napari_pathseg.ui.tools.wand._HOLD_MS", 10**6)
    mouse.key(Qt.Key.Key_W, SHIFT)
    return opened


def painted(dock):
    """Return where the mask of the slide in view is tumour."""
    dock.session.mask.process_pending(10)
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0] == 2


def shown(dock):
    """Return where tumour is on screen, as far as the zoom shows it."""
    return np.asarray(dock.session.layers.mask._slice.image.raw) % 128 == 2


def across(disc_row=100):
    return [(disc_row, column) for column in range(95, 165, 5)]


def test_wand_drag_paints_the_disc_as_one_undo_step(wand, mouse, disc):
    assert wand.annotate.tools["wand"].isChecked()
    assert wand.annotate.options.sliders[SENSITIVITY].isVisible()
    wand.annotate.brush.setValue(200)
    mouse.drag(*across(80), *across(110)[::-1], *across(130), release=False)
    assert shown(wand).any()
    assert not painted(wand).any()
    mouse.release((130, 160))
    found = painted(wand)
    assert (found & disc).sum() > 0.7 * disc.sum()
    assert (found & ~disc).sum() < 0.05 * found.sum()
    mouse.drag((100, 100), (100, 110), modifiers=ALT)
    assert painted(wand).sum() < found.sum()
    for _ in range(2):
        mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not painted(wand).any()


@pytest.fixture
def picky(wand):
    """The wand, so picky that a click selects little."""
    wand.annotate.options.sliders[SENSITIVITY].slider.setValue(5.0)
    wand.annotate.brush.setValue(200)
    return wand


@pytest.fixture
def hold(picky, mouse, monkeypatch):
    """A function that presses the button and holds it still; it returns how much a click selects."""

    def hold(place, **how):
        mouse.click(place, **how)
        once = int(painted(picky).sum())
        picky.annotate.undo_step()
        monkeypatch.setattr("napari_pathseg.ui.tools.wand._HOLD_MS", 1)
        mouse.drag(place, release=False, **how)
        return once

    return hold


def test_held_wand_grows_until_it_is_released_which_is_one_undo_step(picky, hold, mouse, disc, qtbot, viewer):
    once = hold((100, 128))
    qtbot.waitUntil(lambda: shown(picky).sum() > 2 * once)
    assert viewer.status.startswith("The wand grows while you hold the button.")
    assert not painted(picky).any()
    seen = shown(picky)
    mouse.release((100, 128))
    after = painted(picky)
    assert after.sum() >= seen.sum() > 0
    assert np.array_equal(shown(picky), after)
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not painted(picky).any()


def test_escape_cancels_what_the_held_wand_has_selected(picky, hold, mouse, qtbot):
    mouse.click((100, 90))
    before = painted(picky)
    once = hold((100, 150))
    qtbot.waitUntil(lambda: shown(picky).sum() > before.sum() + 2 * once)
    mouse.key(Qt.Key.Key_Escape)
    assert np.array_equal(shown(picky), before)
    mouse.release((100, 150))
    assert np.array_equal(painted(picky), before)
    mouse.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not painted(picky).any()


def test_with_alt_the_held_wand_erases(picky, hold, mouse, qtbot):
    mouse.key(Qt.Key.Key_B, SHIFT)
    mouse.drag((100, 100), (100, 156))
    mouse.key(Qt.Key.Key_W, SHIFT)
    brushed = painted(picky).sum()
    left = hold((100, 128), modifiers=ALT)
    assert left < brushed
    qtbot.waitUntil(lambda: shown(picky).sum() < left)
    mouse.release((100, 128), modifiers=ALT)
    assert painted(picky).sum() < left


def test_another_tool_drops_what_the_held_wand_has_selected(picky, hold, mouse):
    hold((100, 128))
    assert shown(picky).any()
    picky.annotate.choose("brush")
    assert not shown(picky).any()
    mouse.release((100, 128))
    assert not painted(picky).any()


def test_wand_with_shift_and_wheel_selects_less(wand, mouse, viewer):
    wand.annotate.options.sliders[SENSITIVITY].slider.setValue(0.3)
    mouse.click((100, 100))
    before, zoom = painted(wand).sum(), viewer.scene.camera.zoom
    wand.annotate.undo_step()
    for _ in range(47):
        mouse.wheel((100, 100), 1, SHIFT)
    mouse.click((100, 100))
    assert painted(wand).sum() < before
    assert wand.annotate.options.sliders[SENSITIVITY].slider.value() == pytest.approx(5.0)
    assert ToolPreferences().value(SENSITIVITY) == pytest.approx(5.0)
    assert viewer.scene.camera.zoom == zoom


def test_wand_stays_active_on_another_slide_and_at_any_zoom(wand, mouse, viewer):
    mouse.key(Qt.Key.Key_PageDown)
    assert wand.annotate.tools["wand"].isChecked()
    for zoom in (0.25, 24.0):
        viewer.scene.camera.zoom *= zoom
        QApplication.processEvents()
        row, column = np.round(viewer.scene.camera.center[-2:]).astype(int)
        mouse.click((row, column))
        assert painted(wand)[row, column]
        wand.annotate.undo_step()


def test_fast_wand_drag_leaves_no_gap(wand, mouse):
    wand.annotate.brush.setValue(40)
    mouse.drag((100, 80), (100, 176))
    assert painted(wand)[100, 80:176].mean() > 0.9


def test_brush_paints_as_before_after_the_wand(wand, mouse, viewer):
    layer = wand.session.layers.mask
    wand.annotate.brush.setValue(90)
    viewer.layers.selection.active = wand.session.layers.image
    viewer.layers.selection.active = layer
    assert not wand.annotate.tools["wand"].isChecked()
    assert str(layer.mode) == "pan_zoom"
    wand.annotate.choose("wand")
    assert wand.annotate.brush.value() == 90
    wand.annotate.choose("brush")
    assert wand.annotate.brush.value() == 24
    mouse.drag((30, 70), (30, 100))
    brushed = painted(wand)
    assert brushed[30, 70:100].all()
    assert brushed.sum() < 60 * 30
    wand.annotate.choose("fill")
    mouse.click((200, 80))
    assert painted(wand).sum() > 30_000


def test_drag_with_space_pans_and_paints_nothing(wand, mouse, viewer):
    mouse.hold(Qt.Key.Key_Space, True)
    before = viewer.scene.camera.center
    mouse.drag((100, 100), (110, 120), (120, 140))
    mouse.hold(Qt.Key.Key_Space, False)
    assert viewer.scene.camera.center != before
    assert not painted(wand).any()
    assert wand.annotate.tools["wand"].isChecked()
    mouse.click((100, 128))
    assert painted(wand).any()
