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


def only(project):
    """Return the one warning that a project gives."""
    (problem,) = check(project)
    assert not problem.blocks
    return problem.text


def change(project, slide, **changes):
    """Change an entry as a hand would in project.json: without the checks of an import."""
    project.slides[slide] = replace(project.slides[slide], **changes)
    project.save()


def outline(path, top, left, bottom, right):
    points = f"{left},{top} {right},{top} {right},{bottom} {left},{bottom}"
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><polyline points="{points}" stroke="red"/></svg>')


def paint(project, slide, label, region):
    with project.write_lock(), project.open_mask(slide) as mask:
        shape = (region.height, region.width)
        mask.edit(region, np.full(shape, label, np.uint8), np.full(shape, 4, np.uint8))


def test_a_sound_project_has_no_problem(project):
    assert check(project) == []


def test_a_missing_file_blocks_and_is_named(project, slides):
    slides[0].unlink()
    (problem,) = check(project)
    assert problem.blocks
    assert "case0.tif" in problem.text


def test_missing_files_are_one_problem_that_names_its_remedy(project, slides):
    for path in slides[:4]:
        path.unlink()
    (text,) = texts(project)
    assert text.startswith(f"The files of 4 of 6 slides are not where they were: case0 ({slides[0]})")
    assert "and 1 more. " in text
    assert "pathseg relink PROJECT FOLDER" in text


def test_a_file_that_is_there_and_no_slide_is_told_beside_those_that_are_missing(project, slides):
    slides[0].unlink()
    slides[1].write_text("no picture")
    missing, broken = texts(project)
    assert "1 of 6 slides" in missing
    assert "case1" not in missing
    assert "case1.tif" in broken


def test_a_damaged_mask_blocks_and_is_named(project):
    (project.mask_path("case1") / "zarr.json").write_text("{")
    problem = check(project)[0]
    assert problem.blocks
    assert "case1.zarr cannot be read as a mask" in problem.text


def test_255_in_a_mask_blocks_and_says_how_to_import_it(project):
    paint(project, "case1", 255, Region(0, 0, 10, 10))
    problem = check(project)[0]
    assert problem.blocks
    assert "The mask of case1 has 100 pixels of class 255" in problem.text
    assert "Import its 0/255 mask again: these then mean Background and Tumour" in problem.text


def test_a_class_beyond_the_table_blocks_and_is_named(project):
    paint(project, "case1", 3, Region(0, 0, 10, 10))
    assert "has 100 pixels of class 3; the project's classes are 1 to 2 (Background, Tumour)" in texts(project)[0]


def test_a_mask_of_0_and_255_is_taken_in_without_a_complaint(project, tmp_path):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[40:120, 40:120] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    import_file(project, "case1", tmp_path / "m.png", complete=True)
    assert check(project) == []


def test_a_patient_in_two_roles_is_named_with_the_slides(project):
    change(project, "case0", patient="P1", role="train")
    change(project, "case5", patient="P1", role="test")
    assert 'Patient "P1" is in two roles: train: case0; test: case5.' in only(project)


def test_one_file_under_two_names_in_two_roles_is_a_leak(project, slides, tmp_path):
    copy = tmp_path / "copy.tif"
    shutil.copyfile(slides[0], copy)
    change(project, "case0", role="train")
    add_slides(project, [copy], AddOptions(role="test"))
    assert "case0 and copy are the same slide in two roles: train: case0; test: copy" in only(project)


def test_one_file_under_two_patients_is_found_before_it_leaks(project, slides, tmp_path):
    copy = tmp_path / "copy.tif"
    shutil.copyfile(slides[5], copy)
    add_slides(project, [copy], AddOptions(role="test"))
    assert "case5 and copy are the same slide under 2 patients" in only(project)


def test_a_picture_saved_anew_is_known_by_its_contours_and_pixels(project, slides, tmp_path):
    again = tmp_path / "again.tif"
    tifffile.imwrite(again, tifffile.imread(slides[0]), photometric="rgb")
    add_slides(project, [again], AddOptions(contours=slides[0].with_suffix(".svg"), role="test"))
    change(project, "case0", role="train")
    assert "case0 and again are the same slide in two roles" in only(project)


def test_other_pixels_under_the_same_contours_are_another_slide(project, slides):
    add_slides(project, slides[5:], AddOptions(contours=slides[0].with_suffix(".svg")))
    assert check(project) == []


@pytest.fixture
def wide(project, tmp_path):
    """The sound project with a slide of 192 rows and 400 columns, complete."""
    pixels = np.random.default_rng(0).integers(60, 230, (SIDE, 400, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "wide.tif", pixels, photometric="rgb")
    outline(tmp_path / "wide.svg", 20, 20, 180, 300)
    add_slides(project, [tmp_path / "wide.tif"], AddOptions(contours=tmp_path / "wide.svg", role="train"))
    assert check(project) == []
    return project


def test_contours_with_rows_and_columns_swapped_are_told(wide, tmp_path):
    outline(tmp_path / "swapped.svg", 20, 20, 300, 180)
    import_file(wide, "wide", tmp_path / "swapped.svg", complete=True)
    assert "wide has 192 rows and 400 columns. It would fit with rows and columns swapped" in only(wide)


def test_contours_of_a_larger_level_are_told_with_their_scale(wide, tmp_path):
    outline(tmp_path / "large.svg", 100, 100, 700, 1500)
    import_file(wide, "wide", tmp_path / "large.svg", complete=True)
    assert "large.svg lies at rows 100 to 700, columns 100 to 1500;" in only(wide)
    assert "It would fit at 1/4 of its size" in only(wide)


def test_contours_of_another_slide_are_told(wide, tmp_path):
    outline(tmp_path / "other.svg", 100, 100, 20_000, 20_000)
    import_file(wide, "wide", tmp_path / "other.svg", complete=True)
    assert "Import the file that belongs to this slide" in only(wide)


def test_a_stroke_beyond_the_edge_is_no_problem(wide, tmp_path):
    outline(tmp_path / "edge.svg", -5, -5, 197, 300)
    import_file(wide, "wide", tmp_path / "edge.svg", complete=True)
    assert "wide" not in " ".join(text for text in texts(wide) if "inverted" not in text)


def test_outlines_that_all_lie_in_a_corner_were_drawn_on_a_thumbnail(project, tmp_path):
    (tmp_path / "small").mkdir()
    for number in range(5):
        small = tmp_path / "small" / f"case{number}.svg"
        outline(small, 2, 2 + number, 90, 92)
        import_file(project, f"case{number}", small, complete=True)
    assert "All outlines of 5 slides lie in the upper left 1/2 of the slide" in only(project)


def test_a_complete_slide_whose_contours_left_nothing_is_told(project, tmp_path):
    outline(tmp_path / "between.svg", 10.1, 10.1, 10.4, 10.4)
    import_file(project, "case1", tmp_path / "between.svg", complete=True)
    paint(project, "case1", 1, Region(0, 0, SIDE, SIDE))
    assert "case1: complete, with a file of contours, but all Background" in only(project)


def test_an_inverted_mask_is_suspected(project):
    paint(project, "case1", 2, Region(0, 0, SIDE, SIDE))
    assert "case1: complete and all Tumour, without Background. If the mask is inverted" in only(project)


def test_slides_of_one_class_each_teach_to_tell_slides(tmp_path, slides):
    project = Project.create(tmp_path / "p.pathseg")
    add_slides(project, slides[:4], AddOptions(contours=slides[0].parent, partial=True))
    add_slides(project, slides[4:], AddOptions(negative=True))
    for number, entry in enumerate(project.slides):
        change(project, entry, role="val" if number in (3, 4) else "train")
    assert "No training slide shows two classes" in only(project)


def test_few_pixels_of_a_class_are_counted(project):
    project.change_classes(project.classes.add("Necrosis"))
    for entry in project.slides:
        paint(project, entry, 3, Region(0, 0, 5, 5))
    assert 'Class "Necrosis" has only 100 labelled pixels on the training slides' in only(project)


def test_a_class_that_no_validation_slide_shows_is_named(project, tmp_path):
    add_slides(project, project_slides(project, tmp_path), AddOptions(negative=True, role="val"))
    for number in range(5):
        change(project, f"case{number}", role="train")
    assert 'No validation slide shows "Tumour", so its scores will say nothing' in only(project)


def project_slides(project, folder):
    pixels = np.random.default_rng(1).integers(60, 230, (SIDE, SIDE, 3)).astype(np.uint8)
    tifffile.imwrite(folder / "negative.tif", pixels, photometric="rgb")
    return [folder / "negative.tif"]


def test_one_patient_of_many_is_too_few_to_validate(project, tmp_path):
    for number in range(4):
        pixels = np.random.default_rng(number).integers(60, 230, (SIDE, SIDE, 3)).astype(np.uint8)
        tifffile.imwrite(tmp_path / f"more{number}.tif", pixels, photometric="rgb")
    more = [tmp_path / f"more{number}.tif" for number in range(4)]
    add_slides(project, more, AddOptions(negative=True, role="train"))
    for number in range(5):
        change(project, f"case{number}", role="train" if number else "val")
    assert "Of 9 patients only case0 is used for validation" in only(project)


def test_slides_without_a_pixel_size_among_others_are_counted(project):
    for number in range(3):
        change(project, f"case{number}", mpp=0.5)
    assert "2 of 5 slides state no pixel size (case3, case4)" in only(project)


def test_slides_of_very_different_pixel_size_are_told(project):
    for number in range(5):
        change(project, f"case{number}", mpp=2.0 if number == 3 else 1.0)
    assert "The slides are learnt at 1 to 2 um per pixel, case3 at the coarsest" in only(project)


def test_a_grey_slide_among_coloured_ones_is_told(project):
    change(project, "case2", channels=1)
    assert "1 of 5 slides are grey (case2), the others in colour" in only(project)


def test_what_blocks_comes_first(project, slides):
    change(project, "case2", channels=1)
    slides[0].unlink()
    assert [problem.blocks for problem in check(project)] == [True, False]
