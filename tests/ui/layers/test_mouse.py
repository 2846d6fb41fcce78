"""With brush and eraser, a drag with the right mouse button fills an area, and the gesture ends with the button."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.contours.contour import enclosed_rings
from napari_pathseg.geometry import Region

RIGHT = Qt.MouseButton.RightButton
ALT, CONTROL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier


def circle(row, column, radius, degrees=350):
    angles = np.radians(np.linspace(0, degrees, 40))
    return [(row + radius * np.sin(angle), column + radius * np.cos(angle)) for angle in angles]


def painted(dock):
    dock.session.mask.process_pending(10)
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0] == 2


@pytest.fixture
def brush(opened):
    opened.annotate.choose("brush")
    opened.annotate.brush.setValue(6)
    return opened


def test_right_drag_fills_its_outline_as_one_undo_step(brush, mouse):
    mouse.drag(*circle(100, 128, 50), button=RIGHT, release=False)
    assert painted(brush)[100, 178]
    assert not painted(brush)[100, 128]
    mouse.release(circle(100, 128, 50)[-1], button=RIGHT)
    assert painted(brush).sum() == pytest.approx(np.pi * 53**2, rel=0.06)
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(brush).any()
    mouse.key(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert painted(brush)[100, 128]


def test_mouse_paints_nothing_after_the_release(brush, mouse):
    mouse.drag(*circle(100, 80, 30), button=RIGHT)
    before = painted(brush)
    for position in [(100, 160), (120, 200), (160, 200)]:
        mouse.move(position)
    assert (painted(brush) == before).all()
    mouse.drag((200, 200), (200, 220))
    assert painted(brush)[200, 210]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert (painted(brush) == before).all()


@pytest.mark.parametrize("tool", ["brush", "eraser"])
def test_right_click_does_nothing(brush, mouse, tool):
    mouse.drag(*circle(100, 128, 30))
    before = painted(brush)
    brush.annotate.choose(tool)
    mouse.drag((100, 158), button=RIGHT)
    mouse.drag((60, 60), (60, 61), button=RIGHT)
    for position in [(100, 160), (120, 200)]:
        mouse.move(position)
    assert (painted(brush) == before).all()
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(brush).any()


@pytest.mark.parametrize("tool", ["brush", "eraser"])
def test_right_drag_erases_with_the_eraser_or_alt(brush, mouse, tool):
    mouse.drag(*circle(100, 128, 60), button=RIGHT)
    whole = painted(brush)
    brush.annotate.choose(tool)
    mouse.drag(*circle(100, 128, 20), button=RIGHT, modifiers=ALT if tool == "brush" else CONTROL)
    assert not painted(brush)[100, 128]
    assert painted(brush)[100, 170]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert (painted(brush) == whole).all()


def test_lasso_drawn_beyond_its_start_has_no_hole(brush, mouse):
    turn = [(100 + (50 - step / 4) * np.sin(step / 6), 128 + (50 - step / 4) * np.cos(step / 6)) for step in range(60)]
    mouse.drag(*turn, button=RIGHT)
    rows, columns = np.mgrid[:256, :256]
    assert painted(brush)[(rows - 100) ** 2 + (columns - 128) ** 2 < 40**2].all()


def test_line_there_and_back_encloses_nothing():
    assert enclosed_rings(np.array([[0.0, 0.0], [0.0, 9.0], [0.0, 4.0]])) == []
    assert enclosed_rings(np.array([[0.0, 0.0]])) == []


def test_right_drag_does_not_move_the_slide(brush, mouse, viewer):
    before = viewer.scene.camera.center, viewer.scene.camera.zoom
    mouse.drag(*circle(100, 128, 50), button=RIGHT)
    assert (viewer.scene.camera.center, viewer.scene.camera.zoom) == before


def test_a_key_of_napari_that_spares_other_classes_says_so(brush, mouse, notifications):
    mouse.key(Qt.Key.Key_B)
    assert notifications[-1].startswith("Strokes fill only what has no class now")
    mouse.key(Qt.Key.Key_B)
    assert notifications[-1] == "Strokes paint over other classes again."
