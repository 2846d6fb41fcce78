import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.classes import DEFAULT_CLASSES, class_table
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.splits import assign_missing_roles


def test_new_project_reopens_unchanged(tmp_path):
    classes = DEFAULT_CLASSES.add("Necrosis")
    Project.create(tmp_path / "p.pathseg", classes, mpp=0.5)
    again = Project.open(tmp_path / "p.pathseg")
    assert again.classes == classes
    assert again.mpp == 0.5


def test_folder_with_content_is_not_overwritten(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ProjectError, match="already exists. Choose another name"):
        Project.create(tmp_path)


def test_folder_without_a_project_is_named(tmp_path):
    with pytest.raises(ProjectError, match=r"is not a project: it has no project\.json"):
        Project.open(tmp_path)


@pytest.mark.parametrize("content", [{}, {"format": None}, {"format": 0}, {"format": "1"}, []])
def test_manifest_of_another_program_is_not_called_a_newer_project(tmp_path, content):
    (tmp_path / "project.json").write_text(json.dumps(content))
    with pytest.raises(ProjectError, match="is not a project of napari-pathseg, or is damaged: its format is"):
        Project.open(tmp_path)


def test_project_of_a_newer_version_is_not_changed(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    path = project.folder / "project.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ProjectError, match="has format 99; this version reads format 2. Update"):
        Project.open(project.folder)


def test_damaged_manifest_is_refused(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    path = project.folder / "project.json"
    content = json.loads(path.read_text())
    del content["slides"]
    path.write_text(json.dumps(content))
    with pytest.raises(ProjectError, match="is damaged: object missing required field slides"):
        Project.open(project.folder)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_write_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProjectError, match="could not be made .* Choose a folder that you may write to"):
        Project.create(tmp_path / "p.pathseg")


def test_second_program_is_refused_with_the_lock_owner(project):
    code = f"from napari_pathseg import Project; Project.open({str(project.folder)!r}).acquire_lock()"
    project.acquire_lock()
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        project.release_lock()
    assert "is open in pytest of " in done.stderr
    assert f"(process {os.getpid()}). Close it there" in done.stderr


def test_acquiring_the_lock_reloads_changes_of_other_programs(project):
    other = Project.open(project.folder)
    other.update_slide("case0", patient="Smith")
    with project.write_lock():
        assert project.slide("case0").patient == "Smith"


def test_partial_files_of_a_killed_program_are_deleted(project):
    orphan = project.folder / "masks" / ".x.zarr.partial"
    orphan.mkdir()
    os.utime(orphan, (0, 0))
    with project.write_lock():
        assert not orphan.exists()


def test_moved_project_finds_its_slides_by_relative_path(project, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "slides").rename(moved / "slides")
    project.folder.rename(moved / "test.pathseg")
    with Project.open(moved / "test.pathseg").open_slide("case0") as slide:
        assert slide.shape == (192, 192)


def test_unknown_slide_is_an_error_that_lists_known_ones(project):
    with pytest.raises(ProjectError, match='has no slide "case9". It has: case0, case1'):
        project.slide("case9")


def test_assigned_roles_do_not_change(project):
    assign_missing_roles(project)
    before = {record.id: record.role for record in project.slides.values()}
    assert list(before.values()).count("val") == 1
    assert before["case5"] == "test"
    assign_missing_roles(project)
    assert {record.id: record.role for record in Project.open(project.folder).slides.values()} == before


def test_classes_may_be_renamed_but_not_removed(project):
    project.change_classes(class_table([("Background", None), ("Carcinoma", None)]))
    assert Project.open(project.folder).classes.names == ("Background", "Carcinoma")
    project.change_classes(project.classes.add("Necrosis"))
    with pytest.raises(ProjectError, match="2 classes are fewer than the 3"):
        project.change_classes(DEFAULT_CLASSES)


def test_strokes_of_a_killed_window_are_recovered(project):
    mask = project.open_mask("case5")  # never closed, as if its program had been killed
    edits.paint(mask, Region(0, 0, 10, 10), np.full((10, 10), 2, np.uint8))
    assert Project.open(project.folder).counts("case5")[2, Provenance.DRAWN] == 100


def test_replaced_file_of_another_size_is_named(project, slides):
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(slides[0])
    with pytest.raises(ProjectError, match=r"case0\.tif has 50 x 60 pixels; it had 192 x 192 when it was added"):
        project.open_slide("case0")


def test_slide_name_that_leaves_the_folder_is_refused(project):
    path = project.folder / "project.json"
    path.write_text(path.read_text().replace('"id": "case0"', '"id": "../case0"'))
    with pytest.raises(ProjectError, match=r"contains a slide '\.\./case0', which is not a file name"):
        Project.open(project.folder)


@pytest.mark.parametrize("relative", ["slides\\case0.tif", "slides/case0.tif"])
def test_project_of_another_system_finds_slides_beside_it(project, relative):
    record = replace(project.slide("case0"), path="C:\\Users\\doctor\\case0.tif", relative_path=relative)
    assert project.find_file(record).samefile(project.find_file(project.slide("case0")))
    assert record.file_name == "case0.tif"


def test_slides_beside_the_project_are_found_with_composed_or_decomposed_names(project):
    beside = project.folder.parent / unicodedata.normalize("NFD", "Müller.tif")
    beside.write_bytes(project.find_file(project.slide("case0")).read_bytes())
    composed = unicodedata.normalize("NFC", beside.name)
    record = replace(project.slide("case0"), path="/gone/Müller.tif", relative_path=composed)
    assert project.find_file(record) == beside
