from napari.utils.key_bindings import coerce_keybinding
from napari.utils.shortcuts import default_shortcuts

from napari_pathseg.ui.shortcuts.keymap import KEYS, keys_text, with_key
from napari_pathseg.ui.tools import TOOLS

OF_POINTS_AND_OTHERS = ("points", "vectors", "tracks", "surface", "select_append_all")


def test_no_key_is_one_of_naparis():
    taken = {
        coerce_keybinding(key): action
        for action, keys in default_shortcuts.items()
        if not any(word in str(action) for word in OF_POINTS_AND_OTHERS)
        for key in keys
    }
    assert [key for key in KEYS if coerce_keybinding(key.key) in taken] == []


def test_no_key_does_two_things():
    assert len({coerce_keybinding(key.key) for key in KEYS}) == len(KEYS)


def test_every_tool_has_a_key_and_its_tip_tells_it():
    for tool in TOOLS:
        assert "Shift+" in with_key(tool.help, tool.name)


def test_the_list_names_every_key_but_the_classes_one_by_one():
    text = keys_text()
    assert all(key.text in text for key in KEYS if not key.action.startswith("class_"))
    assert "Alt+1 … 9" in text


def test_the_list_tells_what_the_mouse_and_keys_of_tools_do():
    text = keys_text()
    for key in ("Right-drag", "Shift+wheel", "Enter, Alt+Enter", "Escape", "Backspace", "L", "Space"):
        assert f"<b>{key}</b>" in text


def test_naparis_key_that_picks_a_class_is_the_one_in_the_list():
    keys = {str(coerce_keybinding(key)) for key in default_shortcuts["napari:activate_labels_picker_mode"]}
    assert "L" in keys
