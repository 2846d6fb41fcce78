"""Slides in a folder that cannot be written: their project is in the home folder."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pathseg.errors import ProjectError
from napari_pathseg.ui.session.import_controller import add_files


@pytest.fixture
def home(tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(Path, "home", lambda: home)
    return home


@pytest.fixture
def archive(tmp_path):
    """Return two folders of the same name, each with a slide."""
    files = [tmp_path / place / "liver" / "a.tif" for place in ("x", "y")]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True)
        tifffile.imwrite(file, np.full((64, 64, 3), 90 + number, np.uint8), photometric="rgb")
    return files


@pytest.fixture
def read_only(monkeypatch, archive):
    """Let folders of the archive refuse to be written, as for a user other than root."""
    make = Path.mkdir

    def mkdir(path, *args, **kwargs):
        if any(path.is_relative_to(file.parent) for file in archive):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        make(path, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", mkdir)


@pytest.fixture
def heard(session):
    heard = []
    session.message.connect(lambda text, *_: heard.append(text))
    return heard


def test_project_is_in_the_home_folder_and_says_so(session, home, archive, read_only, heard):
    add_files(session, archive[:1])
    assert session.project.folder == home / "liver.pathseg"
    assert session.slide.id == "a"
    assert f"{archive[0].parent} cannot be written, so the project is {home / 'liver.pathseg'}" in heard[0]


def test_project_in_the_home_folder_is_found_again(session, home, archive, read_only, heard):
    add_files(session, archive[:1])
    session.close()
    heard.clear()
    add_files(session, archive[:1])
    assert session.project.folder == home / "liver.pathseg"
    assert not [text for text in heard if "cannot be written" in text]


def test_folders_of_the_same_name_have_projects_of_their_own(session, home, archive, read_only):
    for file, name in zip(archive, ("liver.pathseg", "liver-2.pathseg"), strict=True):
        add_files(session, [file])
        assert session.project.folder == home / name
        assert list(session.project.slides) == ["a"]
        session.close()


def test_writable_folder_has_its_project_beside_the_slides(session, home, archive):
    add_files(session, archive[:1])
    assert session.project.folder == archive[0].parent / "liver.pathseg"
    assert not list(home.iterdir())


def test_home_that_cannot_be_written_either_is_an_error(session, home, archive, read_only, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: archive[1].parent)
    with pytest.raises(ProjectError, match="Choose a folder that you may write to"):
        add_files(session, archive[:1])
    assert session.project is None


def test_project_of_slides_in_sub_folders_is_found_again(session, archive, home, read_only):
    images = archive[0].parent / "images"
    os.mkdir(images)
    archive[0].rename(images / "a.tif")
    for _ in range(2):
        add_files(session, [archive[0].parent])
        assert session.project.folder == home / "liver.pathseg"
        session.close()
