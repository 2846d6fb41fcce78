"""What a file is called changes nothing in what a command prints but the name, shown as plain text."""

import json
import os
import shutil
import sys

import pytest

from napari_pathseg.cli import main
from napari_pathseg.projects.project import Project

HOSTILE = ["a\x1b[31mred.tif", "bell\x07.tif", "two\nlines.tif", "a\ttab.tif", "c1\x9b31m.tif", "right\u202eleft.tif"]


def is_plain(text):
    return all(letter == "\n" or letter.isprintable() or letter == " " for letter in text)


@pytest.fixture
def slide(project, tmp_path):
    return project.find_file(next(iter(project.slides.values())))


@pytest.mark.parametrize("name", HOSTILE)
def test_control_characters_of_a_name_do_not_reach_the_terminal(slide, tmp_path, capsys, name):
    try:
        path = shutil.copy(slide, tmp_path / name)
    except OSError:
        pytest.skip("this system has no such names")
    folder = str(tmp_path / "new.pathseg")
    main(["new", folder])
    capsys.readouterr()
    assert main(["add", folder, str(path)]) == 0
    printed = capsys.readouterr()
    assert is_plain(printed.out)
    assert is_plain(printed.err)
    assert len(printed.out.splitlines()) == 3  # heading, slide, summary
    for command in (
        ["versions", folder, "--keep"],
        ["check", folder],
        ["export", folder, "--format", "mask", "--out", str(tmp_path)],
    ):
        main(command)
        printed = capsys.readouterr()
        assert is_plain(printed.out)
        assert is_plain(printed.err)
    assert main(["add", folder, str(path), "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_missing_file_is_named_in_one_line(project, tmp_path, capsys):
    assert main(["add", str(project.folder), str(tmp_path / "no\n\x1b[2Jsuch.tif")]) == 1
    assert r"no\n\x1b[2Jsuch.tif" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names of files are always Unicode there")
def test_file_whose_name_is_not_utf8_is_a_slide_like_others(slide, tmp_path, capsys):
    path = os.fsencode(tmp_path) + b"/\xe9tude.tif"
    shutil.copy(slide, path)
    folder = tmp_path / "new.pathseg"
    main(["new", str(folder)])
    assert main(["add", str(folder), os.fsdecode(path)]) == 0
    assert r"_tude" in capsys.readouterr().out
    opened = Project.open(folder)
    (record,) = opened.slides.values()
    assert os.fsencode(record.path) == path
    with opened.open_slide(record.id) as found:
        assert found.shape == record.shape
