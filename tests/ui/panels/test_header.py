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
    assert texts == ["New project…", "Open…", "Recent", "Show folder", "", "Keys", "QuPath keys"]


def test_new_project_dialog_asks_for_folder_name_and_detail(qtbot, tmp_path):
    dialog = NewProjectDialog(tmp_path)
    qtbot.addWidget(dialog.native)
    assert dialog.project_folder == tmp_path / "project.pathseg"
    assert dialog.mpp.value == 1.0
    dialog.project_name.value, dialog.mpp.value = "liver.pathseg", None
    assert (dialog.project_folder, dialog.mpp.value) == (tmp_path / "liver.pathseg", None)
    dialog.project_name.value = " "
    assert dialog.project_folder == tmp_path / "project.pathseg"
