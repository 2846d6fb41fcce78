import json

from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.storage.atomic import load_json, save_json
from napari_pathseg.storage.names import printable, safe_name

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates and control characters included


@given(ANY_TEXT)
def test_what_is_printed_is_one_line_without_control_characters(text):
    shown = printable(text)
    assert len(f"{shown}.".splitlines()) == 1
    shown.encode("utf-8")
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)


@given(ANY_TEXT)
def test_name_of_a_slide_is_printed_as_it_is(text):
    assert printable(safe_name(text)) == safe_name(text)


@given(ANY_TEXT)
def test_any_name_comes_back_the_same_from_a_json_file(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "names.json"
    save_json(path, {"path": text, text: 1})
    assert load_json(path) == {"path": text, text: 1}
    json.loads(path.read_bytes().decode("utf-8"))
