"""Label images come and go with their numbers as they are."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.data.formats.label_image import read_label_image, write_label_image
from napari_pathseg.errors import AnnotationError, ProjectError

MASK = np.random.default_rng(0).integers(0, 256, (60, 40), np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF", "a.bmp"])
def test_a_mask_comes_back_as_it_was_written(tmp_path, name):
    write_label_image(tmp_path / name, MASK)
    assert np.array_equal(read_label_image(tmp_path / name, MASK.shape), MASK)


def test_a_large_tiff_mask_comes_back_with_its_pixel_size(tmp_path):
    large = np.tile(MASK, (15, 20))
    write_label_image(tmp_path / "a.tif", large, mpp=0.5)
    assert np.array_equal(read_label_image(tmp_path / "a.tif", large.shape), large)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
        assert page.get_resolution("MICROMETER") == pytest.approx((2, 2))
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_black_and_white_grey_palette_and_16_bit_pictures_give_their_numbers(tmp_path):
    bits = MASK > 99
    Image.fromarray(bits).save(tmp_path / "bits.png")
    Image.fromarray(np.stack([MASK] * 3, axis=-1)).save(tmp_path / "grey.png")
    Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / "16.png")
    palette = Image.fromarray(MASK % 4, mode=None).convert("P")
    palette.putdata((MASK % 4).ravel().tolist())
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    palette.save(tmp_path / "palette.png")
    tifffile.imwrite(tmp_path / "16.tif", MASK.astype(np.uint16))
    tifffile.imwrite(tmp_path / "grey.tif", np.stack([MASK] * 3, axis=-1), photometric="rgb")
    Image.fromarray(bits).save(tmp_path / "bits.tif")
    expected = {"bits": bits, "grey": MASK, "16": MASK, "palette": MASK % 4}
    names = ["bits.png", "grey.png", "16.png", "palette.png", "16.tif", "grey.tif", "bits.tif"]
    for name in names:
        found = read_label_image(tmp_path / name, MASK.shape)
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected[name.split(".")[0]]), name


def test_white_is_one_in_a_tiff_that_counts_from_white(tmp_path):
    Image.fromarray(MASK > 99).save(tmp_path / "a.tif", tiffinfo={262: 0}, compression="group4")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    assert np.array_equal(read_label_image(tmp_path / "a.tif", MASK.shape), np.asarray(Image.open(tmp_path / "a.tif")))


def test_a_mask_of_another_size_is_refused_with_both_sizes(tmp_path):
    write_label_image(tmp_path / "a.png", MASK)
    with pytest.raises(AnnotationError, match=r"a\.png is 60 x 40 pixels, its slide 60 x 41 \(rows x columns\)"):
        read_label_image(tmp_path / "a.png", (60, 41))


def test_what_is_no_mask_is_refused(tmp_path):
    Image.fromarray(np.dstack([MASK, MASK, MASK + 1])).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "float.tif", MASK / 2)
    tifffile.imwrite(tmp_path / "high.tif", np.full(MASK.shape, 256, np.uint16))
    tifffile.imwrite(tmp_path / "low.tif", np.full(MASK.shape, -1, np.int16))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.tif").write_text("no picture")
    write_label_image(tmp_path / "whole.png", MASK)
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    for name, message in {
        "colour.png": "holds colours, not class numbers",
        "float.tif": "holds float64 values",
        "high.tif": "holds the number 256",
        "low.tif": "holds the number -1",
        "text.png": "is no PNG or BMP picture",
        "text.tif": "could not be read",
        "cut.png": "could not be read",
        "none.png": "does not exist",
    }.items():
        with pytest.raises(AnnotationError, match=message):
            read_label_image(tmp_path / name, MASK.shape)


def test_a_mask_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"a\.jpg: masks are written as \.png"):
        write_label_image(tmp_path / "a.jpg", MASK)
    with pytest.raises(ProjectError, match="Make that folder first"):
        write_label_image(tmp_path / "none" / "a.png", MASK)
