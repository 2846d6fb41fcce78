import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.cli import main
from napari_pathseg.projects.importing.file_survey import survey_files
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.import_controller import add_files


def test_first_slides_create_a_project_beside_them(session, slide_files):
    assert add_files(session, slide_files).problems == []
    assert session.project.folder == slide_files[0].parent / "liver.pathseg"
    assert list(session.project.slides) == ["case0", "case1", "case2", "case3"]
    assert session.slide.id == "case0"


def test_existing_project_of_slides_is_reopened(session, slide_files):
    add_files(session, slide_files[:1])
    session.close()
    add_files(session, slide_files[:2])
    assert list(session.project.slides) == ["case0", "case1"]


def test_bad_file_does_not_block_the_others(session, slide_files):
    bad = slide_files[0].with_name("bad.jpg")
    bad.write_bytes(b"not an image")
    refused = add_files(session, [slide_files[0], bad, slide_files[1]]).refused
    assert list(session.project.slides) == ["case0", "case1"]
    assert list(refused) == [bad]
    assert "bad.jpg" in refused[bad]


def test_unusable_file_is_reported(session, slide_files, tmp_path):
    (tmp_path / "notes.docx").write_text("x")
    assert add_files(session, [*slide_files, tmp_path / "notes.docx"]).problems == [
        "notes.docx is neither a slide nor a contour file. It was skipped."
    ]


def test_folder_with_nothing_but_folders_of_other_names_says_to_drop_those(session, slide_folder):
    outer = slide_folder.parent / "all"
    outer.mkdir()
    shutil.move(slide_folder, outer / "liver")
    assert add_files(session, [outer]).problems == [
        "all has neither slides nor contour files directly in it. Drop a folder by itself to import what is in it."
    ]


@pytest.fixture
def apart(slide_folder, mask_folder):
    """A folder with nothing but two folders, of slides and of their masks of the same names; one mask is empty."""
    outer = slide_folder.parent / "trial"
    outer.mkdir()
    shutil.move(slide_folder, outer / "images")
    shutil.move(mask_folder, outer / "masks")
    Image.fromarray(np.zeros((256, 256), np.uint8)).save(outer / "masks" / "case1.png")
    return outer


def test_folder_of_images_and_masks_opens_both_at_one_drop(session, apart):
    result = add_files(session, [apart])
    assert (result.problems, result.refused, result.others, result.ambiguous) == ([], {}, [], [])
    assert list(session.project.slides) == result.imported == ["case0", "case1", "case2", "case3"]
    assert [session.counts(slide)[2].sum() > 10_000 for slide in result.imported] == [True, False, True, True]
    assert session.project.slides["case1"].complete
    assert session.project.folder == apart / "trial.pathseg"


def test_folder_of_images_and_masks_names_the_others_and_not_its_project(session, apart):
    (apart / "stats").mkdir()
    add_files(session, [apart])
    assert add_files(session, [apart]).others == [apart / "stats"]
    assert len(session.project.slides) == 4


def test_folders_of_images_and_masks_that_come_together_need_no_names_for_their_masks(session, apart):
    add_files(session, [apart / "masks", apart / "images"])
    assert list(session.project.slides) == ["case0", "case1", "case2", "case3"]


def test_masks_find_their_slides_by_name(session, slide_files, mask_folder, tmp_path):
    add_files(session, slide_files)
    dropped = tmp_path / "case2_mask.png"
    shutil.copy(mask_folder / "case2.png", dropped)
    assert add_files(session, [dropped]).imported == ["case2"]
    assert session.counts("case2")[2].sum() > 10_000
    assert session.counts("case0")[1:].sum() == 0
    assert session.project.slides["case2"].complete


def test_dropped_project_is_opened(session, slide_files):
    add_files(session, slide_files[:1])
    folder = session.project.folder
    session.close()
    add_files(session, [folder])
    assert session.project.folder == folder


def test_dropped_folder_adds_its_slides(session, slide_folder):
    add_files(session, [slide_folder])
    assert len(session.project.slides) == 4


@pytest.fixture
def with_masks(slide_folder, mask_folder):
    """The folder of slides with label images of two of them, and a hidden file of macOS."""
    shutil.copy(mask_folder / "case2.png", slide_folder / "case2_mask.png")
    shutil.copy(mask_folder / "case3.png", slide_folder / "mask_case3.png")
    (slide_folder / "._case1.png").write_bytes(b"\0\5\x16\7")
    return slide_folder


def test_masks_in_a_dropped_folder_are_imported_and_are_no_slides(session, with_masks):
    result = add_files(session, [with_masks])
    assert list(session.project.slides) == ["case0", "case1", "case2", "case3"]
    assert (result.problems, result.refused) == ([], {})
    assert result.imported == ["case2", "case3"]
    assert session.counts("case2")[2].sum() > 10_000


def test_masks_dropped_together_with_their_slides_are_no_slides(session, with_masks):
    assert add_files(session, [with_masks / name for name in ("case2_mask.png", "case2.png")]).imported == ["case2"]
    assert list(session.project.slides) == ["case2"]


def test_masks_in_a_folder_beside_that_of_the_slides_are_no_slides(session, with_masks, tmp_path):
    (tmp_path / "labels").mkdir()
    for path in list(with_masks.glob("*mask*")):
        shutil.move(path, tmp_path / "labels" / path.name)
    assert add_files(session, [tmp_path / "labels", with_masks]).imported == ["case2", "case3"]
    assert list(session.project.slides) == ["case0", "case1", "case2", "case3"]


def test_stack_of_label_images_without_a_telling_name_is_not_added_as_slides(session, slide_files, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 96, 96), np.uint8)
    tifffile.imwrite(tmp_path / "volume.tif", pixels, photometric="minisblack")
    tifffile.imwrite(
        tmp_path / "labels.tif", np.where(pixels > 99, np.uint8(255), np.uint8(0)), photometric="minisblack"
    )
    result = add_files(session, [tmp_path / "labels.tif", tmp_path / "volume.tif"])
    assert list(session.project.slides) == ["volume[0]", "volume[1]", "volume[2]"]
    assert [(file.path.name, file.ignored) for file in result.ambiguous] == [
        ("labels.tif", ""),
        ("volume.tif", "added as a slide"),
    ]


def test_window_and_command_line_find_the_same_slides_in_a_folder(session, with_masks, tmp_path):
    add_files(session, [with_masks])
    folder = str(tmp_path / "other.pathseg")
    assert main(["new", folder]) == 0
    assert main(["add", folder, str(with_masks), "--contours", str(with_masks)]) == 0
    project = Project.open(folder)
    assert list(project.slides) == list(session.project.slides)
    assert project.counts("case2")[2].sum() == session.counts("case2")[2].sum()


def test_command_line_pairs_folders_of_images_and_masks_as_the_window_does(session, apart, tmp_path):
    add_files(session, [apart])
    folder = str(tmp_path / "other.pathseg")
    assert main(["new", folder]) == 0
    assert main(["add", folder, str(apart), "--contours", str(apart)]) == 0
    project = Project.open(folder)
    assert list(project.slides) == list(session.project.slides)
    assert (project.counts("case2") == session.counts("case2")).all()


def test_import_of_a_folder_lists_the_masks_in_its_sub_folder_alone(session, apart):
    add_files(session, [apart])
    survey = survey_files([apart], session.project)
    assert [(file.path.parent.name, file.slides, file.ignored) for file in survey] == [
        ("masks", (f"case{number}",), "") for number in range(4)
    ]
