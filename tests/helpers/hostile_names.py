"""A project whose names hold markup, and a search of widgets for what Qt would draw of it."""

import sys

from PIL import Image
from qtpy.QtCore import QAbstractListModel, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractItemView, QLabel, QMenu, QWidget

from napari_pathseg.projects.slide_settings import SlideChanges

MARKUP = "<img src='{}'>"


def hostile_project(dock, tmp_path):
    """Return the dock with a project in which whatever a stranger may name holds a tag that loads a picture."""
    Image.new("RGB", (400, 400), (255, 0, 0)).save(tmp_path / "loaded.png")
    session, tag = dock.session, MARKUP.format(tmp_path / "loaded.png")
    name = "<b>x<" if sys.platform != "win32" else "x"
    slide = tmp_path / f"{name}.png"
    Image.new("RGB", (128, 128), (200, 120, 160)).save(slide)
    session.new_project(tmp_path / "a<i>b.pathseg")
    session.add_slides([slide])
    classes = session.project.classes.changed(2, tag, None).add(f"{tag} 2")
    session.change_classes(classes)
    for slide_id in list(session.project.slides):
        session.change_slides([slide_id], SlideChanges(patient=f"{tag} patient"))
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
        if isinstance(widget, QMenu):
            tips += [action.toolTip() for action in widget.actions()] if widget.toolTipsVisible() else []
        found += [tip for tip in tips if has_tag(tip)]
    return found


def has_tag(text):
    return "<img" in text or "<b>x" in text or "<i>b" in text
