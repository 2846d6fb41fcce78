import pytest
from qtpy.QtCore import Qt

from napari_pathseg.ui.shortcuts.keymap import keys_text
from napari_pathseg.ui.shortcuts.qupath import QUPATH_KEYS, QuPathKeys, wants_qupath_keys
from napari_pathseg.ui.tools.registry import TOOLS


@pytest.fixture
def opened(dock, pictures):
    dock.slides.file_drop.add_files(pictures[:2])
    return dock


def press(dock, qtbot, key):
    canvas = dock._viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, key)


def test_they_are_off_until_they_are_asked_for(opened, qtbot):
    assert not wants_qupath_keys()
    preserved = opened.session.layers.mask.preserve_labels
    press(opened, qtbot, Qt.Key.Key_B)
    assert opened.annotate.tool_controller.active_tool != "brush"
    assert opened.session.layers.mask.preserve_labels != preserved  # napari's own


def test_each_takes_its_tool_in_hand_and_nothing_of_naparis_happens(opened, qtbot):
    opened.header.qupath.turn(True)
    layer = opened.session.layers.mask
    before = layer.preserve_labels, layer.selected_label, layer.visible
    for key in QUPATH_KEYS:
        opened.annotate.choose("eraser")
        press(opened, qtbot, key.key.lower())
        assert opened.annotate.tool_controller.active_tool == key.action, key.key
        assert (layer.preserve_labels, layer.selected_label, layer.visible) == before, key.key


def test_layers_that_come_later_have_them_and_those_of_the_user_do_not(opened, qtbot):
    opened.header.qupath.turn(True)
    layers = opened.session.layers
    opened._viewer.layers.remove(layers.contours)
    own = opened._viewer.add_shapes(name="mine")
    opened.session.show_slide("case1")
    bound = {layer.name: len(layer.keymap) >= len(QUPATH_KEYS) for layer in (layers.contours, layers.mask, own)}
    assert list(bound.values()) == [True, True, False]


def test_they_are_turned_off_again_and_the_choice_is_the_users(opened, qtbot):
    opened.header._fill_menu()
    action = next(action for action in opened.header.menu.actions() if action.text() == "QuPath keys")
    assert not action.isChecked()
    action.trigger()
    assert wants_qupath_keys()
    assert QuPathKeys(opened._viewer, {tool.name: lambda: None for tool in TOOLS}).on
    opened.header.qupath.turn(False)
    opened.annotate.choose("eraser")
    press(opened, qtbot, Qt.Key.Key_W)
    assert opened.annotate.tool_controller.active_tool == "eraser"
    assert not wants_qupath_keys()


def test_the_list_of_keys_names_them():
    assert "Wand (QuPath's)" in keys_text(QUPATH_KEYS)


def test_a_key_opens_the_cleaning_and_another_takes_the_box(opened, qtbot):
    canvas = opened._viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_X, Qt.KeyboardModifier.ShiftModifier)
    assert opened.session.boxes.active
