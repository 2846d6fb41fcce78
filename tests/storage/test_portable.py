"""Differences between operating systems other than the calls that `windows_rules` refuses."""

from pathlib import Path

import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage import portable


@pytest.fixture
def short_paths(monkeypatch):
    """Windows that limits paths to 259 characters."""
    monkeypatch.setattr(portable, "_long_paths_enabled", lambda: False)


def test_path_of_any_length_passes_where_the_system_has_no_limit():
    portable.check_path_length(Path("/" + "a" * 400))


def test_path_may_be_as_long_as_windows_opens(short_paths):
    portable.check_path_length(Path("/" + "a" * 158), reserved=100)
    with pytest.raises(ProjectError, match="160 characters; Windows opens paths of 259 and the files in it need 100"):
        portable.check_path_length(Path("/" + "a" * 159), reserved=100)


def test_project_with_too_long_a_path_is_refused_before_it_is_made(short_paths, tmp_path):
    folder = tmp_path / ("a" * 150)
    with pytest.raises(ProjectError, match="Choose a folder with a shorter path"):
        Project.create(folder)
    assert not folder.exists()


def test_project_moved_to_too_long_a_path_is_refused(monkeypatch, tmp_path):
    folder = tmp_path / ("a" * 150)
    Project.create(folder)
    monkeypatch.setattr(portable, "_long_paths_enabled", lambda: False)
    with pytest.raises(ProjectError, match="enable long paths in Windows"):
        Project.open(folder)


def test_tree_that_is_absent_is_removed_without_an_error(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("")
    portable.remove_tree(tmp_path / "a")
    portable.remove_tree(tmp_path / "a")
    assert not (tmp_path / "a").exists()
