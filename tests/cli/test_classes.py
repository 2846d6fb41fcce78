"""Classes, listed and changed on the command line."""

import csv
import json

import pytest

from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project


@pytest.fixture
def answered(run_pathseg, project):
    """Run `pathseg class PROJECT ...` with --json; return its exit code, its answer and its errors."""

    def run(*arguments):
        code, lines, errors = run_pathseg("class", project.folder, *arguments, "--json")
        return code, json.loads(lines[-1]) if lines else None, errors

    return run


def names(answer):
    return [spec["class"] for spec in answer["classes"]]


def test_classes_are_listed_with_their_pixels(answered):
    code, answer, _ = answered()
    assert code == 0
    assert names(answer) == ["Background", "Tumour"]
    assert answer["classes"][1]["pixels"] > 0


@pytest.mark.parametrize("boxes", [False, True])
def test_implied_background_is_counted_as_in_exported_tables(answered, run_pathseg, project, tmp_path, boxes):
    changes = {"complete": False, "boxes": (Region(10, 20, 30, 40),)} if boxes else {"complete": True}
    for slide in project.slides:
        project.update_slide(slide, **changes)
    run_pathseg("export", project.folder, "--format", "csv", "--out", tmp_path)
    exported = [row for path in tmp_path.glob("*.csv") for row in csv.DictReader(path.open())]
    pixels = {spec["class"]: spec["pixels"] for spec in answered()[1]["classes"]}
    assert pixels["Background"] > 0
    for name, number in pixels.items():
        assert number == sum(int(row["mask_pixels"]) for row in exported if row["class"] == name)


def test_classes_are_added_renamed_recoloured_moved_merged_and_brought_back(answered, project):
    assert names(answered("add", "Tumor 2=#0000ff")[1]) == ["Background", "Tumour", "Tumor 2"]
    assert names(answered("rename", "Tumor 2", "Second")[1])[2] == "Second"
    assert answered("recolour", "second", "#00ff00")[1]["classes"][2]["color"] == "#00ff00"
    assert names(answered("move", "Second", "2")[1]) == ["Background", "Second", "Tumour"]
    before = answered()[1]["classes"][2]["pixels"]
    _, merged, _ = answered("merge", "Tumour", "Second")
    assert names(merged) == ["Background", "Second"]
    assert merged["classes"][1]["pixels"] == before
    assert merged["slides"] == [f"case{number}" for number in range(5)]
    assert merged["removed"] == ["Tumour"]
    assert names(answered("restore", "Tumour")[1]) == ["Background", "Second", "Tumour"]
    assert Project.open(project.folder).classes.named("Tumour").index == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("remove", "Tumour"), "Tumour is the only class besides Background"),
        (("remove", "Fat"), 'has no class "Fat". It has: Background, Tumour'),
        (("merge", "Tumour"), "merge has 1 names; it takes NAME INTO"),
        (("move", "Tumour", "9"), 'The place of Tumour is "9"; it is a number from 2 to 2'),
        (("restore", "Fat"), 'No class "Fat" was removed'),
    ],
)
def test_what_cannot_be_done_says_why(answered, arguments, message):
    code, _, errors = answered(*arguments)
    assert code == 1
    assert message in errors[-1]
