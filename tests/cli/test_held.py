"""Commands on a project that another process holds."""

import subprocess
import sys

import pytest

HOLDER = """
import sys
from napari_pathseg import Project

Project.open(sys.argv[1]).acquire_lock("the window")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held(project):
    """A project of six slides that a second process holds."""
    command = [sys.executable, "-c", HOLDER, str(project.folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield project
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    "command",
    [
        ("add", "{project}", "{slide}"),
        ("split", "{project}"),
        ("train", "{project}", "--minutes", "0.1"),
        ("versions", "{project}", "--slide", "case0", "--keep"),
        ("versions", "{project}", "--slide", "case0", "--restore", "1"),
    ],
    ids=lambda command: f"{command[0]} {command[-2]}" if "--slide" in command else command[0],
)
def test_a_command_that_writes_says_who_holds_the_project(said, held, slides, command):
    code, lines, complaints = said(*(part.format(project=held.folder, slide=slides[0]) for part in command))
    assert (code, lines) == (1, [])
    assert f"{held.folder} is open in the window of " in complaints[-1]
    assert complaints[-1].endswith("Close it there, then try again.")


def test_a_held_project_can_be_checked_and_exported_and_its_versions_listed(said, held, tmp_path):
    assert said("check", held.folder)[0] == 0
    assert said("versions", held.folder)[0] == 0
    assert said("export", held.folder, "--format", "geojson", "--out", tmp_path / "out")[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_pictures_are_predicted_with_a_bundle_of_a_held_project(said, trained, slides, tmp_path):
    project, _, bundle = trained
    project.acquire_lock("the window")
    try:
        folder = project.folder / "models" / bundle.id
        assert said("predict", "--bundle", folder, slides[0], "--out", tmp_path / "out")[0] == 0
    finally:
        project.release_lock()
    assert len(list((tmp_path / "out").iterdir())) == 1
