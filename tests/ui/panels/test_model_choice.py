"""The list of models in Review: a tree of versions, with a menu to make one current, compare, rename and remove."""

import pytest
from bundle_helpers import make_bundle, save_model
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QFileDialog, QInputDialog

from napari_pathseg.jobs.protocol import ExportModel, FilesWritten, Score, ScoringFinished
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.review import ReviewPanel


@pytest.fixture
def review(qtbot, learnable):
    """Review with four models: the second and the fourth were trained from the first, the third from the second."""
    for name, parent in (("m001", None), ("m002", "m001"), ("m003", "m002"), ("m004", "m001")):
        save_model(learnable.project, make_bundle(name, parent=parent, train=["case0"]))
    learnable.project.update_slide("case4", role="val")
    panel = ReviewPanel(learnable)
    qtbot.addWidget(panel)
    panel.show()
    return panel


def _texts(review):
    return [review.model.itemText(row) for row in range(review.model.count())]


def _stored(review):
    return Project.open(review._session.project.folder)


def _choose(qtbot, review, model, *path):
    """Choose an entry of the menu of a model as a user does: with the mouse."""
    review.model.setCurrentIndex(review.model.findData(model))
    QTest.mouseClick(review.model.more, Qt.MouseButton.LeftButton)
    menu = review.model.more.choices
    qtbot.waitUntil(menu.isVisible)
    for text in path:
        action = next(action for action in menu.actions() if action.text().replace("&", "").startswith(text))
        assert action.isEnabled(), text
        QTest.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
        if action.menu() is not None:
            menu = action.menu()
            qtbot.waitUntil(menu.isVisible)
    review.model.more.choices.close()


def _entry(review, text):
    review.model.more.choices.aboutToShow.emit()
    return next(action for action in review.model.more.choices.actions() if action.text() == text)


def test_branches_are_indented_and_the_current_model_is_marked(review):
    assert [text[:6] for text in _texts(review)] == ["● m004", "\u2003m003 ", "\u2003m002 ", "m001 ·"]
    assert review.model.currentData() == "m004"


def test_model_is_made_current_and_is_chosen_then(review, qtbot):
    _choose(qtbot, review, "m002", "Make current")
    assert _stored(review).current_model == "m002"
    assert review.model.currentData() == "m002"
    assert review.model.currentText().strip().startswith("● m002")
    assert not _entry(review, "Make current").isEnabled()


def test_removed_model_leaves_the_list_and_is_restored(review, qtbot):
    _choose(qtbot, review, "m002", "Remove")
    assert _stored(review).model_ids() == ["m001", "m003", "m004"]
    assert "m002" not in [review.model.itemData(row) for row in range(review.model.count())]
    _choose(qtbot, review, "m001", "Restore", "m002")
    assert _stored(review).model_ids() == ["m001", "m002", "m003", "m004"]
    assert not _entry(review, "Restore").isEnabled()


def test_model_is_exported_into_the_chosen_folder(review, worker, monkeypatch, qtbot, tmp_path):
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    messages = []
    review._session.message.connect(lambda text, *_: messages.append(text))
    _choose(qtbot, review, "m002", "Export for other programs", "bioimage.io package")
    command = worker.sent[-1]
    assert isinstance(command, ExportModel)
    assert (command.model, command.format, command.folder) == ("m002", "bioimageio", str(tmp_path))
    assert not _entry(review, "Export for other programs").isEnabled()
    worker.event.emit(FilesWritten([str(tmp_path / "m002.bioimageio.zip")]))
    assert any("m002.bioimageio.zip" in text for text in messages)
    assert _entry(review, "Export for other programs").isEnabled()


def test_name_is_shown_beside_the_number(review, monkeypatch, qtbot):
    monkeypatch.setattr(QInputDialog, "getText", lambda *args, text: ("best so far", True))
    _choose(qtbot, review, "m003", "Rename")
    assert _stored(review).state.model_names == {"m003": "best so far"}
    assert "m003 “best so far” · Dice" in review.model.itemText(review.model.findData("m003"))


def test_any_two_models_are_compared_the_older_one_first(review, worker, qtbot):
    _choose(qtbot, review, "m004", "Compare with", "m001")
    assert [command.model for command in worker.sent if isinstance(command, Score)] == ["m001"]
    for model, dice in (("m001", 0.7), ("m004", 0.8)):
        worker.event.emit(ScoringFinished(model, {"Background": dice, "Tumour": dice}, ["case4"]))
    assert [command.model for command in worker.sent if isinstance(command, Score)] == ["m001", "m004"]
    cells = [review._cells.itemAtPosition(1, column).widget().text() for column in range(4)]
    assert cells == ["Background", "0.700", "0.800", "+0.100"]


def test_right_click_opens_the_same_menu(review, qtbot):
    review.model.customContextMenuRequested.emit(QPoint(4, 4))
    assert review.model.more.choices.isVisible()
    assert _entry(review, "Rename…").isEnabled()
    review.model.more.choices.close()


def test_nothing_can_be_changed_where_the_project_is_read_only(review):
    review._session.workspace.taken = "Another program holds it."
    for text in ("Make current", "Rename…", "Remove"):
        assert not _entry(review, text).isEnabled()
