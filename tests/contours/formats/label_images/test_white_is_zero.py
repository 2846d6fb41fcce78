"""TIFFs that store white as 0: what is not 0 is the object where the writer says so, else the user is asked."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.contours.formats.label_images.reader import is_white_ambiguous, read_label_image
from napari_pathseg.projects.importing.contour_import import ImportOptions, import_file
from napari_pathseg.projects.importing.import_preview import inspect_file

MASK = np.zeros((30, 40), bool)
MASK[5:10, 5:25] = True


def write_imagej(path, mask):
    tifffile.imwrite(
        path,
        mask.astype(np.uint8) * 255,
        photometric="miniswhite",
        description="ImageJ=1.54f\n",
        software=False,
        metadata=None,
    )


@pytest.mark.parametrize("write", [tifffile.imwrite, write_imagej])
def test_mask_of_tifffile_or_imagej_is_read_as_it_was_written(tmp_path, write):
    write(tmp_path / "a.tif", MASK)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    assert np.array_equal(read_label_image(tmp_path / "a.tif", MASK.shape).values > 0, MASK)
    assert not is_white_ambiguous(tmp_path / "a.tif")


def test_later_masks_of_a_stack_are_read_as_the_first(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([MASK, ~MASK, MASK]))
    for page, expected in enumerate((MASK, ~MASK, MASK)):
        assert np.array_equal(read_label_image(tmp_path / "a.tif", MASK.shape, page=page).values > 0, expected)


def test_mask_of_another_writer_is_imported_as_shown_with_a_warning_and_asked_for(project, tmp_path):
    shape = project.slides["case5"].shape
    mask = np.zeros(shape, bool)
    mask[5:10, 5:25] = True
    Image.fromarray(~mask).save(tmp_path / "case5_mask.tif", tiffinfo={262: 0}, compression="group4")
    white, black = inspect_file(tmp_path / "case5_mask.tif", project, ("case5",)).classes
    assert [(white.name, white.default), (black.name, black.default)] == [("white", None), ("black", None)]
    assert (white.pixels, black.pixels) == (mask.size - 100, 100)
    import_file(project, "case5", tmp_path / "case5_mask.tif", complete=False)
    [imported] = project.state.imports_into("case5").values()
    assert '--map "black=Tumour" --map "white=Unlabelled"' in imported.warning
    assert project.counts("case5")[2].sum() == mask.size - 100
    for black_is in ("black", "0"):
        chosen = ImportOptions({black_is: 2, "white": 0})
        import_file(project, "case5", tmp_path / "case5_mask.tif", complete=False, options=chosen)
        assert project.counts("case5")[2].sum() == 100
