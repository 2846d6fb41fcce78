"""The panel as a whole: nothing in it moves by itself, the wheel scrolls it, and the keys stay with the canvas."""

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest
from bundle_helpers import make_bundle
from napari.utils.notifications import notification_manager
from PIL import Image
from qtpy.QtCore import QPoint, QPointF, QRect, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QGraphicsView,
    QScrollBar,
)

from napari_pathseg.engine.events import Note, Progress, Started, Validated, ValidationSamplesReady
from napari_pathseg.geometry import Region
from napari_pathseg.jobs.protocol import TrainingFinished
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.projects.importing.add_slides import AddOptions

LEFT, SHIFT = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def unfolded(opened, viewer):
    """A dock whose sections are all open, in a window of 1280 x 800."""
    viewer.window._qt_window.resize(1280, 800)
    for section in opened.sections.values():
        section.set_open(True)
    opened.guard.adopt()
    QApplication.processEvents()
    return opened


def places(dock):
    """Return where each visible button is drawn in the dock."""
    buttons = [button for button in dock.findChildren(QAbstractButton) if button.isVisible()]
    return {button: QRect(button.mapTo(dock, QPoint(0, 0)), button.size()) for button in buttons}


def moved(before, now):
    """Return whether a button is no longer where the mouse would press it; a longer text may widen it."""
    return before.top() != now.top() or not now.contains(before.center())


class Stillness:
    """Compares the places of buttons before and after something happened."""

    def __init__(self, dock, qtbot):
        self._dock, self._qtbot = dock, qtbot
        self.rest()

    def rest(self):
        self._qtbot.wait(250)  # throttled updates
        self._before = places(self._dock)

    def check(self, what):
        self._qtbot.wait(250)
        now = places(self._dock)
        both = self._before.keys() & now.keys()
        found = {button.text() or button.toolTip()[:30] for button in both if moved(self._before[button], now[button])}
        assert not found, f"{what} moved {found}"
        assert len(both) > 30


def slowly(mask):
    for number in range(40):
        time.sleep(0.04)
        yield OperationStep(Region(0, 0, 0, 0), (number + 1) / 40)


def give_model(dock, name):
    folder = dock.session.project.folder / "models" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.json").write_text(json.dumps(asdict(make_bundle(name))))


def test_no_button_moves_by_itself_over_a_session(unfolded, slide_files, mask_folder, worker, tmp_path, qtbot):
    dock, session = unfolded, unfolded.session
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    session.show_slide("case3")
    emit = dock.worker.event.emit
    still = Stillness(dock, qtbot)
    session.refresh_mask(fill_from_model(session.mask, Region(0, 0, 90, 90), np.full((90, 90), 2, np.uint8)))
    still.check("a prediction in the mask")
    session.editor.accept()
    still.check("accepting")
    session.layers.mask.paint((20, 20), 1)
    still.check("a stroke")
    session.message.emit("Something that takes more than one line to say happened on this slide. " * 2, "", "warning")
    still.check("a message")
    session.editor.run(MaskOperation("Working", slowly))
    qtbot.waitUntil(dock.operation_progress.isVisible)
    still.check("an operation that runs")
    qtbot.waitUntil(lambda: not dock.operation_progress.isVisible())
    still.check("the end of an operation")

    QTest.mouseClick(dock.train.button, LEFT)  # the user moves what follows the curves
    still.rest()
    emit(Started("r001", "m001", None, [], []))
    emit(Progress("Training", fraction=0.1, seconds=1, seconds_left=9, step=1, loss=0.8, rate=1e-4))
    still.check("the first progress")
    scores = {"Background": 0.95, "Tumour": 0.87}
    emit(Validated(1, 1.0, 0.8, scores, 0.87, best=True, rate=3.2e-4, accuracy=0.9, validation_loss=0.4))
    still.check("the first scores")
    Image.fromarray(np.zeros((480, 360, 3), np.uint8)).save(tmp_path / "examples.png")
    emit(ValidationSamplesReady(str(tmp_path / "examples.png")))
    still.check("the first patches")
    emit(Note("Memory ran out.", True))
    still.check("a note")
    give_model(dock, "m001")
    emit(TrainingFinished("m001", 0.87))
    still.check("the end of a training")
    session.training.run = replace(session.training.run, active=False)
    session.training.run_changed.emit()
    still.check("the end of the prediction after it")

    session.show_slide("case0")
    still.check("another slide")
    session.editor.set_complete(False)
    still.check("a slide that is not complete any more")
    for tool in ("brush", "wand", "superpixels", "live_wire", "polygon", "pan"):
        dock.annotate.choose(tool)
        still.check(f"the {tool}")
    session.workspace.taken = "open in the window of somebody else"
    session.project_changed.emit()
    still.check("a project that is read-only")


def test_no_section_opens_folds_or_scrolls_by_itself(opened, slide_files, mask_folder, qtbot):
    opened.sections["export"].set_open(True)
    before = {name: section.is_open for name, section in opened.sections.items()}
    assert before["slides"]
    assert before["outline"]
    opened.session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    qtbot.waitUntil(lambda: opened.header.step.section == "train")
    qtbot.wait(500)
    assert {name: section.is_open for name, section in opened.sections.items()} == before
    assert opened.area.verticalScrollBar().value() == 0


def test_button_of_the_next_step_opens_its_section_and_folds_none(opened, slide_files, mask_folder, qtbot):
    opened.session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    qtbot.waitUntil(lambda: opened.header.step.action == "train")
    assert not opened.sections["train"].is_open
    QTest.mouseClick(opened.header.button, LEFT)
    assert opened.sections["train"].is_open
    assert opened.sections["outline"].is_open


def turn_wheel(widget):
    """Turn the wheel over a widget; whoever ignores it leaves it to its parent, as Qt does with a real wheel."""
    turn = QPoint(0, -120)
    nothing = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False
    while widget is not None:
        place = widget.rect().center()
        event = QWheelEvent(QPointF(place), QPointF(widget.mapToGlobal(place)), turn, turn, *nothing)
        QApplication.sendEvent(widget, event)
        if event.isAccepted():
            return
        widget = widget.parentWidget()


def test_wheel_over_a_box_or_slider_scrolls_and_changes_nothing(unfolded, qtbot):
    boxes = unfolded.findChildren((QAbstractSpinBox, QComboBox, QAbstractSlider))
    boxes = [box for box in boxes if box.isVisible() and not isinstance(box, QScrollBar)]
    values = [box.currentIndex() if isinstance(box, QComboBox) else box.value() for box in boxes]
    bar = unfolded.area.verticalScrollBar()
    assert len(boxes) > 5
    for box in boxes:
        box.setFocus()  # as if the user had just used it
        bar.setValue(bar.maximum() // 2)
        turn_wheel(box)
        assert bar.value() > bar.maximum() // 2, (type(box), box.toolTip())
    assert values == [box.currentIndex() if isinstance(box, QComboBox) else box.value() for box in boxes]


def test_wheel_over_the_curves_scrolls(unfolded):
    bar = unfolded.area.verticalScrollBar()
    unfolded.train.curves.show()
    plots = unfolded.train.curves.findChildren(QGraphicsView)
    assert plots
    for plot in plots:
        bar.setValue(bar.maximum() // 2)
        turn_wheel(plot.viewport())
        assert bar.value() > bar.maximum() // 2


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def has_keys(viewer):
    """Return whether the canvas would receive a key."""
    return viewer.window._qt_window.focusWidget() is canvas_of(viewer)


def key_works(viewer, dock):
    """Press the key of the brush in whatever has the focus, and return whether the brush is chosen."""
    dock.annotate.choose("pan")
    QTest.keyClick(viewer.window._qt_window.focusWidget(), Qt.Key.Key_B, SHIFT)
    QApplication.processEvents()
    return dock.annotate.tools["brush"].isChecked()


def test_keys_work_after_clicks_anywhere_in_the_panel(unfolded, viewer, qtbot):
    canvas_of(viewer).setFocus()
    blank = unfolded.header.notice
    for widget in (unfolded.sections["export"].title, unfolded.annotate.complete, unfolded.review.only_contour, blank):
        QTest.mouseClick(widget, LEFT)
        assert has_keys(viewer), widget
        assert key_works(viewer, unfolded)
    for view, column in ((unfolded.slides.list, 0), (unfolded.annotate.classes, 1)):
        where = view.visualRect(view.model().index(0, column)).center()
        QTest.mouseClick(view.viewport(), LEFT, pos=where)
        assert key_works(viewer, unfolded)


def test_keys_return_from_a_number_with_enter_or_a_click_on_a_button(unfolded, viewer):
    box = unfolded.train.presets.minutes.native
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert has_keys(viewer)
    box.setFocus()
    QTest.mouseClick(unfolded.sections["export"].title, LEFT)
    assert has_keys(viewer)


def test_canvas_has_the_keys_once_a_slide_is_shown(opened, viewer):
    assert has_keys(viewer)


def messages_on_screen():
    return [
        one for one in QApplication.allWidgets() if type(one).__name__ == "NapariQtNotification" and one.isVisible()
    ]


def test_messages_of_a_project_are_gone_in_the_next_and_stay_in_the_list(opened, tmp_path, monkeypatch, qtbot):
    from napari_pathseg.ui.widgets import notifications

    opened.session.message.emit("Something about the first project.", "", "info")
    assert [one.message.text() for one in messages_on_screen()] == ["Something about the first project."]
    monkeypatch.setattr(notifications, "_JUST_NOW_S", -1)
    opened.session.new_project(tmp_path / "other.pathseg")
    qtbot.waitUntil(
        lambda: "Something about the first project." not in [m.message.text() for m in messages_on_screen()]
    )
    assert any("Something about the first project." in line for line in notifications.shown_messages())
    assert notification_manager.records
