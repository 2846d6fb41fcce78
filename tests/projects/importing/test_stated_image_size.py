"""The image size that a file states is checked in every format that states one, and its remedy can be taken."""

import json
import re

import numpy as np
import pytest

from napari_pathseg.contours.alignment import AxisScaleTransform, fits_stated_size, transform_for_stated_size
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, read_contours, write_contours
from napari_pathseg.errors import AnnotationError
from napari_pathseg.projects.checks.misaligned_contours import find_misaligned_contours
from napari_pathseg.projects.importing.contour_import import ImportOptions, import_file
from napari_pathseg.projects.importing.import_preview import inspect_file

OUTLINE = [[10, 10], [60, 10], [60, 60], [10, 60]]


def cvat(rows, columns):
    points = ";".join(f"{x},{y}" for x, y in OUTLINE)
    image = (
        f'<image name="case5.tif" width="{columns}" height="{rows}"><polygon label="Tumour" points="{points}"/></image>'
    )
    return "a.xml", f"<annotations>{image}</annotations>"


def coco(rows, columns):
    annotation = {"image_id": 1, "category_id": 1, "segmentation": [[number for point in OUTLINE for number in point]]}
    images = [{"id": 1, "file_name": "case5.tif", "height": rows, "width": columns}]
    return "a.json", json.dumps(
        {"images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "Tumour"}]}
    )


def labelme(rows, columns):
    shapes = [{"label": "Tumour", "points": OUTLINE}]
    return "a.json", json.dumps({"shapes": shapes, "imageHeight": rows, "imageWidth": columns})


def svg(attributes):
    points = " ".join(f"{x},{y}" for x, y in OUTLINE)
    return (
        "a.svg",
        f'<svg xmlns="http://www.w3.org/2000/svg" {attributes}><polygon class="Tumour" points="{points}"/></svg>',
    )


def svg_viewbox(rows, columns):
    return svg(f'viewBox="0 0 {columns} {rows}"')


def svg_on_a_page(rows, columns):
    return svg(f'viewBox="0 0 {columns} {rows}" width="100%" height="100%"')


def svg_width_and_height(rows, columns):
    return svg(f'width="{columns}px" height="{rows}"')


SVG = [svg_viewbox, svg_on_a_page, svg_width_and_height]


@pytest.mark.parametrize("of_size", [cvat, coco, labelme, *SVG])
def test_file_of_a_smaller_copy_is_refused_and_fits_with_the_remedy_named(project, tmp_path, of_size):
    rows, columns = project.slides["case5"].shape
    name, text = of_size(rows // 2, columns // 2)
    (tmp_path / name).write_text(text)
    refusal = f"image of {rows // 2} x {columns // 2} pixels, its slide has {rows} x {columns}.*with --scale 2,"
    with pytest.raises(AnnotationError, match=refusal):
        import_file(project, "case5", tmp_path / name, complete=False)
    with pytest.raises(AnnotationError, match=refusal):
        read_contours(tmp_path / name, SlideGeometry("case5.tif", (rows, columns)))
    options = ImportOptions(transform=AxisScaleTransform(scale=3.0))
    with pytest.raises(AnnotationError, match="--scale 2,"):
        import_file(project, "case5", tmp_path / name, complete=False, options=options)
    info = inspect_file(tmp_path / name, project, ("case5",))
    assert (info.is_other_size, info.proposal) == (True, AxisScaleTransform(scale=2.0))
    options = ImportOptions(transform=info.proposal)
    import_file(project, "case5", info.file, complete=False, options=options)
    assert project.counts("case5")[2].sum() == 100**2
    assert not list(find_misaligned_contours(project))


@pytest.mark.parametrize("of_size", [cvat, coco, labelme, *SVG])
def test_file_of_the_slides_size_is_imported_as_it_is(project, tmp_path, of_size):
    name, text = of_size(*project.slides["case5"].shape)
    (tmp_path / name).write_text(text)
    import_file(project, "case5", tmp_path / name, complete=False)
    assert project.counts("case5")[2].sum() == 50**2


def test_contours_in_pixels_of_the_slide_can_be_imported_whatever_size_is_stated(project, tmp_path):
    name, text = cvat(7, 7)
    (tmp_path / name).write_text(text)
    options = ImportOptions(transform=AxisScaleTransform())
    import_file(project, "case5", tmp_path / name, complete=False, options=options)
    assert project.counts("case5")[2].sum() == 50**2


def test_run_length_masks_state_the_size_where_the_image_does_not(tmp_path):
    annotation = {"image_id": 1, "segmentation": {"size": [4, 6], "counts": [0, 24]}}
    (tmp_path / "a.json").write_text(json.dumps({"images": [{"id": 1}], "annotations": [annotation]}))
    with pytest.raises(AnnotationError, match=re.escape("image of 4 x 6 pixels, its slide has 8 x 12")):
        read_contours(tmp_path / "a.json", SlideGeometry("a", (8, 12)))


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        'viewBox="0 0 297 210" width="297mm" height="210mm"',  # a page
        'viewBox="0 0 100 50"',  # the upper left part of the slide
        'viewBox="4 4 96 96"',  # another part
        'viewBox="0 0 48 48"',  # the outlines reach beyond it
        'viewBox="0 0 191 191.6"',  # rounded
        'width="191" height="191"',
        'width="8" height="800"',
        'width="96" viewBox="0 0 192 192"',  # a display of the slide
    ],
)
def test_svg_of_a_page_or_a_part_of_the_slide_is_placed_as_it_is(attributes, project, tmp_path):
    name, text = svg(attributes)
    (tmp_path / name).write_text(text)
    info = inspect_file(tmp_path / name, project, ("case5",))
    assert (info.is_other_size, info.problem) == (False, "")
    import_file(project, "case5", tmp_path / name, complete=False)
    assert project.counts("case5")[2].sum() == 50**2


def test_svg_that_was_written_without_a_slide_states_no_size(project, tmp_path):
    corner = np.array([[0, 0], [0, 95], [95, 95], [95, 0]])
    write_contours(tmp_path / "a.svg", [Contour(corner, class_name="Tumour")])
    assert not inspect_file(tmp_path / "a.svg", project, ("case5",)).is_other_size
    write_contours(tmp_path / "a.svg", [Contour(corner, class_name="Tumour")], frame=SlideGeometry(shape=(96, 96)))
    assert inspect_file(tmp_path / "a.svg", project, ("case5",)).proposal == AxisScaleTransform(scale=2.0)


@pytest.mark.parametrize(
    ("stated", "slide", "options"),
    [
        ((100, 150), (200, 300), "--scale 2"),
        ((500, 750), (2001, 3003), "--scale 4"),
        ((400, 600), (100, 150), "--scale 0.25"),
        ((300, 200), (200, 300), "--swap-axes"),
        ((150, 100), (200, 300), "--scale 2 --swap-axes"),
        ((1000, 1500), (1250, 1875), "--scale 1.25"),
    ],
)
def test_remedy_is_the_scale_or_the_axes(stated, slide, options):
    transform = transform_for_stated_size(stated, slide)
    assert transform.options == options
    assert fits_stated_size(stated, slide, transform)


def test_image_of_other_proportions_has_no_remedy():
    assert transform_for_stated_size((100, 100), (200, 300)) is None
    assert not fits_stated_size((199, 300), (200, 300))
