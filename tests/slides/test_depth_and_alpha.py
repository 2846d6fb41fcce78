"""Samples of 16 bits that use fewer, and transparency on white, in every reader."""

import imagecodecs
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from slide_helpers import whole

from napari_pathseg.slides.appearance import grouped, oddities
from napari_pathseg.slides.pyramid_conversion import convert
from napari_pathseg.slides.registry import open_slide
from napari_pathseg.slides.samples import depth_of, over_white

PICTURE = np.random.default_rng(0).integers(0, 250, (64, 96, 3)).astype(np.uint8)
PICTURE[0, 0] = 255  # the brightest


def write_zarr(path, picture):
    group = zarr.create_group(path, zarr_format=2)
    group.create_array("0", data=np.ascontiguousarray(np.moveaxis(picture, -1, 0)))
    names = [{"label": name} for name in ("Red", "Green", "Blue", "Alpha")[: picture.shape[-1]]]
    scales = [{"axes": [{"name": axis} for axis in "cyx"], "datasets": [{"path": "0"}]}]
    group.attrs.put({"multiscales": scales, "omero": {"channels": names}})


def write_tiff(path, picture, **options):
    tifffile.imwrite(path, picture, photometric="rgb", **options)


WRITERS = {
    "a.tif": write_tiff,
    "tiles.tif": lambda path, picture: write_tiff(path, picture, tile=(16, 16), compression="lzw"),
    "planar.tif": lambda path, picture: write_tiff(path, np.moveaxis(picture, -1, 0), planarconfig="separate"),
    "a.zarr": write_zarr,
    "a.png": lambda path, picture: path.write_bytes(imagecodecs.png_encode(picture)),
    "a.jp2": lambda path, picture: path.write_bytes(imagecodecs.jpeg2k_encode(picture, level=0, reversible=True)),
}


def deep(bits, picture=PICTURE):
    return np.ascontiguousarray(picture.astype(np.uint16) << (bits - 8))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_samples_are_as_bright_as_the_bits_that_they_use(tmp_path, name, bits):
    WRITERS[name](tmp_path / name, deep(bits))
    with open_slide(tmp_path / name) as slide:
        assert np.array_equal(whole(slide), PICTURE)
        assert [f"{bits} bits are used" in note for note in slide.notes] == ([] if bits == 16 else [True])


@pytest.mark.parametrize("tag", [281, 341])
def test_the_largest_sample_that_a_tag_states_counts_and_needs_no_word(tmp_path, tag):
    write_tiff(tmp_path / "a.tif", deep(12) // 8, extratags=[(tag, "H", 3, (4095,) * 3, True)], metadata=None)
    with open_slide(tmp_path / "a.tif") as slide:
        assert whole(slide).max() == 255 // 8
        assert not slide.notes


@pytest.mark.parametrize(("stated", "shown"), [(12, 255 // 8), (16, 255 // 2)])
def test_significant_bits_of_ome_count_unless_they_are_all(tmp_path, stated, shown):
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels DimensionOrder="XYCZT" '
        f'Type="uint16" SignificantBits="{stated}" SizeX="96" SizeY="64" SizeC="3" SizeZ="1" SizeT="1">'
        '<Channel SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    write_tiff(tmp_path / "a.ome.tif", deep(12) // 8, description=xml, metadata=None)  # reaches 510, of ten bits
    with open_slide(tmp_path / "a.ome.tif") as slide:
        assert whole(slide).max() == shown
        assert bool(slide.notes) is (stated == 16)


def test_slides_of_one_camera_are_shown_alike(tmp_path):
    for name, share in (("bright.tif", 1), ("dim.tif", 2)):
        write_tiff(tmp_path / name, deep(12) // share)
    with open_slide(tmp_path / "bright.tif") as bright, open_slide(tmp_path / "dim.tif") as dim:
        assert np.array_equal(whole(dim), whole(bright) // 2)


def test_a_giant_strip_is_converted_with_the_bits_that_it_uses(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (600, 500, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", deep(12, picture), photometric="rgb", rowsperstrip=600, compression="deflate")
    assert list(convert(tmp_path / "a.tif", tmp_path / "b.tif"))[-1] == 1.0
    with open_slide(tmp_path / "b.tif") as slide:
        assert np.array_equal(whole(slide), picture)


@pytest.mark.parametrize(("largest", "bits"), [(0, 8), (255, 8), (256, 10), (2000, 12), (4096, 14), (65535, 16)])
def test_a_depth_is_that_of_a_camera(largest, bits):
    assert depth_of(largest) == bits


# -- transparency


def with_alpha(opacity):
    alpha = np.full(PICTURE.shape[:2], 255, np.uint8)
    alpha[:20] = opacity
    return np.dstack([PICTURE, alpha])


def on_white(opacity):
    shown = PICTURE.astype(float)
    shown[:20] = shown[:20] * opacity / 255 + 255 - opacity
    return shown


TRANSPARENT = {
    **WRITERS,
    "pillow.png": lambda path, picture: Image.fromarray(picture).save(path),
    "pillow.tif": lambda path, picture: Image.fromarray(picture).save(path),
}


@pytest.mark.parametrize("opacity", [0, 100])
@pytest.mark.parametrize("name", TRANSPARENT)
def test_what_is_transparent_is_white(tmp_path, name, opacity):
    TRANSPARENT[name](tmp_path / name, with_alpha(opacity))
    with open_slide(tmp_path / name) as slide:
        assert slide.channels == 3
        assert np.abs(whole(slide) - on_white(opacity)).max() <= 0.5


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.png"])
def test_16_bit_colours_with_alpha_are_on_white(tmp_path, name):
    WRITERS[name](tmp_path / name, deep(16, with_alpha(0)) | 255)
    with open_slide(tmp_path / name) as slide:
        assert np.array_equal(whole(slide), on_white(0))


@pytest.mark.parametrize(("kind", "background"), [("unassalpha", 255), ("assocalpha", 255), ("unspecified", None)])
def test_the_extra_sample_of_a_tiff_is_opacity_where_it_says_so(tmp_path, kind, background):
    stored = with_alpha(0)
    stored[:20, :, :3] = 0 if kind == "assocalpha" else stored[:20, :, :3]
    write_tiff(tmp_path / "a.tif", stored, extrasamples=[kind])
    with open_slide(tmp_path / "a.tif") as slide:
        assert np.array_equal(whole(slide), PICTURE if background is None else on_white(0))


def test_a_premultiplied_colour_is_not_multiplied_again(tmp_path):
    stored = np.zeros((32, 32, 4), np.uint8) + np.array([50, 60, 70, 100], np.uint8)
    write_tiff(tmp_path / "a.tif", stored, extrasamples=["assocalpha"])
    with open_slide(tmp_path / "a.tif") as slide:
        assert whole(slide)[0, 0].tolist() == [205, 215, 225]


def test_grey_with_alpha_is_grey_on_white(tmp_path):
    grey = np.dstack([PICTURE[..., 0], with_alpha(0)[..., 3]])
    Image.fromarray(grey, "LA").save(tmp_path / "a.png")
    tifffile.imwrite(
        tmp_path / "a.tif", grey, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]
    )
    expected = PICTURE[..., 0].copy()
    expected[:20] = 255
    for name in ("a.png", "a.tif"):
        with open_slide(tmp_path / name) as slide:
            assert slide.channels == 1
            assert np.array_equal(whole(slide), expected)


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
def test_the_transparent_colour_of_a_png_is_white(tmp_path, mode):
    picture = Image.new(mode, (40, 30), 0)
    picture.save(tmp_path / "a.png", transparency=(0, 0, 0) if mode == "RGB" else 0)
    with open_slide(tmp_path / "a.png") as slide:
        assert whole(slide).min() == 255


def test_opaque_pixels_stay_as_they_are():
    assert over_white(PICTURE, np.full(PICTURE.shape[:2], 255, np.uint8)) is PICTURE


# -- what looks odd is told


@pytest.mark.parametrize(("level", "word"), [(10, "nearly black"), (250, "nearly white"), (128, "")])
@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_slide_that_is_nearly_black_or_white_is_told(tmp_path, name, level, word):
    Image.fromarray(np.full((300, 400, 3), level, np.uint8)).save(tmp_path / name)
    with open_slide(tmp_path / name) as slide:
        assert [text.partition(":")[0] for text in oddities(slide)] == ([word] if word else [])


def test_a_small_piece_of_tissue_on_glass_is_nothing_odd(tmp_path):
    picture = np.full((2000, 2000, 3), 245, np.uint8)
    picture[500:620, 500:620] = (150, 90, 160)
    write_tiff(tmp_path / "a.tif", picture)
    with open_slide(tmp_path / "a.tif") as slide:
        assert not oddities(slide)


def test_slides_with_the_same_oddity_are_named_together():
    found = {name: ["nearly black: no light"] for name in "abcde"} | {"f": []}
    assert grouped(found) == ["a, b, c and 2 more: nearly black: no light."]
