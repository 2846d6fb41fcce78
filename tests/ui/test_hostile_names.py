"""Names of slides, classes, models and files that hold markup are shown letter for letter."""

import json

import pytest
from hostile_names import hostile_project, markup_shown_by
from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.panels.slides.import_dialog import ImportDialog
from napari_pathseg.ui.widgets.plain_text import PlainLabel, paragraphs, plain


@pytest.fixture
def hostile(dock, tmp_path):
    return hostile_project(dock, tmp_path)


def test_no_label_or_tool_tip_of_the_dock_shows_markup_of_a_name(hostile):
    dock, _ = hostile
    tips = [widget.toolTip() for widget in dock.findChildren(QWidget)]
    assert any("&lt;i&gt;b" in tip for tip in tips)  # the project's button
    assert markup_shown_by(dock) == []


def test_import_dialog_shows_markup_of_names_letter_by_letter(hostile, tmp_path, qtbot):
    dock, tag = hostile
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [60, 0], [60, 60], [0, 0]]]},
        "properties": {"objectType": "annotation", "classification": {"name": tag + "!"}},
    }
    path = tmp_path / "other<b>x.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    dock.slides.file_drop.add_files([path])
    qtbot.waitUntil(lambda: dock.findChild(ImportDialog) is not None)
    dialog = dock.findChild(ImportDialog)
    qtbot.waitUntil(lambda: dialog.heading.text() != "Reading…")
    assert markup_shown_by(dialog) == []
    dialog.reject()


def test_plain_label_shows_a_tag_as_text(qtbot):
    label = PlainLabel("<b>Tumour</b>")
    qtbot.addWidget(label)
    assert label.sizeHint().width() > label.fontMetrics().horizontalAdvance("<b>Tumour</b>") - 1


def test_tool_tips_that_are_joined_stay_plain():
    assert paragraphs("a", "", "b") == "a\n\nb"
    assert paragraphs(plain("<b>"), "b") == "<qt>&lt;b&gt;</qt><br><br>b"
