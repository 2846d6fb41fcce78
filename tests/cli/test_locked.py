"""Commands on a project that another process has locked."""

import pytest


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
@pytest.mark.usefixtures("holder")
def test_writing_command_names_the_lock_owner(run_pathseg, project, slides, command):
    code, lines, warnings = run_pathseg(*(part.format(project=project.folder, slide=slides[0]) for part in command))
    assert (code, lines) == (1, [])
    assert f"{project.folder} is open in the window of " in warnings[-1]
    assert warnings[-1].endswith("Close it there, then try again.")


@pytest.mark.usefixtures("holder")
def test_locked_project_can_be_checked_exported_and_its_versions_listed(run_pathseg, project, tmp_path):
    assert run_pathseg("check", project.folder)[0] == 0
    assert run_pathseg("versions", project.folder)[0] == 0
    assert run_pathseg("export", project.folder, "--format", "geojson", "--out", tmp_path / "out")[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 5


def test_images_are_predicted_with_a_bundle_of_a_locked_project(run_pathseg, trained, slides, tmp_path):
    project, _, bundle = trained
    project.acquire_lock("the window")
    try:
        folder = project.folder / "models" / bundle.id
        assert run_pathseg("predict", "--bundle", folder, slides[0], "--out", tmp_path / "out")[0] == 0
    finally:
        project.release_lock()
    assert len(list((tmp_path / "out").iterdir())) == 1
