import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.classes import DEFAULT_CLASSES, class_table
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Provenance, edits
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import state
from napari_pathseg.projects.splits import assign_missing_roles


def test_a_new_project_opens_again_as_it_was(tmp_path):
    classes = DEFAULT_CLASSES.add("Necrosis")
    Project.create(tmp_path / "p.pathseg", classes, mpp=0.5)
    again = Project.open(tmp_path / "p.pathseg")
    assert again.classes == classes
    assert again.mpp == 0.5


def test_a_folder_with_something_in_it_is_not_overwritten(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ProjectError, match="exists already. Choose another name"):
        Project.create(tmp_path)


def test_a_folder_that_is_no_project_is_named(tmp_path):
    with pytest.raises(ProjectError, match=r"is not a project: it has no project\.json"):
        Project.open(tmp_path)


def test_a_project_of_a_newer_version_is_not_touched(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    path = project.folder / "project.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(ProjectError, match="has format 99; this version reads format 1. Update"):
        Project.open(project.folder)


def test_a_damaged_list_is_told_from_an_empty_one(tmp_path):
    project = Project.create(tmp_path / "p.pathseg")
    path = project.folder / "project.json"
    content = json.loads(path.read_text())
    del content["slides"]
    path.write_text(json.dumps(content))
    with pytest.raises(ProjectError, match="is damaged: 'slides' is missing"):
        Project.open(project.folder)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ProjectError, match="could not be made .* Choose a folder that you may write to"):
        Project.create(tmp_path / "p.pathseg")


def test_a_second_program_is_told_who_holds_the_project(project):
    code = f"from napari_pathseg import Project; Project.open({str(project.folder)!r}).acquire_lock()"
    project.acquire_lock()
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    finally:
        project.release_lock()
    assert "is open in pytest of " in done.stderr
    assert f"(process {os.getpid()}). Close it there" in done.stderr


def test_what_another_program_wrote_is_seen_when_the_lock_is_taken(project):
    other = Project.open(project.folder)
    other.update_slide("case0", patient="Smith")
    with project.write_lock():
        assert project.slide("case0").patient == "Smith"


def test_orphans_of_a_killed_program_are_swept(project):
    orphan = project.folder / "masks" / ".x.zarr.partial"
    orphan.mkdir()
    os.utime(orphan, (0, 0))
    with project.write_lock():
        assert not orphan.exists()


def test_a_moved_project_finds_its_slides_beside_it(project, tmp_path):
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "slides").rename(moved / "slides")
    project.folder.rename(moved / "test.pathseg")
    with Project.open(moved / "test.pathseg").open_slide("case0") as slide:
        assert slide.shape == (192, 192)


def test_an_unknown_slide_is_answered_with_known_ones(project):
    with pytest.raises(ProjectError, match='has no slide "case9". It has: case0, case1'):
        project.slide("case9")


def test_roles_once_given_stay_when_slides_are_added(project):
    assign_missing_roles(project)
    before = {entry.id: entry.role for entry in project.slides.values()}
    assert list(before.values()).count("val") == 1
    assert before["case5"] == "test"
    assign_missing_roles(project)
    assert {entry.id: entry.role for entry in Project.open(project.folder).slides.values()} == before


def test_classes_may_be_renamed_but_not_dropped(project):
    project.change_classes(class_table([("Background", None), ("Carcinoma", None)]))
    assert Project.open(project.folder).classes.names == ("Background", "Carcinoma")
    project.change_classes(project.classes.add("Necrosis"))
    with pytest.raises(ProjectError, match="2 classes are fewer than the 3"):
        project.change_classes(DEFAULT_CLASSES)


@pytest.mark.parametrize(
    ("provenance", "expected"),
    [
        (None, "new"),
        (Provenance.IMPORTED, "annotated"),
        (Provenance.DRAWN, "annotated"),
        (Provenance.MODEL, "predicted"),
        (Provenance.ACCEPTED, "corrected"),
        (Provenance.CORRECTED, "corrected"),
    ],
)
def test_the_state_of_a_slide_is_read_from_its_pixels(project, provenance, expected):
    counts = np.zeros((256, 6), int)
    if provenance is not None:
        counts[2, provenance] = 5
    assert state(project.slide("case5"), counts) == expected


def test_strokes_of_a_killed_window_are_there_for_the_next_program(project):
    mask = project.open_mask("case5")  # never closed, as if its program had been killed
    edits.paint(mask, Region(0, 0, 10, 10), np.full((10, 10), 2, np.uint8))
    assert Project.open(project.folder).counts("case5")[2, Provenance.DRAWN] == 100


def test_an_exchanged_file_of_another_size_is_named(project, slides):
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(slides[0])
    with pytest.raises(ProjectError, match=r"case0\.tif has 50 x 60 pixels; it had 192 x 192 when it was added"):
        project.open_slide("case0")


def test_a_list_that_leads_out_of_the_folder_is_refused(project):
    path = project.folder / "project.json"
    path.write_text(path.read_text().replace('"id": "case0"', '"id": "../case0"'))
    with pytest.raises(ProjectError, match=r"names a slide '\.\./case0', which is not a file name"):
        Project.open(project.folder)
