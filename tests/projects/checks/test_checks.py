import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.geometry import Region
from napari_pathseg.projects.checks.checks import check
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.importing.contour_import import import_file
from napari_pathseg.projects.project import Project

SIDE = 192


def texts(project):
    return [problem.text for problem in check(project)]


def only_warning(project):
    """Return the only problem of a project, which must be a warning."""
    (problem,) = check(project)
    assert not problem.blocks
    return problem.text


def change(project, slide, **changes):
    """Change a record without the checks of an import, as if project.json were edited by hand."""
    project.slides[slide] = replace(project.slides[slide], **changes)
    project.save()


def outline(path, top, left, bottom, right):
    points = f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><polyline points="{points}" stroke="red"/></svg>')


def paint(project, slide, label, region):
    with project.write_lock(), project.open_mask(slide) as mask:
        shape = (region.height, region.width)
        mask.edit(region, np.full(shape, label, np.uint8), np.full(shape, 4, np.uint8))


def test_complete_project_has_no_problem(project):
    assert check(project) == []


def test_missing_file_blocks_training_and_is_named(project, slides):
    slides[0].unlink()
    (problem,) = check(project)
    assert problem.blocks
    assert "case0.tif" in problem.text


def test_missing_files_are_one_problem_with_its_fix(project, slides):
    for path in slides[:4]:
        path.unlink()
    (text,) = texts(project)
    assert text.startswith(f"The files of 4 of 6 slides are missing: case0 ({slides[0]})")
    assert "and 1 more. " in text
    assert "pathseg relink PROJECT FOLDER" in text


def test_unreadable_file_is_reported_apart_from_missing_ones(project, slides):
    slides[0].unlink()
    slides[1].write_text("no picture")
    missing, unreadable = texts(project)
    assert "1 of 6 slides" in missing
    assert "case1" not in missing
    assert "case1.tif" in unreadable


def test_damaged_mask_blocks_training_and_is_named(project):
    (project.mask_path("case1") / "zarr.json").write_text("{")
    problem = check(project)[0]
    assert problem.blocks
    assert "case1.zarr cannot be read as a mask" in problem.text


def test_value_255_blocks_training_with_the_way_to_import_it(project):
    paint(project, "case1", 255, Region(0, 0, 10, 10))
    problem = check(project)[0]
    assert problem.blocks
    assert "The mask of case1 has 100 pixels of class 255" in problem.text
    assert "Import its 0/255 mask again: the values are then read as Background and Tumour" in problem.text


def test_unknown_class_blocks_training_and_is_named(project):
    paint(project, "case1", 3, Region(0, 0, 10, 10))
    assert "has 100 pixels of class 3; the project's classes are 1 Background, 2 Tumour" in texts(project)[0]


def test_mask_of_0_and_255_is_imported_without_a_problem(project, tmp_path):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[40:120, 40:120] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    import_file(project, "case1", tmp_path / "m.png", complete=True)
    assert check(project) == []


def test_patient_in_two_roles_is_named_with_the_slides(project):
    change(project, "case0", patient="P1", role="train")
    change(project, "case5", patient="P1", role="test")
    assert 'Patient "P1" is in two roles: train: case0; test: case5.' in only_warning(project)


def test_same_file_in_two_roles_is_a_leak(project, slides, tmp_path):
    copy = tmp_path / "copy.tif"
    shutil.copyfile(slides[0], copy)
    change(project, "case0", role="train")
    add_slides(project, [copy], AddOptions(role="test"))
    assert "case0 and copy are the same slide in two roles: train: case0; test: copy" in only_warning(project)


def test_same_file_with_two_patients_is_found_before_it_leaks(project, slides, tmp_path):
    copy = tmp_path / "copy.tif"
    shutil.copyfile(slides[5], copy)
    add_slides(project, [copy], AddOptions(role="test"))
    assert "case5 and copy are the same slide with 2 patients" in only_warning(project)


def test_image_saved_again_is_found_by_contours_and_pixels(project, slides, tmp_path):
    again = tmp_path / "again.tif"
    tifffile.imwrite(again, tifffile.imread(slides[0]), photometric="rgb")
    add_slides(project, [again], AddOptions(contours=slides[0].with_suffix(".svg"), role="test"))
    change(project, "case0", role="train")
    assert "case0 and again are the same slide in two roles" in only_warning(project)


def test_other_pixels_with_the_same_contours_are_not_a_duplicate(project, slides):
    add_slides(project, slides[5:], AddOptions(contours=slides[0].with_suffix(".svg")))
    assert check(project) == []


@pytest.mark.parametrize("contrast", [0, 80])
def test_pages_of_a_stack_are_not_duplicates_even_if_they_are_alike(tmp_path, contrast):
    rng = np.random.default_rng(0)
    pages = (150 + rng.random((4, SIDE, SIDE, 3)) * contrast + 2 * np.arange(4)[:, None, None, None]).astype(np.uint8)
    masks = np.zeros((4, SIDE, SIDE), np.uint8)
    masks[:, 40:90, 40:90] = 255
    tifffile.imwrite(tmp_path / "stack.tif", pages, photometric="rgb")
    tifffile.imwrite(tmp_path / "stack_mask.tif", masks, photometric="minisblack")
    project = Project.create(tmp_path / "p.pathseg")
    assert len(add_slides(project, [tmp_path / "stack.tif"], AddOptions(contours=tmp_path))) == 4
    assert not [text for text in texts(project) if "same slide" in text]


@pytest.fixture
def wide(project, tmp_path):
    """The project with a complete slide of 192 rows and 400 columns added."""
    pixels = np.random.default_rng(0).integers(60, 230, (SIDE, 400, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "wide.tif", pixels, photometric="rgb")
    outline(tmp_path / "wide.svg", 20, 20, 180, 300)
    add_slides(project, [tmp_path / "wide.tif"], AddOptions(contours=tmp_path / "wide.svg", role="train"))
    assert check(project) == []
    return project


def test_contours_with_swapped_axes_are_reported(wide, tmp_path):
    outline(tmp_path / "swapped.svg", 20, 20, 300, 180)
    import_file(wide, "wide", tmp_path / "swapped.svg", complete=True)
    assert "wide has 192 rows and 400 columns. It would fit with rows and columns swapped" in only_warning(wide)


def test_contours_of_a_larger_level_are_reported_with_their_scale(wide, tmp_path):
    outline(tmp_path / "large.svg", 100, 100, 700, 1500)
    import_file(wide, "wide", tmp_path / "large.svg", complete=True)
    assert "large.svg covers rows 100 to 700, columns 100 to 1500;" in only_warning(wide)
    assert "It would fit at 1/4 of its size" in only_warning(wide)


def test_contours_of_another_slide_are_reported(wide, tmp_path):
    outline(tmp_path / "other.svg", 100, 100, 20_000, 20_000)
    import_file(wide, "wide", tmp_path / "other.svg", complete=True)
    assert "Import the file that belongs to this slide" in only_warning(wide)


def test_contour_slightly_beyond_the_edge_is_accepted(wide, tmp_path):
    outline(tmp_path / "edge.svg", -5, -5, 197, 300)
    import_file(wide, "wide", tmp_path / "edge.svg", complete=True)
    assert "wide" not in " ".join(text for text in texts(wide) if "inverted" not in text)


def test_outlines_in_one_corner_were_drawn_on_a_thumbnail(project, tmp_path):
    (tmp_path / "small").mkdir()
    for number in range(5):
        small = tmp_path / "small" / f"case{number}.svg"
        outline(small, 2, 2 + number, 90, 92)
        import_file(project, f"case{number}", small, complete=True)
    assert "All outlines of 5 slides lie in the upper left 1/2 of the slide" in only_warning(project)


def test_complete_slide_left_all_background_is_reported(project, tmp_path):
    outline(tmp_path / "between.svg", 10.1, 10.1, 10.4, 10.4)
    import_file(project, "case1", tmp_path / "between.svg", complete=True)
    paint(project, "case1", 1, Region(0, 0, SIDE, SIDE))
    assert "case1: complete, with imported contours, but all Background" in only_warning(project)


def test_possibly_inverted_mask_is_reported(project):
    paint(project, "case1", 2, Region(0, 0, SIDE, SIDE))
    assert "case1: complete and all Tumour, without Background. If the mask is inverted" in only_warning(project)


def test_training_slides_of_one_class_each_are_reported(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:4], AddOptions(contours=slides[0].parent, partial=True))
    add_slides(project, slides[4:], AddOptions(negative=True))
    for number, record in enumerate(project.slides):
        change(project, record, role="val" if number in (3, 4) else "train")
    assert "No training slide has two classes" in only_warning(project)


def test_class_with_few_pixels_is_reported(project):
    project.change_classes(project.classes.add("Necrosis"))
    for record in project.slides:
        paint(project, record, 3, Region(0, 0, 5, 5))
    assert 'Class "Necrosis" has only 100 labelled pixels on the training slides' in only_warning(project)


def test_class_without_validation_pixels_is_named(project, tmp_path):
    add_slides(project, project_slides(project, tmp_path), AddOptions(negative=True, role="val"))
    for number in range(5):
        change(project, f"case{number}", role="train")
    assert 'No validation slide has "Tumour", so it will have no score' in only_warning(project)


def project_slides(project, folder):
    pixels = np.random.default_rng(1).integers(60, 230, (SIDE, SIDE, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "negative.tif", pixels, photometric="rgb")
    return [folder / "negative.tif"]


def test_single_validation_patient_of_many_is_reported(project, tmp_path):
    for number in range(4):
        pixels = np.random.default_rng(number).integers(60, 230, (SIDE, SIDE, 3)).astype(np.uint8)
        tifffile.imwrite(tmp_path / f"more{number}.tif", pixels, photometric="rgb")
    more = [tmp_path / f"more{number}.tif" for number in range(4)]
    add_slides(project, more, AddOptions(negative=True, role="train"))
    for number in range(5):
        change(project, f"case{number}", role="train" if number else "val")
    assert "Of 9 patients, only case0 is used for validation" in only_warning(project)


def test_slides_without_a_pixel_size_among_others_are_reported(project):
    for number in range(3):
        change(project, f"case{number}", mpp=0.5)
    assert "2 of 5 slides have no pixel size (case3, case4)" in only_warning(project)


def test_very_different_pixel_sizes_are_reported(project):
    for number in range(5):
        change(project, f"case{number}", mpp=2.0 if number == 3 else 1.0)
    assert "The slides are used at 1 to 2 um per pixel; case3 is the coarsest" in only_warning(project)


def test_grey_slide_among_coloured_ones_is_reported(project):
    change(project, "case2", channels=1)
    assert "1 of 5 slides are grey (case2), the others in colour" in only_warning(project)


def test_blocking_problems_come_first(project, slides):
    change(project, "case2", channels=1)
    slides[0].unlink()
    assert [problem.blocks for problem in check(project)] == [True, False]
