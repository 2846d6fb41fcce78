import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_pathseg.geometry import Region
from napari_pathseg.ui.tools.preferences import EDIT_FIRST

ALT, CONTROL = Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier
SQUARE = ((60, 80), (60, 180), (160, 180), (160, 80))


def painted(dock):
    dock.session.mask.process_pending(10)
    return dock.session.mask.read(Region(0, 0, *dock.session.mask.shape))[0] == 2


def outlines(dock):
    return dock.session.layers.drawn_outlines()


def circle(row, column, radius):
    angles = np.linspace(0, 2 * np.pi, 40)
    return [(row + radius * np.sin(angle), column + radius * np.cos(angle)) for angle in angles]


def draw_square(mouse, modifiers=Qt.KeyboardModifier.NoModifier):
    for corner in SQUARE[:-1]:
        mouse.move(corner)
        mouse.click(corner)
    mouse.move(SQUARE[-1])
    mouse.double_click(SQUARE[-1], modifiers)


@pytest.fixture
def edited(opened, mouse, qtbot):
    """A drawn square that is being edited."""
    opened.annotate.choose("polygon")
    opened.annotate.options.checks[EDIT_FIRST].click()
    draw_square(mouse)
    qtbot.waitUntil(lambda: str(opened.session.layers.contours.mode) == "direct")
    return opened


def test_polygon_is_filled_when_finished(opened, mouse, qtbot):
    opened.annotate.choose("polygon")
    draw_square(mouse)
    qtbot.waitUntil(lambda: 9_000 < painted(opened).sum() < 11_500)
    assert outlines(opened) == []


def test_lasso_finished_with_alt_cuts_a_hole(opened, mouse, qtbot):
    opened.annotate.choose("lasso")
    mouse.drag(*circle(100, 128, 50))
    qtbot.waitUntil(lambda: painted(opened).sum() > 7_000)
    mouse.drag(*circle(100, 128, 20), modifiers=ALT)
    qtbot.waitUntil(lambda: not painted(opened)[100, 128])
    assert painted(opened)[100, 90]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert painted(opened)[100, 128]


def test_edited_outline_is_filled_on_enter(edited, mouse):
    assert not painted(edited).any()
    assert edited.annotate.tools["polygon"].isChecked()
    mouse.drag((60, 80), (50, 75), (40, 70))
    mouse.key(Qt.Key.Key_Return)
    found = painted(edited)
    assert found[45, 75]
    assert found[155, 175]
    assert outlines(edited) == []
    assert edited.session.layers.contours.mode == "add_polygon"
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(edited).any()


def test_escape_discards_the_edited_outline_and_alt_enter_cuts_it_out(edited, mouse, qtbot):
    contours = edited.session.layers.contours
    mouse.key(Qt.Key.Key_Escape)
    assert outlines(edited) == []
    assert not painted(edited).any()
    for modifiers in (Qt.KeyboardModifier.NoModifier, ALT):
        draw_square(mouse)
        qtbot.waitUntil(lambda: str(contours.mode) == "direct")
        mouse.key(Qt.Key.Key_Return, modifiers)
        assert painted(edited)[100, 128] == (modifiers != ALT)
    assert edited.annotate.tools["polygon"].isChecked()


def test_edited_outline_is_filled_when_another_tool_is_chosen(edited):
    edited.annotate.choose("brush")
    assert painted(edited)[100, 128]
    assert outlines(edited) == []
    assert edited.annotate.tools["brush"].isChecked()


def test_live_wire_outline_can_be_edited(opened, mouse, qtbot, disc):
    opened.annotate.choose("live_wire")
    opened.annotate.options.checks[EDIT_FIRST].click()
    for degrees in (0, 90, 180, 270):
        angle = np.radians(degrees)
        mouse.click((100 + 60 * np.sin(angle), 128 + 60 * np.cos(angle)))
    mouse.key(Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: str(opened.session.layers.contours.mode) == "direct")
    assert not painted(opened).any()
    assert opened.annotate.tools["live_wire"].isChecked()
    mouse.key(Qt.Key.Key_Return)
    assert (painted(opened) & disc).sum() > 0.9 * disc.sum()
    assert opened.annotate.tools["live_wire"].isChecked()


def test_edited_outline_is_kept_until_its_slide_returns(edited, mouse):
    session = edited.session
    before = outlines(edited)[0]
    session.show_slide("case1")
    assert outlines(edited) == []
    mouse.key(Qt.Key.Key_Return)
    assert not painted(edited).any()
    session.show_slide("case0")
    np.testing.assert_array_equal(outlines(edited)[0], before)
    assert edited.annotate.tools["polygon"].isChecked()
    mouse.drag((60, 80), (50, 75), (40, 70))
    mouse.key(Qt.Key.Key_Return)
    assert painted(edited)[45, 75]
    assert outlines(edited) == []
    session.show_slide("case1")
    session.show_slide("case0")
    assert outlines(edited) == []


def test_unfinished_outline_can_be_finished_when_its_slide_returns(opened, mouse, qtbot):
    opened.annotate.choose("polygon")
    for corner in SQUARE:
        mouse.move(corner)
        mouse.click(corner)
    opened.session.show_slide("case1")
    opened.session.show_slide("case0")
    qtbot.wait(20)
    assert not painted(opened).any()
    mouse.key(Qt.Key.Key_Return)
    assert 9_000 < painted(opened).sum() < 11_500


def test_undo_restores_corners_one_by_one_and_not_the_mask(edited, mouse):
    session = edited.session
    session.layers.mask.paint((230, 230), 2)
    start = outlines(edited)[0].copy()
    mouse.drag((60, 80), (50, 75), (40, 70))
    moved = outlines(edited)[0].copy()
    mouse.drag((160, 180), (170, 185), (180, 190))
    mouse.key(Qt.Key.Key_Z, CONTROL)
    np.testing.assert_allclose(outlines(edited)[0], moved)
    for _ in range(3):
        mouse.key(Qt.Key.Key_Z, CONTROL)
    np.testing.assert_allclose(outlines(edited)[0], start)
    assert painted(edited)[230, 230]
    mouse.key(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    np.testing.assert_allclose(outlines(edited)[0], moved)
    mouse.drag((160, 180), (170, 185), (180, 190))
    mouse.key(Qt.Key.Key_Return)
    assert painted(edited)[175, 185]
    assert painted(edited)[45, 75]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(edited)[100, 128]
    mouse.key(Qt.Key.Key_Z, CONTROL)
    assert not painted(edited).any()


def test_key_help_is_shown_while_an_outline_is_edited(edited, mouse):
    options = edited.annotate.options
    mouse.move((100, 100))
    assert not options.edit_help.isHidden()
    assert "Escape" in options.edit_help.text()
    overlay = edited.session.layers.viewer.canvas.overlays.text
    assert "Escape discards it" in overlay.text
    assert overlay.visible
    mouse.key(Qt.Key.Key_Escape)
    assert options.edit_help.isHidden()
    assert not overlay.visible


def test_corners_stay_visible_after_a_click_beside_the_outline(edited, mouse, qtbot):
    mouse.click((20, 20))
    qtbot.waitUntil(lambda: edited.session.layers.contours.selected_data == {0})
