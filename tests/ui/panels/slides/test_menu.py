import shutil

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QInputDialog

from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.ui.panels.slides import menu
from napari_pathseg.ui.panels.slides.menu import SplitDialog
from napari_pathseg.ui.panels.slides.patients_dialog import PatientsDialog
from napari_pathseg.ui.panels.slides.versions import VersionsDialog


@pytest.fixture
def panel(dock, slide_files):
    dock.slides.file_drop.add_files(slide_files)
    notification_manager.records.clear()
    return dock.slides


def action(menu, text):
    return next(action for action in menu.actions() if action.text().startswith(text))


def answer(monkeypatch, text):
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (text, True))


def project_of(panel):
    return panel._session.project


def test_patient_of_a_slide_can_be_entered(panel, monkeypatch):
    answer(monkeypatch, "P07")
    action(panel.slide_menu("case1"), "Patient case1").trigger()
    assert project_of(panel).slide("case1").patient == "P07"
    assert action(panel.slide_menu("case1"), "Patient P07")


def test_patient_in_both_training_and_test_is_refused_by_name(panel, monkeypatch):
    panel._session.change_slides(["case0"], SlideChanges(role="train"))
    panel._session.change_slides(["case1"], SlideChanges(role="test"))
    answer(monkeypatch, "case0")
    action(panel.slide_menu("case1"), "Patient case1").trigger()
    assert project_of(panel).slide("case1").patient == "case1"
    assert "case0 is train, case1 is test" in notification_manager.records[-1].message


def test_patients_are_read_from_slide_names(panel):
    action(panel.slide_menu("case1"), "Patients from names").trigger()
    dialog = panel.window().findChild(PatientsDialog)
    dialog.pattern.setText("^case")
    dialog.accept()
    assert {entry.patient for entry in project_of(panel).slides.values()} == {"case"}


def test_offered_pattern_does_not_make_one_patient_of_all_slides(panel, monkeypatch):
    monkeypatch.setattr(menu, "suggest_pattern", lambda _: None)
    before = [entry.patient for entry in project_of(panel).slides.values()]
    action(panel.slide_menu("case1"), "Patients from names").trigger()
    panel.window().findChild(PatientsDialog).accept()
    assert [entry.patient for entry in project_of(panel).slides.values()] == before
    assert menu._usual_pattern(["slide_1", "slide_2"]) == ".+"
    assert menu._usual_pattern(["a_1", "b_1"]) == "^[^-_]+"


def test_versions_and_tissue_of_another_slide_bring_it_into_view(panel, qtbot):
    assert panel._session.slide.id == "case0"
    action(panel.slide_menu("case1"), "Versions").trigger()
    dialog = panel.window().findChild(VersionsDialog)
    assert dialog.windowTitle() == "Versions of case1"
    dialog.reject()
    action(panel.slide_menu("case2"), "Show tissue").trigger()
    assert panel._session.slide.id == "case2"
    assert panel.tissue.shown
    assert not [a for a in panel.slide_menu("case1").actions() if a.text() == "Hide tissue"]


def test_slides_are_split_again_by_patient(panel):
    action(panel.slide_menu("case1"), "Split all").trigger()  # returns: the window goes on while it asks
    panel.window().findChild(SplitDialog).accept()
    roles = [entry.role for entry in project_of(panel).slides.values()]
    assert set(roles) <= {"train", "val", "test"}
    assert roles.count("train") >= 2


def test_moved_files_are_found_again(panel, tmp_path):
    project = project_of(panel)
    assert not [a for a in panel.slide_menu("case1").actions() if a.text() == "Find moved files…"]
    file = project.find_file(project.slide("case1"))
    (tmp_path / "archive" / "2026").mkdir(parents=True)
    shutil.move(file, tmp_path / "archive" / "2026" / "renamed.png")
    shown = panel.slide_menu("case1")
    assert action(shown, "Find moved files")
    shown.find_moved(tmp_path / "archive")
    assert project.find_file(project.slide("case1")).name == "renamed.png"
    assert "1 slide found again." in notification_manager.records[-1].message


def test_entered_pixel_size_scales_the_view(panel, monkeypatch):
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *_, **__: (0.5, True))
    action(panel.slide_menu("case0"), "Pixel size").trigger()
    assert project_of(panel).slide("case0").mpp == 0.5
    layers = panel._session.layers
    assert layers.image.scale[-1] == 0.5
    assert layers.mask.scale[-1] == 0.5 * project_of(panel).slide("case0").downsample
