"""TIFF slides: stacks, orientation, YCbCr, limits.  What is common to all slides is in test_slide.py."""

import os
import struct

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from slide_helpers import whole

from napari_pathseg.contours.formats.label_images.reader import label_image_shape, read_label_image
from napari_pathseg.errors import AnnotationError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.slides.orientation import exif_orientation, orientation_of
from napari_pathseg.slides.registry import count_pages, open_slide

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

PAGES = np.random.default_rng(1).integers(0, 256, (5, 60, 90)).astype(np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (70, 50, 3)).astype(np.uint8)


def write_ome(path):
    tifffile.imwrite(path, PAGES, metadata={"axes": "ZYX"})


def write_with_pillow(path):
    first, *others = map(Image.fromarray, PAGES)
    first.save(path, save_all=True, append_images=others)


def write_pyramids(path):
    """Each channel of the stack has a level of its own below it, as OME-TIFF has them."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(PAGES, subifds=1, metadata={"axes": "CYX"}, tile=(16, 16), photometric="minisblack")
        writer.write(PAGES[:, ::2, ::2], subfiletype=1, tile=(16, 16), photometric="minisblack")


WRITERS = {
    "plain.tif": lambda path: tifffile.imwrite(path, PAGES),
    "imagej.tif": lambda path: tifffile.imwrite(path, PAGES, imagej=True),
    "pillow.tif": write_with_pillow,
    "a.ome.tif": write_ome,
    "pyramids.ome.tif": write_pyramids,
}


@pytest.mark.parametrize("name", WRITERS)
def test_each_page_of_a_stack_is_a_slide(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert count_pages(tmp_path / name) == len(PAGES)
    for index, pixels in enumerate(PAGES):
        with open_slide(tmp_path / name, index) as slide:
            assert slide.page == index
            assert np.array_equal(whole(slide), pixels)
    with pytest.raises(
        UnsupportedSlideError, match=r"5 pages .* each is a slide of its own; name one with page=0 to 4"
    ):
        open_slide(tmp_path / name)
    for absent in (-1, 5):
        with pytest.raises(UnsupportedSlideError, match=f"it has no page {absent}; its pages are 0 to 4"):
            open_slide(tmp_path / name, absent)


def test_channel_of_a_pyramid_keeps_its_levels(tmp_path):
    write_pyramids(tmp_path / "a.ome.tif")
    with open_slide(tmp_path / "a.ome.tif", 3) as slide:
        assert [level.shape for level in slide.levels] == [(60, 90), (30, 45)]
        assert np.array_equal(slide.read_level(1, Region(0, 0, 30, 45)), PAGES[3, ::2, ::2])


def test_single_image_is_page_0(tmp_path):
    for name in ("a.tif", "a.png"):
        Image.fromarray(COLOUR).save(tmp_path / name)
        assert count_pages(tmp_path / name) == 1
        with open_slide(tmp_path / name) as slide, open_slide(tmp_path / name, 0) as same:
            assert slide.page is None
            assert np.array_equal(whole(slide), whole(same))
        with pytest.raises(UnsupportedSlideError, match="it has no page 1"):
            open_slide(tmp_path / name, 1)


def test_pages_of_different_sizes_are_a_stack(tmp_path):
    path = tmp_path / "odd.tif"
    with tifffile.TiffWriter(path) as writer:
        for pixels in (PAGES[0], PAGES[1, :, :50], PAGES[2, :33]):
            writer.write(pixels, metadata=None)
    assert count_pages(path) == 3
    with open_slide(path, 1) as slide:
        assert np.array_equal(whole(slide), PAGES[1, :, :50])


def test_tiff_without_an_image_is_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "float.tif", PAGES.astype(np.float32))
    tifffile.imwrite(tmp_path / "one.tif", PAGES, truncate=True)
    volume = np.zeros((32, 64, 64), np.uint8)
    tifffile.imwrite(tmp_path / "depth.tif", volume, volumetric=True, tile=(16, 16, 16), photometric="minisblack")
    reasons = {
        "float.tif": "floating-point numbers of 32 bits",
        "one.tif": "a volume of 5 x 60 x 90 samples",
        "depth.tif": "a volume of 32 planes",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnsupportedSlideError, match=f"{name}.*{reason}"):
            open_slide(tmp_path / name, 0)


def test_file_whose_pages_cannot_be_counted_is_named(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, PAGES)
    path.write_bytes(path.read_bytes()[:7])
    with pytest.raises(UnsupportedSlideError, match=r"pages of .*cut\.tif could not be counted"):
        count_pages(path)
    with pytest.raises(UnsupportedSlideError, match=r"gone\.tif does not exist"):
        count_pages(tmp_path / "gone.tif")


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("options", [{"tile": (16, 32)}, {"rowsperstrip": 7}], ids=["tiles", "strips"])
def test_orientation_tag_turns_the_image_as_pillow_does(tmp_path, orientation, options):
    path = tmp_path / "turned.tif"
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(path, COLOUR, photometric="rgb", metadata=None, extratags=tags, **options)
    exif = Image.Exif()
    exif[274] = orientation
    upright = Image.fromarray(COLOUR)
    upright.info["exif"] = exif.tobytes()
    expected = np.asarray(ImageOps.exif_transpose(upright))
    with open_slide(path) as slide:
        assert slide.shape == expected.shape[:2]
        assert np.array_equal(whole(slide), expected)
        assert np.array_equal(slide.read(Region(11, 5, 23, 31)), expected[11:34, 5:36])
        assert slide.read(Region(0, 0, 5, 5)).flags["C_CONTIGUOUS"]


@settings(max_examples=60 * FUZZ, deadline=None)
@given(st.integers(0, 9), st.data())
def test_region_of_a_turned_image_is_the_turned_stored_region(tag, data):
    orientation = orientation_of(tag)
    seen = orientation.apply(PAGES[0])
    assert seen.shape == orientation.shape(PAGES[0].shape)
    top, left = (data.draw(st.integers(0, size - 1)) for size in seen.shape)
    box = Region(
        top, left, data.draw(st.integers(1, seen.shape[0] - top)), data.draw(st.integers(1, seen.shape[1] - left))
    )
    stored = orientation.stored_box(box, PAGES[0].shape)
    assert np.array_equal(orientation.apply(PAGES[0][stored.slices]), seen[box.slices])


@settings(max_examples=60 * FUZZ, deadline=None)
@given(st.binary(max_size=60), st.sampled_from([b"Exif\0\0II*\0", b"MM\0*", b""]))
def test_damaged_exif_block_turns_nothing_or_a_known_way(block, begin):
    assert exif_orientation(begin + block).shape((2, 3)) in ((2, 3), (3, 2))


@pytest.mark.parametrize("compression", [None, "lzw", "deflate", "packbits", "zstd"])
@pytest.mark.parametrize(("across", "down"), [(1, 1), (2, 1), (2, 2), (4, 4)])
def test_ycbcr_without_jpeg_is_read_as_colour(tmp_path, compression, across, down):
    path, smooth = tmp_path / "ycbcr.tif", np.full((32, 48, 3), (200, 90, 140), np.uint8)
    smooth[:16, :32] = (60, 120, 30)
    stored = np.asarray(Image.fromarray(smooth).convert("YCbCr"))
    luma = stored[..., 0].reshape(32 // down, down, 48 // across, across).swapaxes(1, 2)
    luma = luma.reshape(32 // down, 48 // across, -1)
    units = np.concatenate([luma, stored[::down, ::across, 1:]], axis=-1)
    # Written as grey of as many bytes in one strip, then called YCbCr.
    flat = units.reshape(1, -1)
    tifffile.imwrite(path, flat, photometric="minisblack", compression=compression, metadata=None, rowsperstrip=1,
                     extratags=[(530, "H", 2, (across, down), True)])  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tags = tiff.pages.first.tags
        for name, value in (("ImageWidth", 48), ("ImageLength", 32), ("RowsPerStrip", 32)):
            tags[name].overwrite(value)
        tags["PhotometricInterpretation"].overwrite(6)
        tags["SamplesPerPixel"].overwrite(3)
        tags["BitsPerSample"].overwrite((8, 8, 8))
    with open_slide(path) as slide:
        assert slide.channels == 3
        assert np.abs(whole(slide).astype(int) - smooth).max() <= 3


def test_too_large_a_byte_count_matters_only_if_compressed(tmp_path):
    path = tmp_path / "counts.tif"
    tifffile.imwrite(path, COLOUR, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages.first.tags["StripByteCounts"].overwrite(1 << 30)
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), COLOUR)


def test_large_strip_is_read_if_the_caller_allows_it(tmp_path):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, np.zeros((2000, 1000), np.uint8), rowsperstrip=2000, compression="deflate")
    with pytest.raises(UnsupportedSlideError, match=r"large\.tif.*each of which needs more than 1 MiB; convert it"):
        open_slide(path, max_chunk_bytes=1 << 20)
    with open_slide(path, max_chunk_bytes=2_000_000) as slide:
        assert not slide.read(Region(1990, 0, 10, 1000)).any()


def test_tiles_that_overlap_are_left_to_openslide(tmp_path):
    path = tmp_path / "a.bif"
    tags = [(700, "B", 8, b"<iScan/>", True)]
    tifffile.imwrite(path, COLOUR, photometric="rgb", tile=(16, 16), software="Ventana", metadata=None, extratags=tags)
    with pytest.raises(UnsupportedSlideError, match=r"a\.bif.*its tiles overlap, and only OpenSlide can stitch them"):
        open_slide(path)


@pytest.mark.parametrize("tag", ["ImageWidth", "RowsPerStrip", "BitsPerSample", "StripOffsets", "StripByteCounts"])
@pytest.mark.parametrize("kind", [2, 5, 7, 12, 16], ids=["text", "ratio", "bytes", "double", "64 bits"])
def test_tag_of_a_wrong_type_is_read_or_refused_in_a_sentence(tmp_path, tag, kind):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((20, 30), 7, np.uint8), rowsperstrip=10)
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages.first.tags[tag].offset
    content = bytearray(path.read_bytes())
    content[entry + 2 : entry + 4] = kind.to_bytes(2, "little")
    path.write_bytes(content)
    refusal = "a.tif could not be"
    try:
        with open_slide(path) as slide:
            slide.thumbnail()
    except UnsupportedSlideError as error:
        refusal = str(error)
    assert "a.tif could not be" in refusal


def test_tag_that_lists_text_instead_of_offsets_is_named(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.full((20, 30), 7, np.uint8), rowsperstrip=10)
    with tifffile.TiffFile(path) as tiff:
        entry = tiff.pages.first.tags["StripOffsets"].offset
    content = bytearray(path.read_bytes())
    content[entry + 2 : entry + 4] = b"\7\0"
    path.write_bytes(content)
    with pytest.raises(UnsupportedSlideError, match="its tag dataoffsets lists no positions in a file; copy it again"):
        open_slide(path)


def directories(count):
    """Return a TIFF of `count` image file directories, each of one pixel."""
    tags = [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1)]
    body = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    size = len(body) + 4
    parts = [body + struct.pack("<I", 8 + number * size if number < count else 0) for number in range(1, count + 1)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(parts)


def test_file_of_a_million_pages_is_refused_at_once(tmp_path):
    path = tmp_path / "pages.tif"
    path.write_bytes(directories(100_000))
    with pytest.raises(UnsupportedSlideError, match="has more than 20,000 pages"):
        count_pages(path)
    with pytest.raises(AnnotationError, match="has more than 20,000 pages"):
        label_image_shape(path)


@pytest.mark.parametrize("pages", [1, 2, 3, 99, 150])
def test_pages_that_lead_back_to_the_first_are_read_or_refused(tmp_path, pages):
    path = tmp_path / "loop.tif"
    tags = [(270, "s", 9, "damaged", False)]  # tifffile looks at each page of such a file
    with tifffile.TiffWriter(path) as writer:
        for number in range(pages):
            side = 16 + 16 * (number % 2)
            writer.write(COLOUR[:side, :side], photometric="rgb", metadata=None, extratags=tags, contiguous=False)
    with tifffile.TiffFile(path) as tiff:
        offsets = [page.offset for page in tiff.pages]
    content = bytearray(path.read_bytes())
    (count,) = struct.unpack_from("<H", content, offsets[-1])
    struct.pack_into("<I", content, offsets[-1] + 2 + 12 * count, offsets[0])
    path.write_bytes(content)
    if pages < 100:
        assert 1 <= count_pages(path) <= pages
        return
    with pytest.raises(UnsupportedSlideError, match="the last of its 150 pages leads back to another"):
        count_pages(path)
    with pytest.raises(AnnotationError, match="leads back"):
        label_image_shape(path)


def with_entry(path, tag, entry):
    """Replace the type, count and value of a tag."""
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.tags[tag].offset
    content = bytearray(path.read_bytes())
    content[place + 2 : place + 12] = entry
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["grey", "palette"])
@pytest.mark.parametrize("entry", [struct.pack("<HIf", 11, 1, 3.0), struct.pack("<HII", 4, 1, 2**32 - 1)])
def test_number_of_samples_that_is_a_fraction_or_huge_is_refused_in_a_sentence(tmp_path, kind, entry):
    path = tmp_path / "a.tif"
    options = {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)} if kind == "palette" else {}
    tifffile.imwrite(path, np.full((20, 30), 7, np.uint8), **options)
    with_entry(path, "SamplesPerPixel", entry)
    with pytest.raises(UnsupportedSlideError, match=r"a\.tif could not be opened as a slide"):
        open_slide(path)
    with pytest.raises(AnnotationError, match=r"a\.tif could not be read"):
        read_label_image(path, (20, 30))


@pytest.mark.parametrize(
    ("tag", "value", "message"),
    [
        ("YCbCrSubSampling", None, "its YCbCr subsampling is"),
        ("ReferenceBlackWhite", (532, 5, 6, (9, 1) * 6, True), "the range or the coefficients of its YCbCr are 0"),
        ("YCbCrCoefficients", (529, 5, 3, (0, 1) * 3, True), "the range or the coefficients of its YCbCr are 0"),
    ],
)
def test_ycbcr_that_cannot_be_turned_into_colours_is_refused_in_a_sentence(tmp_path, tag, value, message):
    path = tmp_path / "a.tif"
    extratags = [] if value is None else [value]
    tifffile.imwrite(path, COLOUR, photometric="ycbcr", subsampling=(1, 1), metadata=None, extratags=extratags)
    if value is None:
        with_entry(path, tag, struct.pack("<HIHH", 3, 1, 2, 0))
    with open_slide(path) as slide, pytest.raises(UnsupportedSlideError, match=message):
        whole(slide)


@pytest.mark.parametrize("reader", [open_slide, lambda path: read_label_image(path, (20, 30))])
def test_palette_of_fractions_is_refused_in_a_sentence(tmp_path, reader):
    path = tmp_path / "a.tif"
    colours = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, np.full((20, 30), 7, np.uint8), photometric="palette", colormap=colours)
    with_entry(path, "ColorMap", struct.pack("<HII", 11, 768, 8))
    with pytest.raises((UnsupportedSlideError, AnnotationError), match=r"a\.tif could not be .*palette"):
        reader(path)


@pytest.mark.parametrize("compression", ["png", "webp", "jpegxl", "jpegxr", "jpeg2000", "lerc", "zstd", "lzma"])
@pytest.mark.parametrize("colour", [True, False], ids=["colour", "grey"])
def test_every_codec_is_read_as_tifffile_reads_it(tmp_path, compression, colour):
    pixels = COLOUR if colour else COLOUR[..., 0]
    if compression == "webp" and not colour:
        pytest.skip("WebP has no grey")
    path = tmp_path / "a.tif"
    arguments = {"lossless": True} if compression == "webp" else {"level": 100} if compression == "jpegxr" else {}
    tifffile.imwrite(path, pixels, photometric="rgb" if colour else "minisblack", compression=compression,
                     compressionargs=arguments, tile=(32, 32))  # fmt: skip
    with open_slide(path) as slide:
        assert np.array_equal(whole(slide), tifffile.imread(path))
