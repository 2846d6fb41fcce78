"""The whole window, with real clicks, keys and drags."""

import shutil

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.engine.bundle import load_bundles
from napari_pathseg.geometry import Region
from napari_pathseg.masks.edits import fill_from_model
from napari_pathseg.projects.importing.add_slides import AddOptions


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def on_canvas(viewer, row, column):
    """Return the point of the canvas at which a position in the world is drawn."""
    canvas = canvas_of(viewer)
    centre = np.asarray(viewer.scene.camera.center[-2:])
    offset = (np.asarray([row, column]) - centre) * viewer.scene.camera.zoom
    return QPoint(round(canvas.width() / 2 + offset[1]), round(canvas.height() / 2 + offset[0]))


def drag(viewer, *positions):
    """Drag the mouse through positions given as (row, column)."""
    canvas, points = canvas_of(viewer), [on_canvas(viewer, *position) for position in positions]
    left = Qt.MouseButton.LeftButton
    QTest.mouseMove(canvas, points[0])
    QApplication.processEvents()
    QTest.mousePress(canvas, left, pos=points[0])
    QApplication.processEvents()
    for point in points[1:]:
        move = _mouse_move(canvas, point)
        QApplication.sendEvent(canvas, move)
        QApplication.processEvents()
    QTest.mouseRelease(canvas, left, pos=points[-1])
    QApplication.processEvents()


def _mouse_move(canvas, point):
    from qtpy.QtGui import QMouseEvent

    spot, left = QPointF(point), Qt.MouseButton.LeftButton
    return QMouseEvent(
        QEvent.Type.MouseMove,
        spot,
        QPointF(canvas.mapToGlobal(point)),
        Qt.MouseButton.NoButton,
        left,
        Qt.KeyboardModifier.NoModifier,
    )


def press(viewer, key, modifier=Qt.KeyboardModifier.NoModifier):
    canvas_of(viewer).setFocus()
    QTest.keyClick(canvas_of(viewer), key, modifier)
    QApplication.processEvents()


@pytest.fixture
def session(dock):
    return dock.session


@pytest.fixture
def opened(dock, slide_files, qtbot):
    """A dock with four slides, shown."""
    dock.slides.file_drop.add_files(slide_files)
    qtbot.waitUntil(lambda: dock.session.slide is not None)
    QApplication.processEvents()
    return dock


def test_empty_window_says_how_to_begin(dock):
    assert dock.header.project.text() == "No project"
    assert dock.header.button.text() == "Add slides…"
    assert dock.slides.empty.isVisible()
    assert not dock.job_progress.isVisible()


def test_files_dropped_on_the_dock_become_a_project(dock, slide_files, qtbot):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in slide_files])
    plain = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    entered, dropped = QDragEnterEvent(QPoint(50, 300), *plain), QDropEvent(QPointF(50, 300), *plain)
    QApplication.sendEvent(dock, entered)
    QApplication.sendEvent(dock, dropped)
    assert dock.header.project.text() == "liver.pathseg"
    assert dock.slides.model.rowCount() == 4


def test_folders_inside_a_dropped_folder_are_named_with_what_to_do(dock, slide_folder, mask_folder, notifications):
    shutil.move(mask_folder, slide_folder / "masks")
    dock.slides.file_drop.add_files([slide_folder])
    assert notifications[-1] == "1 folder inside not opened: masks. Drop a folder by itself to import what is in it."


def test_step_that_opens_a_section_higher_than_the_window_shows_its_beginning(opened, qtbot):
    section = opened.sections["train"]
    section.setMinimumHeight(2 * opened.area.height())  # as with curves and patches
    opened.open_section("train")
    qtbot.waitUntil(lambda: section.mapTo(opened.area.viewport(), QPoint(0, 0)).y() == 0)
    qtbot.wait(300)
    assert section.mapTo(opened.area.viewport(), QPoint(0, 0)).y() == 0


def test_brush_stroke_reaches_the_mask_and_can_be_undone(opened, viewer, qtbot):
    qtbot.mouseClick(opened.annotate.tools["brush"], Qt.MouseButton.LeftButton)
    drag(viewer, (100, 60), (100, 90), (100, 130), (100, 180))
    painted = opened.session.mask.counts[2].sum()
    assert painted > 500
    qtbot.waitUntil(lambda: opened.annotate.classes.topLevelItem(1).text(6).endswith(" %"))
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert opened.session.mask.counts[2].sum() == 0
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert opened.session.mask.counts[2].sum() == painted


def test_lasso_is_filled_on_release_and_can_be_undone(opened, viewer, qtbot):
    qtbot.mouseClick(opened.annotate.tools["lasso"], Qt.MouseButton.LeftButton)
    angles = np.linspace(0, 2 * np.pi, 40)
    drag(viewer, *[(120 + 60 * np.sin(angle), 120 + 60 * np.cos(angle)) for angle in angles])
    qtbot.waitUntil(lambda: opened.session.mask.counts[2].sum() > 8_000)
    assert len(opened.session.layers.contours.data) == 0
    assert opened.annotate.tools["lasso"].isChecked()
    press(viewer, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert opened.session.mask.counts[2].sum() == 0


def test_polygon_is_filled_when_closed(opened, viewer, qtbot):
    opened.annotate.choose("polygon")
    for corner in ((60, 60), (60, 180), (180, 180), (180, 60)):
        point = on_canvas(viewer, *corner)
        QTest.mouseMove(canvas_of(viewer), point)
        QTest.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, pos=point)
        QApplication.processEvents()
    press(viewer, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: opened.session.mask.counts[2].sum() > 6_000)


def test_keys_choose_tools_classes_and_slides(opened, viewer):
    press(viewer, Qt.Key.Key_B, Qt.KeyboardModifier.ShiftModifier)
    assert opened.annotate.tools["brush"].isChecked()
    assert opened.session.layers.mask.mode == "paint"
    press(viewer, Qt.Key.Key_1, Qt.KeyboardModifier.AltModifier)
    assert opened.session.layers.mask.selected_label == 1
    press(viewer, Qt.Key.Key_PageDown)
    assert opened.session.slide.id == "case1"
    press(viewer, Qt.Key.Key_PageUp)
    assert opened.session.slide.id == "case0"


def test_mask_is_hidden_while_h_is_held(opened, viewer):
    canvas = canvas_of(viewer)
    canvas.setFocus()
    QTest.keyPress(canvas, Qt.Key.Key_H)
    QApplication.processEvents()
    hidden = not opened.session.layers.mask.visible
    QTest.keyRelease(canvas, Qt.Key.Key_H)
    QApplication.processEvents()
    assert hidden
    assert opened.session.layers.mask.visible


def test_brush_keeps_its_width_on_screen(opened, viewer):
    opened.annotate.brush.setValue(60)
    before = opened.session.layers.mask.brush_size
    viewer.scene.camera.zoom *= 4
    assert opened.session.layers.mask.brush_size == pytest.approx(before / 4, abs=1)
    assert opened.annotate.brush.value() == 60


def test_accept_view_marks_predictions_as_accepted(opened, qtbot):
    session = opened.session
    session.refresh_mask(fill_from_model(session.mask, Region(100, 100, 50, 50), np.full((50, 50), 2, np.uint8)))
    opened.sections["review"].set_open(True)
    qtbot.mouseClick(opened.review.accept, Qt.MouseButton.LeftButton)
    assert session.mask.counts[2].tolist() == [0, 0, 2500, 0, 0, 0]


def test_error_becomes_a_notification(dock, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"not an image")
    notification_manager.records.clear()
    dock.slides.file_drop.add_files([tmp_path / "bad.jpg"])
    assert any("bad.jpg" in record.message for record in notification_manager.records)


def test_next_step_without_contours_takes_the_brush_with_a_class(opened, qtbot):
    qtbot.waitUntil(lambda: "Outline some Tumour" in opened.header.text.text())
    opened.annotate.classes.select(1)
    qtbot.mouseClick(opened.header.button, Qt.MouseButton.LeftButton)
    assert opened.annotate.classes.selected == 2
    assert opened.annotate.tool_controller.active_tool == "brush"


def test_closing_with_an_active_tool_shows_no_error(opened, viewer, qtbot):
    opened.annotate.choose("superpixels")
    notification_manager.records.clear()
    opened.session.close(clear=False)
    viewer.scene.camera.zoom *= 2
    qtbot.wait(600)
    assert notification_manager.records == []


def test_closing_the_window_saves_and_stops_the_worker(real_worker, make_napari_viewer, slide_files, qtbot):
    from napari_pathseg.projects.project import Project
    from napari_pathseg.ui.dock import PathsegDock

    viewer = make_napari_viewer(show=True)
    dock = PathsegDock(viewer)
    viewer.window.add_dock_widget(dock, name="PathSeg", area="right")
    dock.slides.file_drop.add_files(slide_files)
    folder = dock.session.project.folder
    dock.annotate.choose("brush")
    QApplication.processEvents()
    drag(viewer, (100, 60), (100, 130))
    viewer.close()
    assert dock.session.project is None
    assert dock.worker.pid == 0
    project = Project.open(folder)
    project.acquire_lock()
    project.release_lock()
    assert project.counts("case0")[2].sum() > 100


def test_removing_the_dock_removes_only_its_own_layers(opened, viewer):
    viewer.add_labels(np.zeros((5, 5), int), name="mine")
    viewer.window.remove_dock_widget(opened)
    assert [layer.name for layer in viewer.layers] == ["mine"]
    assert isinstance(viewer.layers[0], Labels)
    assert opened.session.project is None


def test_train_button_ends_with_a_model(real_worker, opened, mask_folder, slide_files, qtbot):
    session = opened.session
    session.add_slides(slide_files[:3], AddOptions(contours=mask_folder))
    session.show_slide("case3")
    opened.open_section("train")
    opened.train.settings.form.fields["steps"].value = 3
    qtbot.mouseClick(opened.train.button, Qt.MouseButton.LeftButton)
    assert opened.train.button.text() == "Stop"
    qtbot.waitUntil(opened.job_progress.isVisible)
    qtbot.waitUntil(lambda: opened.train.button.text() == "Train")
    assert [bundle.id for bundle in load_bundles(session.require_project())] == ["m001"]
    assert opened.review.model.itemData(0) == "m001"
    assert opened.train.parent_model.current_choice == "Newest model (m001)"
    qtbot.waitUntil(lambda: not session.training.active)
    assert session.project.state.training_choices.config["steps"] == 3
