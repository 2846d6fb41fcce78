import json
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.cli.arguments import expand_patterns
from napari_pathseg.errors import ConfigError
from napari_pathseg.projects.project import Project


@pytest.fixture
def folder(tmp_path):
    """An empty project."""
    return Project.create(tmp_path / "p.pathseg").folder


def cells(line):
    return re.split(r"  +", line)


def test_added_slides_are_listed_with_their_contours_and_classes(run_pathseg, folder, slides):
    code, out, err = run_pathseg("add", folder, *slides[:2], "--contours", slides[0].parent, "--role", "train")
    assert (code, err) == (0, [])
    assert cells(out[0]) == ["slide", "contours", "classes", "patient", "role", "pixel size"]
    assert cells(out[1]) == ["case0", "case0.svg", "Background, Tumour", "case0", "train", "unknown"]
    assert out[0].index("patient") == out[2].rindex("case1")
    assert out[3] == "2 slides added, 2 with contours."


def test_partial_contours_import_no_background(run_pathseg, folder, slides):
    _, out, _ = run_pathseg("add", folder, slides[0], "--contours", slides[0].with_suffix(".svg"), "--partial")
    assert cells(out[1])[1:3] == ["case0.svg", "Tumour"]


def test_negative_slide_is_background_without_contours(run_pathseg, folder, slides):
    _, out, err = run_pathseg("add", folder, slides[5], "--negative")
    assert cells(out[1])[1:3] == ["no contours", "Background"]
    assert err == []


def test_pixel_size_is_listed(run_pathseg, folder, slides, tmp_path):
    pixels = tifffile.imread(slides[0])
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", resolution=(20_000, 20_000), resolutionunit="CENTIMETER"
    )
    _, out, _ = run_pathseg("add", folder, tmp_path / "a.tif")
    assert cells(out[1])[-1] == "0.5 µm/px"


def test_unpaired_slides_are_named_with_the_pairing_rule(run_pathseg, folder, slides):
    code, out, err = run_pathseg("add", folder, *slides[4:], "--contours", slides[0].parent)
    assert code == 0
    assert cells(out[2])[1] == "no contours"
    assert out[3] == "2 slides added, 1 with contours."
    assert len(err) == 1
    assert err[0].startswith(f"No contours in {slides[0].parent} for case5 (1 of 2 slides). ")
    assert "the same stem: case5 with .svg" in err[0]


def test_file_imported_earlier_is_not_listed_again(run_pathseg, folder, slides, tmp_path):
    run_pathseg("add", folder, slides[0], "--contours", slides[0].with_suffix(".svg"))
    (tmp_path / "empty").mkdir()
    _, out, err = run_pathseg("add", folder, slides[0], "--contours", tmp_path / "empty")
    assert cells(out[1])[1] == "no new contours"
    assert "for case0 (1 of 1 slides)" in err[0]


def test_slide_added_again_is_not_counted_as_added(run_pathseg, folder, slides):
    run_pathseg("add", folder, slides[0], "--contours", slides[0].with_suffix(".svg"))
    _, out, err = run_pathseg("add", folder, *slides[:2], "--role", "test")
    assert cells(out[1])[1] == "no new contours"
    assert cells(out[2])[1] == "no contours"
    assert out[3] == (
        "1 slide added; 1 slide already in the project, with role and patient as in the table. Contours were imported "
        "into none."
    )
    assert err == []


def test_json_answer_equals_the_table(run_pathseg, folder, slides):
    _, out, err = run_pathseg("add", folder, *slides[4:], "--contours", slides[0].parent, "--json")
    four, five = json.loads(out[-1])["slides"]
    assert (four["contours"], four["classes"], four["mpp"]) == ("case4.svg", ["Background", "Tumour"], None)
    assert (five["contours"], five["classes"]) == (None, [])
    assert len(err) == 1


def test_stack_pages_are_listed_with_their_files(run_pathseg, folder, slides, tmp_path):
    pixels = tifffile.imread(slides[0])
    with tifffile.TiffWriter(tmp_path / "s.tif") as file:
        for _ in range(2):
            file.write(pixels, photometric="rgb")
    shutil.copy(slides[0].with_suffix(".svg"), tmp_path / "s[1].svg")
    _, out, _ = run_pathseg("add", folder, tmp_path / "s.tif", "--contours", tmp_path)
    assert [cells(line)[:2] for line in out[1:3]] == [["s[0]", "no contours"], ["s[1]", "s[1].svg"]]


def test_patterns_are_expanded_without_a_shell(run_pathseg, folder, slides):
    code, out, _ = run_pathseg("add", folder, slides[0].parent / "case[0-2].tif")
    assert code == 0
    assert [cells(line)[0] for line in out[1:4]] == ["case0", "case1", "case2"]


def test_pattern_without_matches_is_an_error(run_pathseg, folder, slides):
    code, out, err = run_pathseg("add", folder, slides[0].parent / "*.svs")
    assert (code, out) == (1, [])
    assert re.fullmatch(
        r".*\*\.svs: no file matches this pattern, seen from .*\. Check the folder and the suffix\.", err[0]
    )
    assert Project.open(folder).slides == {}


def test_existing_file_with_brackets_is_not_a_pattern(tmp_path):
    (tmp_path / "stack[2].tif").touch()
    (tmp_path / "stack2.tif").touch()
    assert expand_patterns([tmp_path / "stack[2].tif"]) == [str(tmp_path / "stack[2].tif")]


def test_missing_plain_name_is_passed_on_but_a_pattern_is_an_error():
    assert expand_patterns(["gone.tif"]) == ["gone.tif"]
    with pytest.raises(ConfigError):
        expand_patterns(["gone*.tif"])


def test_label_images_among_the_slides_are_no_slides_and_named_unless_imported(run_pathseg, folder, slides):
    mask = np.zeros(tifffile.imread(slides[0]).shape[:2], np.uint8)
    mask[:10, :10] = 255
    masks = [slides[0].with_name("case0_mask.png"), slides[1].with_name("mask_case1.png")]
    for path in masks:
        Image.fromarray(mask).save(path)
    code, out, err = run_pathseg("add", folder, *slides[:2], *masks)
    assert (code, out[-1]) == (0, "2 slides added, none with contours.")
    assert err == [
        "case0_mask.png, mask_case1.png: label images of slides beside them, so they were not added. Import them with "
        f"--contours {slides[0].parent}."
    ]
    for path in slides:
        path.with_suffix(".svg").unlink(missing_ok=True)
    code, out, err = run_pathseg("add", folder, slides[0].parent, "--contours", slides[0].parent)
    assert (code, len(err)) == (0, 1)  # the other slides have no contours
    assert Project.open(folder).counts("case1")[2].sum() == 100
    assert len(Project.open(folder).slides) == 6


def test_every_file_of_a_folder_of_contours_is_listed_with_what_happened_to_it(run_pathseg, folder, slides, tmp_path):
    given = tmp_path / "outlines"
    given.mkdir()
    for name in ("case0.svg", "case1.svg"):
        shutil.copy(slides[0].with_name(name), given / name)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(given / "case0_mask.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(given / "ORPHAN_mask.png")
    (given / "notes.docx").write_text("x")
    run_pathseg("add", folder, slides[1])
    code, out, err = run_pathseg("add", folder, slides[0], "--contours", given)
    assert code == 0
    assert [cells(line) for line in out[out.index("") + 1 :]] == [
        ["file", "why it was not imported"],
        ["ORPHAN_mask.png", "no slide of that name"],
        ["case0_mask.png", "case0.svg was imported instead"],
        ["case1.svg", "case1 is not among the slides given"],
        ["notes.docx", "not an annotation"],
    ]
    assert err == []
    _, out, _ = run_pathseg("add", folder, slides[0], "--contours", given, "--json")
    assert ("case0.svg", ["case0"], "imported") in [
        (file["file"], file["slides"], file["result"]) for file in json.loads(out[0])["contour_files"]
    ]


def test_slide_that_is_named_like_a_mask_is_added_with_a_warning(run_pathseg, folder, tmp_path):
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(tmp_path / "ORPHAN_mask.png")
    code, _, err = run_pathseg("add", folder, tmp_path / "ORPHAN_mask.png")
    assert code == 0
    assert any(line.startswith("ORPHAN_mask.png: added as slides, though named like masks") for line in err)
