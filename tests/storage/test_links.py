"""Links in a folder: those that lead out of it are refused, those that stay in it are not followed."""

import re

import pytest

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.links import check_links


@pytest.fixture
def folder(tmp_path):
    """A folder with another one in it, and one beside it."""
    (tmp_path / "project" / "masks" / "a").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    return tmp_path / "project"


def test_link_that_leads_out_is_named_with_its_target(folder):
    (folder / "masks" / "b").symlink_to(folder.parent / "outside")
    with pytest.raises(ProjectError, match=re.escape(f"b is a link that leads to {folder.parent / 'outside'}, out of")):
        check_links(folder, 2)


def test_link_to_nothing_outside_is_refused_because_a_file_can_come_to_be_there(folder):
    (folder / "events.jsonl").symlink_to(folder.parent / "outside" / "none")
    with pytest.raises(ProjectError, match="out of"):
        check_links(folder, 1)


def test_link_inside_and_one_below_the_levels_are_allowed(folder):
    (folder / "again").symlink_to(folder / "masks")
    (folder / "masks" / "a" / "deep").symlink_to(folder.parent / "outside")
    found = check_links(folder, 2)
    assert {path.removeprefix(str(folder)) for path in found} == {"/masks", "/again", "/masks/a"}


def test_folder_that_is_itself_reached_by_a_link_is_allowed(folder):
    (folder.parent / "link").symlink_to(folder)
    assert check_links(folder.parent / "link", 3)
