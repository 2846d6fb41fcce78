import json

import pytest
from qtpy.QtGui import QPalette

from napari_pathseg.jobs.protocol import JobFailed, TrainingFinished
from napari_pathseg.projects.project_state import TrainingChoices
from napari_pathseg.ui.panels.header import NewProjectDialog
from napari_pathseg.ui.session.import_controller import import_annotation_files
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.tools.registry import TOOLS
from napari_pathseg.ui.widgets.icons import themed_icon
from napari_pathseg.ui.widgets.user_settings import recent_projects


@pytest.fixture
def opened(dock, pictures):
    dock.slides.file_drop.add_files(pictures)
    return dock


def test_a_class_is_added_renamed_and_coloured(opened):
    table = opened.annotate.classes
    table.add_class()
    table.rename(3, "Necrosis")
    table.set_color(3, "#112233")
    spec = opened.session.project.classes.specs[2]
    assert (spec.name, spec.color) == ("Necrosis", "#112233")
    assert table.topLevelItem(2).text(1) == "Necrosis"
    assert table.selected == 3


def test_a_name_that_is_taken_is_refused_and_the_old_one_stays(opened):
    table = opened.annotate.classes
    table.topLevelItem(1).setText(1, "Background")
    assert opened.session.project.classes.names == ("Background", "Tumour")
    assert table.topLevelItem(1).text(1) == "Tumour"


def test_napari_choosing_a_label_selects_its_class(opened):
    opened.session.layers.mask.selected_label = 1
    assert opened.annotate.classes.currentItem().text(1) == "Background"


def test_a_complete_slide_counts_its_rest_as_background(opened, qtbot):
    opened.sections["outline"].set_open(True)
    opened.annotate.complete.click()
    assert opened.session.project.slides["case0"].complete
    assert opened.annotate.classes.topLevelItem(0).text(5) == "0.07 Mpx"


def test_export_writes_files_and_says_where(opened, mask_folder, tmp_path):
    import_annotation_files(opened.session, [mask_folder], complete=True)
    opened.export.export_to(tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == [f"case{number}.geojson" for number in range(4)]
    assert json.loads(written[0].read_text())["features"]


def test_opacity_and_contour_go_both_ways(opened):
    layer = opened.session.layers.mask
    opened.review.opacity.setValue(80)
    assert layer.opacity == pytest.approx(0.8)
    layer.opacity = 0.2
    assert opened.review.opacity.value() == 20
    opened.sections["review"].set_open(True)
    opened.review.only_contour.click()
    assert layer.contour > 0
    layer.contour = 0
    assert not opened.review.only_contour.isChecked()


def test_borders_are_a_line_as_wide_at_any_zoom_and_areas_come_back_as_they_were(opened, viewer, qtbot):
    layer, review = opened.session.layers.mask, opened.review
    opened.sections["review"].set_open(True)
    review.opacity.setValue(40)
    review.only_contour.click()
    assert layer.opacity > 0.9
    for zoom in (1.0, 0.5, 3.0):
        viewer.scene.camera.zoom = zoom
        qtbot.waitUntil(lambda zoom=zoom: layer.contour * zoom * 2**layer.data_level == pytest.approx(3, abs=0.5))
    review.only_contour.click()
    assert layer.contour == 0
    assert layer.opacity == pytest.approx(0.4)


def test_borders_of_what_only_a_model_found_are_well_seen_too(opened):
    layer = opened.session.layers.mask
    lighter = layer.colormap.color_dict[130][3]
    opened.sections["review"].set_open(True)
    opened.review.only_contour.click()
    assert lighter < layer.colormap.color_dict[130][3] < 1
    opened.review.only_contour.click()
    assert layer.colormap.color_dict[130][3] == lighter


def test_without_a_model_nothing_can_be_predicted_or_compared(opened):
    review = opened.review
    buttons = (review.predict_view, review.predict_slide, review.predict_all, review.compare)
    assert not any(button.isEnabled() for button in buttons)
    assert review.model.currentText() == "None yet: train one"


def test_the_row_of_jobs_shows_what_runs_and_leaves_when_it_ends(opened, qtbot):
    opened.session.training.run = JobState(JobKind.PREDICT, model="m001", fraction=0.5, seconds_left=65)
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(opened.job_progress.isVisible)
    assert opened.job_progress.text.text() == "Predicting m001 · 1:05 left"
    assert opened.job_progress.bar.value() == 500
    opened.session.close()
    qtbot.waitUntil(lambda: not opened.job_progress.isVisible())


def test_the_row_of_jobs_tells_a_job_that_broke_off_from_one_that_ended(opened, qtbot):
    running = JobState(JobKind.TRAIN, model="m001", fraction=0.5)
    endings = (TrainingFinished("m001", 0.9), "Training m001: done"), (JobFailed("No."), "Training m001: failed")
    for event, text in endings:
        opened.session.training.run = running.after(event)
        opened.session.training.run_changed.emit()
        qtbot.waitUntil(lambda text=text: opened.job_progress.text.text() == text)


def test_while_something_runs_the_button_of_the_next_step_is_away(opened, qtbot):
    opened.session.training.run = JobState(JobKind.TRAIN, seconds_left=70)
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(lambda: not opened.header.button.isVisible())
    opened.session.training.run = None
    opened.session.training.run_changed.emit()
    qtbot.waitUntil(opened.header.button.isVisible)


def test_an_open_project_is_listed_as_recent(opened):
    assert recent_projects() == [opened.session.project.folder]
    opened.header._fill_menu()
    texts = [action.text() for action in opened.header.menu.actions()]
    assert texts == ["New project…", "Open…", "Recent", "Show folder", "", "Keys", "QuPath keys"]


def test_the_settings_of_a_training_are_shown_again_with_the_project(dock, pictures):
    dock.slides.file_drop.add_files(pictures)
    folder = dock.session.project.folder
    with dock.session.require_project().edit_state() as state:
        state.training_choices = TrainingChoices({"minutes": 7.5, "tile": 512})
    dock.session.close()
    dock.session.open_project(folder)
    assert dock.train.presets.minutes.value() == 7.5
    assert dock.train.config().tile == 512


@pytest.mark.parametrize("name", [tool.name for tool in TOOLS])
def test_icons_take_the_colour_of_the_themes_text(dock, viewer, name):
    from napari.settings import get_settings

    colors = []
    button = dock.annotate.tools[name]
    for theme in ("dark", "light"):
        get_settings().appearance.theme = theme
        picture = themed_icon(name, button).pixmap(40, 40).toImage()
        shown = {
            picture.pixelColor(x, y).rgb()
            for x in range(40)
            for y in range(40)
            if picture.pixelColor(x, y).alpha() == 255
        }
        assert button.palette().color(QPalette.ColorRole.WindowText).rgb() in shown
        colors.append(shown)
    get_settings().appearance.theme = "dark"
    assert colors[0] != colors[1]


def test_new_project_dialog_asks_for_folder_name_and_detail(qtbot, tmp_path):
    dialog = NewProjectDialog(tmp_path)
    qtbot.addWidget(dialog.native)
    assert dialog.project_folder == tmp_path / "project.pathseg"
    assert dialog.mpp.value == 1.0
    dialog.project_name.value, dialog.mpp.value = "liver.pathseg", None
    assert (dialog.project_folder, dialog.mpp.value) == (tmp_path / "liver.pathseg", None)
    dialog.project_name.value = " "
    assert dialog.project_folder == tmp_path / "project.pathseg"
