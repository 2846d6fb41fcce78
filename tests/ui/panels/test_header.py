from qtpy.QtCore import Qt

from napari_pathseg.ui.panels.header import NewProjectDialog
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.widgets.user_settings import recent_projects


def test_next_step_button_is_hidden_while_a_job_runs(opened, qtbot):
    opened.session.training.run = JobState(JobKind.TRAIN, seconds_left=70)
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(lambda: not opened.header.button.isVisible())
    opened.session.training.run = None
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(opened.header.button.isVisible)


def test_open_project_is_listed_as_recent(opened):
    assert recent_projects() == [opened.session.project.folder]
    opened.header._fill_menu()
    texts = [action.text() for action in opened.header.menu.actions()]
    folder = ["Show folder", "Clean up project…"]
    assert texts == ["New project…", "Open…", "Recent", *folder, "", "Messages", "Keys", "QuPath keys"]
    assert opened.header.menu.toolTipsVisible()


def test_new_project_dialog_asks_for_folder_name_and_detail(qtbot, tmp_path):
    dialog = NewProjectDialog(tmp_path)
    qtbot.addWidget(dialog.native)
    assert dialog.project_folder == tmp_path / "project.pathseg"
    assert dialog.mpp.value == 1.0
    dialog.project_name.value, dialog.mpp.value = "liver.pathseg", None
    assert (dialog.project_folder, dialog.mpp.value) == (tmp_path / "liver.pathseg", None)
    dialog.project_name.value = " "
    assert dialog.project_folder == tmp_path / "project.pathseg"


def test_the_window_goes_on_while_a_new_project_is_asked_for(dock, tmp_path):
    dock.header.ask_for_new()
    assert dock.header.dialog.native.isVisible()
    dock.header.dialog.folder.value, dock.header.dialog.project_name.value = tmp_path, "liver"
    dock.header.dialog.native.accept()
    assert dock.session.project.folder == tmp_path / "liver.pathseg"


def test_open_image_becomes_a_slide_at_one_click(viewer, dock, slide_files, qtbot):
    viewer.open(str(slide_files[0]), plugin="napari-pathseg")
    qtbot.waitUntil(lambda: dock.header.button.text() == "Add as slide")
    assert dock.header.text.text() == "“case0.png” is open, but no slide yet."
    qtbot.mouseClick(dock.header.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: dock.session.slide is not None)
    assert viewer.layers[0].name == "case0"
    assert len(viewer.layers) == 4
    qtbot.waitUntil(lambda: not dock.header.leave.isVisible())


def test_open_image_can_be_left_as_it_is(viewer, dock, slide_files, qtbot):
    viewer.open(str(slide_files[0]), plugin="napari-pathseg")
    qtbot.waitUntil(dock.header.leave.isVisible)
    qtbot.mouseClick(dock.header.leave, Qt.MouseButton.LeftButton)
    assert dock.header.button.text() == "Add slides…"
    qtbot.waitUntil(lambda: not dock.header.leave.isVisible())
