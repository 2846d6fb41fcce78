"""Names of slides, classes, models and files that hold markup are shown letter for letter."""

import json
import sys

import pytest
from PIL import Image
from qtpy.QtCore import QAbstractListModel, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractItemView, QLabel, QWidget

from napari_pathseg.ui.panels.slides.import_dialog import ImportDialog
from napari_pathseg.ui.widgets.plain_text import PlainLabel, paragraphs, plain

MARKUP = "<img src='{}'>"


@pytest.fixture
def hostile(dock, tmp_path):
    """The dock with a project in which whatever a stranger may name holds a tag that loads a picture."""
    Image.new("RGB", (400, 400), (255, 0, 0)).save(tmp_path / "loaded.png")
    session, tag = dock.session, MARKUP.format(tmp_path / "loaded.png")
    name = "<b>x<" if sys.platform != "win32" else "x"
    slide = tmp_path / f"{name}.png"
    Image.new("RGB", (128, 128), (200, 120, 160)).save(slide)
    session.new_project(tmp_path / "a<i>b.pathseg")
    session.add_slides([slide])
    classes = session.project.classes.changed(2, tag, None).add(f"{tag} 2")
    session.change_classes(classes)
    for section in dock.sections.values():
        section.set_open(True)
    session.project_changed.emit()
    QTest.qWait(400)
    return dock, tag


def markup_shown_by(root):
    """Return the texts in which Qt would find a tag that a name brought along."""
    found = []
    for widget in [root, *root.findChildren(QWidget)]:
        tips = [widget.toolTip()]
        if isinstance(widget, QLabel) and widget.textFormat() != Qt.TextFormat.PlainText:
            found += [widget.text()] if has_tag(widget.text()) else []
        if isinstance(widget, QAbstractItemView) and (model := widget.model()) is not None:
            columns = range(1 if isinstance(model, QAbstractListModel) else model.columnCount())
            cells = [model.index(row, column) for row in range(model.rowCount()) for column in columns]
            tips += [str(model.data(cell, Qt.ItemDataRole.ToolTipRole) or "") for cell in cells]
        found += [tip for tip in tips if has_tag(tip)]
    return found


def has_tag(text):
    return "<img" in text or "<b>x" in text or "<i>b" in text


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
