import dataclasses
import re
from pathlib import Path

import pytest
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.notifications import notification_manager
from napari.utils.shortcuts import default_shortcuts
from qtpy.QtCore import Qt

import napari_pathseg
from napari_pathseg.ui.shortcuts import KEYS, QUPATH_KEYS, QuPathKeys, keys_text, with_key
from napari_pathseg.ui.tools.context import InteractiveTool
from napari_pathseg.ui.tools.registry import PAN, TOOLS, ToolSpec

OF_POINTS_AND_OTHERS = ("points", "vectors", "tracks", "surface", "select_append_all")


def test_keys_do_not_collide_with_naparis():
    taken = {
        coerce_keybinding(key): action
        for action, keys in default_shortcuts.items()
        if not any(word in str(action) for word in OF_POINTS_AND_OTHERS)
        for key in keys
    }
    assert [key for key in KEYS if coerce_keybinding(key.key) in taken] == []


def test_keys_are_unique():
    assert len({coerce_keybinding(key.key) for key in KEYS}) == len(KEYS)


def test_tool_tip_of_every_tool_names_its_key():
    for tool in TOOLS:
        assert "Shift+" in with_key(tool.help, tool.name)


def test_list_of_keys_has_every_key_and_one_line_for_the_classes():
    text = keys_text()
    assert all(key.text in text for key in KEYS if not key.action.startswith("class_"))
    assert "Alt+1 … 9" in text


def test_list_of_keys_explains_the_mouse_and_keys_of_tools():
    text = keys_text()
    for key in ("Right-drag", "Shift+wheel", "Enter, Alt+Enter", "Escape", "Backspace", "L", "Space"):
        assert f"<b>{key}</b>" in text


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool.factory is not None], ids=lambda tool: tool.name)
def test_list_of_keys_explains_the_wheel_and_the_keys_of_each_tool(tool):
    lines = re.findall(r"<b>([^<]+)</b></td><td[^>]*>([^<]+)</td>", keys_text())
    turns = tool.factory.on_wheel is not InteractiveTool.on_wheel
    for key in (*tool.factory.keys, *(["Shift+wheel"] if turns else [])):
        texts = [text.lower() for keys, text in lines if key.replace("-", "+") in keys.split(", ")]
        assert any(tool.title.lower() in text for text in texts), f"{key}: name {tool.title} in _OTHERS, shortcuts.py"


def test_key_of_naparis_class_picker_matches_the_list():
    keys = {str(coerce_keybinding(key)) for key in default_shortcuts["napari:activate_labels_picker_mode"]}
    assert "L" in keys


def test_readme_table_of_tools_matches_the_code():
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf8")
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", readme.split("## Tools")[1].split("\n## ")[0], re.MULTILINE
    )
    listed = {
        name: key for names, keys in rows[1:] for name, key in zip(names.split(", "), keys.split(", "), strict=True)
    }
    keys = {key.action: key.text for key in KEYS}
    others = {"clean up": keys["clean"], "select": keys["select"], "complete box": keys["complete_box"]}
    tools = {tool.name.replace("_", "-"): keys[tool.name] for tool in TOOLS if tool.name != PAN}
    assert listed == tools | others | {"pick": "L (napari's)"}, "the README's table (left) has other tools than TOOLS"


def test_tools_have_icons_and_unique_keys_and_names():
    icons = {path.stem for path in (Path(napari_pathseg.__file__).parent / "ui" / "icons").glob("*.svg")}
    assert {tool.name for tool in TOOLS} <= icons
    for field in ("name", "title", "key"):
        assert len({getattr(tool, field) for tool in TOOLS}) == len(TOOLS), field


def test_tool_spec_with_a_missing_field_is_an_error():
    fields = dataclasses.asdict(TOOLS[0])
    for name in fields:
        with pytest.raises(TypeError, match=name):
            ToolSpec(**{other: value for other, value in fields.items() if other != name})


# -- QuPath's keys


@pytest.fixture
def opened(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files[:2])
    return dock


def press(dock, qtbot, key):
    canvas = dock._viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, key)


def test_qupath_keys_are_off_by_default(opened, qtbot):
    assert not opened.header.qupath.on
    preserved = opened.session.layers.mask.preserve_labels
    press(opened, qtbot, Qt.Key.Key_B)
    assert opened.annotate.tool_controller.active_tool != "brush"
    assert opened.session.layers.mask.preserve_labels != preserved  # napari's own


def test_qupath_key_chooses_its_tool_instead_of_naparis_action(opened, qtbot):
    opened.header.qupath.set_on(True)
    layer = opened.session.layers.mask
    before = layer.preserve_labels, layer.selected_label, layer.visible
    for key in QUPATH_KEYS:
        opened.annotate.choose("eraser")
        press(opened, qtbot, key.key.lower())
        assert opened.annotate.tool_controller.active_tool == key.action, key.key
        assert (layer.preserve_labels, layer.selected_label, layer.visible) == before, key.key


def test_qupath_keys_are_bound_to_new_layers_but_not_the_users_own(opened, qtbot):
    opened.header.qupath.set_on(True)
    layers = opened.session.layers
    opened._viewer.layers.remove(layers.contours)
    own = opened._viewer.add_shapes(name="mine")
    opened.session.show_slide("case1")
    bound = {layer.name: len(layer.keymap) >= len(QUPATH_KEYS) for layer in (layers.contours, layers.mask, own)}
    assert list(bound.values()) == [True, True, False]


def test_qupath_keys_can_be_turned_off_and_the_choice_is_stored(opened, qtbot):
    opened.header._fill_menu()
    action = next(action for action in opened.header.menu.actions() if action.text() == "QuPath keys")
    assert not action.isChecked()
    action.trigger()
    assert QuPathKeys(opened._viewer, {tool.name: lambda: None for tool in TOOLS}).on
    opened.header.qupath.set_on(False)
    opened.annotate.choose("eraser")
    press(opened, qtbot, Qt.Key.Key_W)
    assert opened.annotate.tool_controller.active_tool == "eraser"
    assert not QuPathKeys(opened._viewer, {tool.name: lambda: None for tool in TOOLS}).on


def test_list_of_keys_includes_qupath_keys():
    assert "Wand (QuPath's)" in keys_text(QUPATH_KEYS)


def test_keys_open_the_cleanup_dialog_and_choose_the_complete_box(opened, qtbot):
    canvas = opened._viewer.window._qt_viewer.canvas.native
    canvas.setFocus()
    qtbot.keyClick(canvas, Qt.Key.Key_X, Qt.KeyboardModifier.ShiftModifier)
    assert opened.session.boxes.active


def test_napari_key_for_a_new_label_does_nothing_on_a_mask(opened, qtbot):
    label, shown = opened.session.layers.mask.selected_label, len(notification_manager.records)
    press(opened, qtbot, Qt.Key.Key_M)
    assert opened.session.layers.mask.selected_label == label
    assert len(notification_manager.records) == shown
