import numpy as np
import pytest
import tifffile

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.removed_slides import remove_slides, removed_slides, restore_slides


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for number, path in enumerate(paths):
        tifffile.imwrite(path, np.full((64, 64, 3), 90 + number, np.uint8), photometric="rgb")
    masks = tmp_path / "masks"
    masks.mkdir()
    for path in paths:
        tifffile.imwrite(masks / path.name, np.repeat(np.uint8([[0, 255]]), 32, axis=1).repeat(64, axis=0))
    return paths


@pytest.fixture
def project(tmp_path, files):
    project = Project.create(tmp_path / "x.pathseg")
    add_slides(project, files, AddOptions(contours=tmp_path / "masks"))
    return project


def test_removed_slide_returns_with_its_annotations(project):
    before = project.counts("b")
    remove_slides(project, ["b", "c"])
    assert list(Project.open(project.folder).slides) == ["a"]
    assert list(removed_slides(project)) == ["b", "c"]
    restore_slides(project, ["b"])
    again = Project.open(project.folder)
    assert list(again.slides) == ["a", "b"]
    assert list(removed_slides(again)) == ["c"]
    assert before[2].sum() > 0
    assert (again.counts("b") == before).all()


def test_unknown_slide_is_named_and_nothing_changes(project):
    with pytest.raises(ProjectError, match='no slide "z"'):
        remove_slides(project, ["a", "z"])
    with pytest.raises(ProjectError, match='No slide "a" was removed'):
        restore_slides(project, ["a"])
    assert list(project.slides) == ["a", "b", "c"]


def test_slide_that_is_added_again_returns_with_its_annotations(project, files):
    before = project.counts("b")
    remove_slides(project, ["b"])
    (record,) = add_slides(project, [files[1]])
    assert record.id == "b"
    assert not removed_slides(project)
    assert (project.counts("b") == before).all()


def test_other_slide_does_not_get_the_name_of_a_removed_one(project, tmp_path):
    remove_slides(project, ["b"])
    (tmp_path / "other").mkdir()
    tifffile.imwrite(tmp_path / "other" / "b.tif", np.full((64, 64, 3), 7, np.uint8), photometric="rgb")
    (record,) = add_slides(project, [tmp_path / "other" / "b.tif"])
    assert record.id == "b-2"
    assert project.counts("b-2").sum() == 0


def test_failed_adding_leaves_a_removed_slide_removed(project, files, tmp_path):
    remove_slides(project, ["b"])
    before = project.counts("b")
    (tmp_path / "c2.tif").write_text("Dear doctor")
    with pytest.raises(Exception, match=r"c2\.tif"):
        add_slides(project, [files[1], tmp_path / "c2.tif"])
    assert list(project.slides) == ["a", "c"]
    assert list(removed_slides(project)) == ["b"]
    assert (project.counts("b") == before).all()
