"""A label image of another size than its slide is refused, and imported with the options that the refusal names."""

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.cli import main
from napari_pathseg.contours.alignment import AxisScaleTransform
from napari_pathseg.errors import AnnotationError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.importing.contour_import import ImportOptions, import_file
from napari_pathseg.projects.importing.import_preview import inspect_file
from napari_pathseg.projects.project import Project

SIDE = 192


@pytest.fixture
def copy():
    """A mask of half the slide's size, with a random class in each pixel."""
    return np.random.default_rng(0).integers(1, 3, (SIDE // 2, SIDE // 2)).astype(np.uint8)


def labels_of(project, slide="case5"):
    with project.open_mask_readonly(slide) as mask:
        return mask.read(Region(0, 0, *mask.shape))[0]


def import_scaled(project, path, **transform):
    options = ImportOptions(transform=AxisScaleTransform(**transform))
    import_file(project, "case5", path, complete=False, options=options)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_mask_of_a_smaller_copy_is_refused_and_fits_with_the_remedy_named(project, tmp_path, copy, suffix):
    path = tmp_path / f"case5_mask{suffix}"
    Image.fromarray(copy).save(path)
    refusal = f"{path.name} is 96 x 96 pixels, its slide 192 x 192 .*Add it with --scale 2, or give the mask"
    with pytest.raises(AnnotationError, match=refusal):
        import_file(project, "case5", path, complete=False)
    with pytest.raises(AnnotationError, match="and with --scale 3 it does not fit. Add it with --scale 2,"):
        import_scaled(project, path, scale=3.0)
    info = inspect_file(path, project, ("case5",))
    assert (info.is_other_size, info.proposal, info.problem) == (True, AxisScaleTransform(2.0), "")
    assert sum(found.pixels for found in info.classes) == SIDE**2
    import_scaled(project, path, scale=2.0)
    assert np.array_equal(labels_of(project), copy.repeat(2, 0).repeat(2, 1))


def test_mask_of_a_larger_copy_is_reduced_to_the_nearest_pixels(project, tmp_path, copy):
    Image.fromarray(copy.repeat(6, 0).repeat(6, 1)).save(tmp_path / "a.png")
    import_scaled(project, tmp_path / "a.png", scale=1 / 3)
    assert np.array_equal(labels_of(project), copy.repeat(2, 0).repeat(2, 1))


def test_mask_with_rows_and_columns_swapped_is_turned_back(project, tmp_path, copy):
    Image.fromarray(copy.repeat(2, 0).repeat(2, 1).T).save(tmp_path / "a.png")
    import_scaled(project, tmp_path / "a.png", swap_axes=True)
    assert np.array_equal(labels_of(project), copy.repeat(2, 0).repeat(2, 1))


def test_mask_of_a_level_of_the_pyramid_fits_a_coarser_mask(tmp_path, copy):
    pixels = np.full((8 * 96, 8 * 96, 3), 200, np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    Image.fromarray(copy).save(tmp_path / "a_mask.png")  # at 2 um; the slide has 0.25 um, its mask 1 um
    project = Project.create(tmp_path / "p.pathseg")
    options = ImportOptions(transform=AxisScaleTransform(8.0))
    add_slides(project, [tmp_path / "a.tif"], AddOptions(contours=tmp_path, import_options=options))
    assert np.array_equal(labels_of(project, "a"), copy.repeat(2, 0).repeat(2, 1))


def test_scale_of_the_command_line_applies_to_label_images(project, tmp_path, copy, capsys):
    Image.fromarray(copy).save(tmp_path / "case5_mask.png")
    command = ["add", str(project.folder), project.slides["case5"].path, "--contours", str(tmp_path)]
    assert main(command) == 1
    assert "Add it with --scale 2," in capsys.readouterr().err
    assert main([*command, "--scale", "2", "--json"]) == 0
    (slide,) = json.loads(capsys.readouterr().out.splitlines()[-1])["slides"]
    assert slide["contours"] == "case5_mask.png"
    assert project.counts("case5")[2].sum() == 4 * (copy == 2).sum()


def test_mask_of_other_proportions_has_no_remedy(project, tmp_path):
    Image.fromarray(np.ones((100, 60), np.uint8)).save(tmp_path / "a.png")
    info = inspect_file(tmp_path / "a.png", project, ("case5",))
    assert info.problem.endswith("(rows x columns). Give the mask that belongs to this slide, at its full size.")
