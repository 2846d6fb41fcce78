import shutil

import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QInputDialog

from napari_pathseg.ui.panels.slides.menu import SplitDialog


@pytest.fixture
def panel(dock, pictures):
    dock.slides.file_drop.add_files(pictures)
    notification_manager.records.clear()
    return dock.slides


def action(menu, text):
    return next(action for action in menu.actions() if action.text().startswith(text))


def answer(monkeypatch, text):
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: (text, True))


def project_of(panel):
    return panel._session.project


def test_a_patient_is_named_by_hand(panel, monkeypatch):
    answer(monkeypatch, "P07")
    action(panel.slide_menu("case1"), "Patient case1").trigger()
    assert project_of(panel).slide("case1").patient == "P07"
    assert action(panel.slide_menu("case1"), "Patient P07")


def test_a_patient_who_would_teach_and_test_is_refused_by_name(panel, monkeypatch):
    panel._session.set_role("case0", "train")
    panel._session.set_role("case1", "test")
    answer(monkeypatch, "case0")
    action(panel.slide_menu("case1"), "Patient case1").trigger()
    assert project_of(panel).slide("case1").patient == "case1"
    assert "case0 is train, case1 is test" in notification_manager.records[-1].message


def test_patients_come_from_names(panel, monkeypatch):
    answer(monkeypatch, r"^case")
    action(panel.slide_menu("case1"), "Patients from names").trigger()
    assert {entry.patient for entry in project_of(panel).slides.values()} == {"case"}


def test_slides_are_divided_anew(panel, monkeypatch):
    monkeypatch.setattr(SplitDialog, "exec", lambda _: True)
    action(panel.slide_menu("case1"), "Split all").trigger()
    roles = [entry.role for entry in project_of(panel).slides.values()]
    assert set(roles) <= {"train", "val", "test"}
    assert roles.count("train") >= 2


def test_moved_files_are_found_again(panel, tmp_path):
    project = project_of(panel)
    assert not [a for a in panel.slide_menu("case1").actions() if a.text() == "Find moved files…"]
    file = project.find_file(project.slide("case1"))
    (tmp_path / "archive" / "2026").mkdir(parents=True)
    shutil.move(file, tmp_path / "archive" / "2026" / "renamed.png")
    menu = panel.slide_menu("case1")
    assert action(menu, "Find moved files")
    menu.find_moved(tmp_path / "archive")
    assert project.find_file(project.slide("case1")).name == "renamed.png"
    assert "1 slide found again." in notification_manager.records[-1].message


def test_a_pixel_size_that_is_told_scales_the_view(panel, monkeypatch):
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *_, **__: (0.5, True))
    action(panel.slide_menu("case0"), "Pixel size").trigger()
    assert project_of(panel).slide("case0").mpp == 0.5
    layers = panel._session.layers
    assert layers.image.scale[-1] == 0.5
    assert layers.mask.scale[-1] == 0.5 * project_of(panel).slide("case0").downsample
