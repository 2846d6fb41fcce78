import json
import re
import shutil

import pytest
import tifffile

from napari_pathseg.cli.add import expand
from napari_pathseg.errors import ConfigError
from napari_pathseg.projects.project import Project


@pytest.fixture
def folder(tmp_path):
    """An empty project."""
    return Project.create(tmp_path / "p.pathseg").folder


def cells(line):
    return re.split(r"  +", line)


def test_each_slide_is_told_with_what_came_into_it(said, folder, slides):
    code, out, err = said("add", folder, *slides[:2], "--contours", slides[0].parent, "--role", "train")
    assert (code, err) == (0, [])
    assert cells(out[0]) == ["slide", "contours", "classes", "patient", "role", "pixel size"]
    assert cells(out[1]) == ["case0", "case0.svg", "Background, Tumour", "case0", "train", "unknown"]
    assert out[0].index("patient") == out[2].rindex("case1")
    assert out[3] == "2 slides added, 2 with contours."


def test_what_lies_outside_of_partial_contours_is_no_class(said, folder, slides):
    _, out, _ = said("add", folder, slides[0], "--contours", slides[0].with_suffix(".svg"), "--partial")
    assert cells(out[1])[1:3] == ["case0.svg", "Tumour"]


def test_a_negative_slide_is_background_without_contours(said, folder, slides):
    _, out, err = said("add", folder, slides[5], "--negative")
    assert cells(out[1])[1:3] == ["no contours", "Background"]
    assert err == []


def test_the_pixel_size_is_told(said, folder, slides, tmp_path):
    pixels = tifffile.imread(slides[0])
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", resolution=(20_000, 20_000), resolutionunit="CENTIMETER"
    )
    _, out, _ = said("add", folder, tmp_path / "a.tif")
    assert cells(out[1])[-1] == "0.5 µm/px"


def test_slides_that_found_no_contours_are_named_with_the_rule(said, folder, slides):
    code, out, err = said("add", folder, *slides[4:], "--contours", slides[0].parent)
    assert code == 0
    assert cells(out[2])[1] == "no contours"
    assert out[3] == "2 slides added, 1 with contours."
    assert len(err) == 1
    assert err[0].startswith(f"No contours in {slides[0].parent} for case5 (1 of 2 slides). ")
    assert "its own stem: case5 with .svg" in err[0]


def test_a_file_that_was_imported_earlier_is_not_told_as_this_one(said, folder, slides, tmp_path):
    said("add", folder, slides[0], "--contours", slides[0].with_suffix(".svg"))
    (tmp_path / "empty").mkdir()
    _, out, err = said("add", folder, slides[0], "--contours", tmp_path / "empty")
    assert cells(out[1])[1] == "no contours"
    assert "for case0 (1 of 1 slides)" in err[0]


def test_the_answer_in_json_says_the_same(said, folder, slides):
    _, out, err = said("add", folder, *slides[4:], "--contours", slides[0].parent, "--json")
    four, five = json.loads(out[-1])["slides"]
    assert (four["contours"], four["classes"], four["mpp"]) == ("case4.svg", ["Background", "Tumour"], None)
    assert (five["contours"], five["classes"]) == (None, [])
    assert len(err) == 1


def test_pages_of_a_stack_are_told_with_the_file_of_each(said, folder, slides, tmp_path):
    pixels = tifffile.imread(slides[0])
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for _ in range(2):
            file.write(pixels, photometric="rgb")
    shutil.copy(slides[0].with_suffix(".svg"), tmp_path / "s[1].svg")
    _, out, _ = said("add", folder, tmp_path / "s.tif", "--contours", tmp_path)
    assert [cells(line)[:2] for line in out[1:3]] == [["s[0]", "no contours"], ["s[1]", "s[1].svg"]]


def test_patterns_are_expanded_where_no_shell_did(said, folder, slides):
    code, out, _ = said("add", folder, slides[0].parent / "case[0-2].tif")
    assert code == 0
    assert [cells(line)[0] for line in out[1:4]] == ["case0", "case1", "case2"]


def test_a_pattern_that_matches_nothing_is_said_to(said, folder, slides):
    code, out, err = said("add", folder, slides[0].parent / "*.svs")
    assert (code, out) == (1, [])
    assert re.fullmatch(r".*\*\.svs: no file matches this pattern, seen from .*\. Check folder and suffix\.", err[0])
    assert Project.open(folder).slides == {}


def test_a_name_with_brackets_is_no_pattern_where_it_is_there(tmp_path):
    (tmp_path / "stack[2].tif").touch()
    (tmp_path / "stack2.tif").touch()
    assert expand([tmp_path / "stack[2].tif"]) == [str(tmp_path / "stack[2].tif")]


def test_a_name_that_is_no_pattern_is_left_to_who_opens_it():
    assert expand(["gone.tif"]) == ["gone.tif"]
    with pytest.raises(ConfigError):
        expand(["gone*.tif"])
