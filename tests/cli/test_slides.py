"""`pathseg set`, and the pixel size of slides that state none, from `new` to `check`."""

import json

import pytest

from napari_pathseg.cli import main
from napari_pathseg.projects.project import Project


@pytest.fixture
def pathseg(capsys):
    """Run a command; return its exit code, its answer and what it complained of."""

    def call(*arguments):
        code = main([*map(str, arguments), "--json"])
        said = capsys.readouterr()
        lines = said.out.strip().splitlines()
        return code, json.loads(lines[-1]) if lines else None, said.err

    return call


def test_a_pixel_size_chosen_for_slides_that_state_none_is_not_ignored_in_silence(pathseg, slides, tmp_path):
    folder = tmp_path / "p.pathseg"
    pathseg("new", folder, "--mpp", 2)
    _, answer, said = pathseg("add", folder, *slides[:5], "--contours", slides[0].parent)
    (warning,) = answer["warnings"]
    assert warning.startswith("5 of 5 slides state no pixel size (case0, case1, case2 ...), so the project's 2 um per")
    assert "pathseg set p.pathseg --slide NAME --pixel-size UM" in warning
    assert warning in said
    assert warning in [problem["text"] for problem in pathseg("check", folder)[1]["problems"]]
    pathseg("set", folder, "--pixel-size", 0.5)
    texts = [problem["text"] for problem in pathseg("check", folder)[1]["problems"]]
    assert not [text for text in texts if "no pixel size" in text]


@pytest.mark.parametrize("mpp", ["1.0", "1"])
def test_the_default_pixel_size_is_not_ignored_in_silence_if_it_was_chosen(mpp, pathseg, slides, tmp_path):
    folder = tmp_path / "p.pathseg"
    pathseg("new", folder, "--mpp", mpp)
    _, answer, said = pathseg("add", folder, slides[0], "--contours", slides[0].parent)
    (warning,) = answer["warnings"]
    assert warning.startswith(
        "1 of 1 slides states no pixel size (case0), so the project's 1 um per pixel does not apply to it: it is "
        "learned at full resolution. Give the pixel size of a slide: pathseg set p.pathseg"
    )
    assert warning in said
    pathseg("add", folder, *slides[1:5], "--contours", slides[0].parent)
    texts = [problem["text"] for problem in pathseg("check", folder)[1]["problems"]]
    assert [text[:38] for text in texts if "no pixel size" in text] == ["5 of 5 slides state no pixel size (cas"]


@pytest.mark.parametrize("chosen", [(), ("--mpp", "native")])
def test_a_pixel_size_that_was_not_chosen_is_not_complained_of(chosen, pathseg, slides, tmp_path):
    folder = tmp_path / "p.pathseg"
    pathseg("new", folder, *chosen)
    assert Project.open(folder).mpp == (None if chosen else 1.0)
    _, answer, _ = pathseg("add", folder, *slides[:5], "--contours", slides[0].parent)
    assert answer["warnings"] == []


def test_slides_are_added_with_a_pixel_size(pathseg, slides, tmp_path):
    folder = tmp_path / "p.pathseg"
    pathseg("new", folder, "--mpp", 2)
    _, answer, _ = pathseg("add", folder, *slides[:5], "--pixel-size", 0.5)
    assert not answer["warnings"]
    assert {slide["mpp"] for slide in answer["slides"]} == {0.5}
    assert {record.downsample for record in Project.open(folder).slides.values()} == {4}


def test_slides_are_set_one_by_one_or_all_at_once(pathseg, project):
    code, answer, _ = pathseg(
        "set", project.folder, "--slide", "case1", "--patient", "Smith", "--role", "val", "--partial"
    )
    fields = {"slide": "case1", "patient": "Smith", "role": "val", "complete": False, "mpp": None}
    assert (code, answer) == (0, {"slides": [fields]})
    assert len(pathseg("set", project.folder, "--pixel-size", 0.5)[1]["slides"]) == 6
    assert {record.mpp for record in Project.open(project.folder).slides.values()} == {0.5}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "set changes nothing. Give --pixel-size, --patient, --role, --complete or --partial."),
        (("--patient", "Smith"), "--patient Smith needs the slides of this patient. Name them with --slide."),
        (("--pixel-size", "500"), "pixel size is 500 um; it must lie between 0.01 and 100 um."),
        (("--slide", "case9", "--role", "val"), 'has no slide "case9"'),
    ],
)
def test_what_cannot_be_set_is_refused_in_a_sentence(pathseg, project, options, words):
    code, _, said = pathseg("set", project.folder, *options)
    assert code == 1
    assert words in said


def test_the_table_of_set_shows_each_slide(project, capsys):
    assert main(["set", str(project.folder), "--slide", "case0", "--pixel-size", "0.25"]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["slide", "patient", "role", "complete", "pixel", "size"]
    assert row.split() == ["case0", "case0", "auto", "yes", "0.25", "µm/px"]
