import logging

import numpy as np
import pytest
import tifffile
from PIL import Image
from slide_helpers import misread_by_threads

from napari_pathseg.errors import UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.fingerprint import fingerprint
from napari_pathseg.slides.level_array import level_arrays
from napari_pathseg.slides.registry import open_slide

REAL_SLIDES = [
    "slides_small/CMU-1-Small-Region.svs",
    "slides_small/openslide_boxes.tiff",
    "tumour_tif_svg/camelyon_10670.512x512.tiff",
    "tumour_tif_svg/camelyon_10680.512x512.tiff",
    "slides_small/hgsc_nest.jpg",
]


def whole(slide, level=0):
    return slide.read(Region(0, 0, *slide.shape), level)


def halves(image, count=3):
    """The image, and `count` - 1 times its 2 x 2 means: the levels of a pyramid."""
    levels = [image]
    while len(levels) < count:
        rows, columns = (size // 2 * 2 for size in levels[-1].shape[:2])
        blocks = levels[-1][:rows, :columns].reshape(rows // 2, 2, columns // 2, 2, -1).mean((1, 3))
        levels.append(blocks.reshape(rows // 2, columns // 2, *image.shape[2:]).round().astype(np.uint8))
    return levels


@pytest.fixture
def image():
    """A smooth colour image with noise on it, of odd size."""
    rows, columns = np.mgrid[:701, :530]
    smooth = np.stack([rows / 3, columns / 3, (rows + columns) / 6], axis=-1)
    return (smooth + np.random.default_rng(0).integers(0, 20, smooth.shape)).astype(np.uint8)


@pytest.fixture(params=["sub-IFDs", "pages", "pages with descriptions", "BigTIFF"])
def pyramid(request, tmp_path, image):
    path = tmp_path / "pyramid.tif"
    options = {"photometric": "rgb", "compression": "deflate"}
    nested = request.param in ("sub-IFDs", "BigTIFF")
    with tifffile.TiffWriter(path, bigtiff=request.param == "BigTIFF") as writer:
        for index, level in enumerate(halves(image)):
            options |= {"subifds": 2} if nested and not index else {"subifds": None}
            metadata = {} if "descriptions" in request.param else None
            writer.write(level, tile=(128, 128), subfiletype=int(nested and index > 0), metadata=metadata, **options)
    return path


@pytest.mark.shared_data
@pytest.mark.parametrize("name", REAL_SLIDES)
def test_pixels_of_real_files_are_those_of_their_decoder(shared, name):
    path = shared / "data" / name
    expected = np.asarray(Image.open(path)) if path.suffix == ".jpg" else tifffile.imread(path)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), expected)
        assert slide.shape == expected.shape[:2]


@pytest.mark.shared_data
def test_region_is_a_crop_of_the_whole_image(shared):
    with open_slide(shared / "data" / REAL_SLIDES[0]) as slide:
        pixels = slide.read(Region(700, 230, 311, 517))
        assert np.array_equal(pixels, tifffile.imread(slide.path)[700:1011, 230:747])


def test_levels_are_found_however_a_pyramid_stores_them(pyramid, image):
    with open_slide(pyramid) as slide:
        assert [level.shape for level in slide.levels] == [(701, 530), (350, 265), (175, 132)]
        assert [level.downsample for level in slide.levels] == [1, 2, 4]
        for level, expected in enumerate(halves(image)):
            assert np.array_equal(slide.read_level(level, Region(0, 0, *expected.shape[:2])), expected)


def test_region_is_in_level_0_pixels_at_every_level(pyramid, image):
    with open_slide(pyramid) as slide:
        assert np.array_equal(slide.read(Region(100, 60, 80, 40), 1), halves(image)[1][50:90, 30:50])
        assert slide.read(Region(690, 520, 11, 10), 2).shape == (3, 2, 3)


@pytest.mark.parametrize(
    "region",
    [(-1, 0, 5, 5), (0, 0, 702, 5), (0, 526, 5, 5), (3, 3, 0, 5)],
    ids=["above", "below", "right", "empty"],
)
def test_region_outside_the_slide_is_a_value_error(pyramid, region):
    with open_slide(pyramid) as slide, pytest.raises(ValueError, match=r"does not lie inside pyramid\.tif"):
        slide.read(Region(*region))


@pytest.mark.parametrize("downsample", [2, 3, 4])
def test_grid_pixel_is_the_mean_of_its_block(tmp_path, image, downsample):
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, image, photometric="rgb", rowsperstrip=16)
    box = Region(7, 5, 40, 31)
    block = image[box.finer(downsample).slices].reshape(40, downsample, 31, downsample, 3)
    with open_slide(path) as slide:
        assert np.abs(slide.read_grid(box, downsample) - block.mean((1, 3))).max() <= 1


def test_grid_is_read_from_the_coarsest_sufficient_level(pyramid, image):
    finer = halves(image)[2]
    means = finer[:174, :132].reshape(87, 2, 66, 2, 3).mean((1, 3))
    with open_slide(pyramid) as slide:
        assert np.abs(slide.read_grid(Region(0, 0, 87, 66), 8) - means).max() <= 0.5
        assert np.array_equal(slide.read_grid(Region(9, 3, 30, 40), 4), finer[9:39, 3:43])
        uneven = slide.read_grid(Region(3, 2, 20, 20), 6)
        assert np.abs(uneven.mean() - image[18:138, 12:132].mean()) < 1


@pytest.mark.parametrize("downsample", [2, 3, 5, 64, 1000])
def test_grid_pixels_across_the_edge_average_what_is_inside(tmp_path, image, downsample):
    path = tmp_path / "flat.png"
    Image.fromarray(image).save(path)
    rows, columns = -(-701 // downsample), -(-530 // downsample)
    with open_slide(path) as slide:
        corner = slide.read_grid(Region(rows - 1, columns - 1, 1, 1), downsample)
    inside = image[(rows - 1) * downsample :, (columns - 1) * downsample :]
    assert np.abs(corner[0, 0] - inside.mean((0, 1))).max() <= 1


def test_grid_covers_a_pyramid_whose_levels_lack_their_last_row(pyramid):
    with open_slide(pyramid) as slide:
        assert slide.read_grid(Region(0, 0, 351, 265), 2).shape == (351, 265, 3)
        assert slide.read_grid(Region(350, 264, 1, 1), 2).shape == (1, 1, 3)


def test_region_larger_than_a_band_is_read_without_seams(tmp_path, image, monkeypatch):
    path = tmp_path / "flat.tif"
    tifffile.imwrite(path, image, photometric="rgb")
    with open_slide(path) as slide:
        at_once = slide.read_grid(Region(0, 0, 234, 177), 3)
        monkeypatch.setattr("napari_pathseg.slides.slide._BAND_PIXELS", 10_000)
        assert np.array_equal(slide.read_grid(Region(0, 0, 234, 177), 3), at_once)


def test_read_at_a_pixel_size_averages_to_it(tmp_path, image):
    path = tmp_path / "half.tif"
    tifffile.imwrite(path, image, photometric="rgb", resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.5)
        pixels = slide.read(Region(10, 20, 200, 100), mpp=1.0)
        means = image[10:210, 20:120].reshape(100, 2, 50, 2, 3).mean((1, 3))
        assert np.abs(pixels - means).max() <= 1
        assert slide.read(Region(0, 0, 100, 100), mpp=0.75).shape == (67, 67, 3)
        assert np.array_equal(slide.read(Region(0, 0, 90, 90), mpp=0.5), image[:90, :90])


def test_read_at_a_pixel_size_needs_a_slide_that_has_one(tmp_path, image):
    path = tmp_path / "unknown.png"
    Image.fromarray(image).save(path)
    with open_slide(path) as slide, pytest.raises(UnsupportedSlideError, match="has no pixel size"):
        slide.read(Region(0, 0, 10, 10), mpp=1.0)


@pytest.mark.parametrize(
    ("mpp", "level"), [(0.1, 0), (0.5, 0), (0.9, 0), (0.997, 1), (1, 1), (1.9, 1), (2, 2), (50, 2)]
)
def test_read_at_a_pixel_size_uses_the_coarsest_sufficient_level(tmp_path, image, mpp, level, monkeypatch):
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as writer:
        for number, pixels in enumerate(halves(image)):
            writer.write(
                pixels,
                photometric="rgb",
                tile=(128, 128),
                resolution=(20_000 / 2**number, 20_000 / 2**number),
                resolutionunit="CENTIMETER",
                subfiletype=int(number > 0),
                metadata=None,
            )
    with open_slide(path) as slide:
        levels, read_level = [], slide.read_level
        monkeypatch.setattr(slide, "read_level", lambda number, box: levels.append(number) or read_level(number, box))
        slide.read(Region(0, 0, 200, 200), mpp=mpp)
        assert set(levels) == {level}


def test_level_array_decodes_only_what_a_slice_covers(pyramid, image):
    with open_slide(pyramid) as slide:
        arrays = level_arrays(slide)
        assert [array.shape for array in arrays] == [(701, 530, 3), (350, 265, 3), (175, 132, 3)]
        for key in [
            np.s_[5:50, 7:9],
            np.s_[700, ..., 1],
            np.s_[-1, -1],
            np.s_[90:3:-7, ::50, :2],
            np.s_[5:5],
        ]:
            assert np.array_equal(arrays[0][key], image[key])
        assert np.array_equal(np.asarray(arrays[2]), halves(image)[2])
        with pytest.raises(IndexError):
            arrays[0][701]


def test_thumbnail_fits_its_size(pyramid):
    with open_slide(pyramid) as slide:
        assert slide.thumbnail(100).shape == (88, 67, 3)
        assert slide.thumbnail(5000).shape == (701, 530, 3)


def test_truncated_file_is_refused_by_name(pyramid):
    pyramid.write_bytes(pyramid.read_bytes()[:-20_000])
    with pytest.raises(UnsupportedSlideError, match=r"pyramid\.tif.*(beyond the end|damaged|no pyramid)"):
        open_slide(pyramid)


def test_error_for_a_damaged_tile_names_the_file(tmp_path, image):
    path = tmp_path / "damaged.tif"
    tifffile.imwrite(path, image, photometric="rgb", tile=(128, 128), compression="deflate")
    with tifffile.TiffFile(path) as tiff:
        start = tiff.pages.first.dataoffsets[0]
    content = bytearray(path.read_bytes())
    content[start : start + 40] = bytes(40)
    path.write_bytes(content)
    with open_slide(path) as slide:
        assert np.array_equal(slide.read(Region(300, 300, 50, 50)), image[300:350, 300:350])
        with pytest.raises(UnsupportedSlideError, match=r"damaged\.tif could not be read at level 0, rows 0 to 9"):
            slide.read(Region(0, 0, 10, 10))


def test_damaged_file_is_refused_without_log_records(pyramid, caplog):
    pyramid.write_bytes(pyramid.read_bytes()[:3000])
    with caplog.at_level(logging.DEBUG), pytest.raises(UnsupportedSlideError):
        open_slide(pyramid)
    assert not caplog.records


def test_strip_too_large_to_decode_is_refused(tmp_path):
    path = tmp_path / "bomb.tif"
    row = np.zeros((1, 20_000), np.uint8)
    tifffile.imwrite(path, (row for _ in range(1)), shape=row.shape, dtype="uint8", rowsperstrip=1)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        for name in ("ImageLength", "RowsPerStrip"):
            tiff.pages.first.tags[name].overwrite(20_000)
    with pytest.raises(UnsupportedSlideError, match=r"bomb\.tif.*more than 256 MiB"):
        open_slide(path)


def test_jpeg_tile_that_claims_to_be_huge_is_not_decoded(tmp_path, image):
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, image, photometric="rgb", compression="jpeg", tile=(256, 256), metadata=None)
    content = bytearray(path.read_bytes())
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = b"\xf0\x00" * 2
    path.write_bytes(content)
    with open_slide(path) as slide, pytest.raises(UnsupportedSlideError, match="claims 61440 x 61440 pixels"):
        slide.read(Region(0, 0, 10, 10))


def test_stack_is_refused_with_its_number_of_pages(tmp_path):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((7, 64, 64), np.uint8))
    with pytest.raises(UnsupportedSlideError, match=r"stack\.tif.*7 pages"):
        open_slide(path)


def test_label_and_thumbnail_do_not_make_a_stack(tmp_path, image):
    path = tmp_path / "scanner.tif"
    with tifffile.TiffWriter(path) as writer:
        writer.write(image, photometric="rgb", tile=(128, 128), metadata=None)
        writer.write(image[:90, :70], photometric="rgb", metadata=None)
        writer.write(image[:99, :200], photometric="rgb", tile=(64, 64), description="label", metadata=None)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), image)
        assert len(slide.levels) == 1


def test_path_that_is_not_a_file_is_refused_by_what_it_is(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "notes.png").write_text("no picture at all")
    reasons = {
        "gone.svs": "does not exist",
        "": "is a folder",
        "empty.tif": "is empty",
        "notes.png": "PNG and JPEG",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnsupportedSlideError, match=reason) as caught:
            open_slide(tmp_path / name)
        assert name in str(caught.value)


def test_two_threads_read_the_same_as_one(pyramid, image):
    boxes = [Region(row, column, 128, 96) for row in range(0, 560, 43) for column in range(0, 430, 61)]
    with open_slide(pyramid) as slide:
        assert not misread_by_threads(slide, boxes, image, 2)


def test_closed_slide_refuses_to_read(pyramid):
    with open_slide(pyramid) as slide:
        pass
    with pytest.raises(ValueError, match="is closed"):
        whole(slide)


def test_fingerprint_survives_a_move_and_differs_between_files(tmp_path, pyramid):
    before = fingerprint(pyramid)
    moved = pyramid.rename(tmp_path / "moved.tif")
    assert fingerprint(moved) == before
    moved.write_bytes(moved.read_bytes()[:-1] + b"\1")
    assert fingerprint(moved) != before
