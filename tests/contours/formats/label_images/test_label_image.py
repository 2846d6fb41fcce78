"""Label images are read and written with their values unchanged."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.contours.formats.label_images.reader import decode_png, label_image_shape, read_label_image
from napari_pathseg.contours.formats.label_images.writer import write_label_image
from napari_pathseg.errors import AnnotationError, ProjectError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

COLORS = {"#96c896": 1, "#c80000": 2, "#323232": 3}
TABLE = np.array([[0, 0, 0], [0x96, 0xC8, 0x96], [0xC8, 0, 0], [0x32, 0x32, 0x32]], np.uint8)
MASK = np.random.default_rng(0).integers(0, 256, (60, 40), np.uint8)


def read_values(path, shape, colors=None):
    return read_label_image(path, shape, colors).values


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.TIFF", "a.bmp"])
def test_label_image_round_trips(tmp_path, name):
    write_label_image(tmp_path / name, MASK)
    assert np.array_equal(read_values(tmp_path / name, MASK.shape), MASK)


def test_large_tiff_mask_round_trips_with_its_pixel_size(tmp_path):
    large = np.tile(MASK, (15, 20))
    write_label_image(tmp_path / "a.tif", large, mpp=0.5)
    assert np.array_equal(read_values(tmp_path / "a.tif", large.shape), large)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages.first
        assert page.get_resolution("MICROMETER") == pytest.approx((2, 2))
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_bilevel_grey_palette_and_16_bit_images_give_their_values(tmp_path):
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
        found = read_values(tmp_path / name, MASK.shape)
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected[name.split(".")[0]]), name


def test_white_is_1_in_a_tiff_with_white_is_zero(tmp_path):
    Image.fromarray(MASK > 99).save(tmp_path / "a.tif", tiffinfo={262: 0}, compression="group4")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages.first.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    assert np.array_equal(read_values(tmp_path / "a.tif", MASK.shape), np.asarray(Image.open(tmp_path / "a.tif")))


def test_label_image_of_another_size_is_refused_with_both_sizes(tmp_path):
    write_label_image(tmp_path / "a.png", MASK)
    with pytest.raises(AnnotationError, match=r"a\.png is 60 x 40 pixels, its slide 60 x 41 \(rows x columns\)"):
        read_values(tmp_path / "a.png", (60, 41))


def test_file_that_is_not_a_label_image_is_refused(tmp_path):
    Image.fromarray(np.dstack([MASK, MASK, MASK + 1])).save(tmp_path / "colour.png")
    tifffile.imwrite(tmp_path / "float.tif", MASK / 2)
    tifffile.imwrite(tmp_path / "high.tif", np.full(MASK.shape, 256, np.uint16))
    tifffile.imwrite(tmp_path / "low.tif", np.full(MASK.shape, -1, np.int16))
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "text.tif").write_text("not an image")
    write_label_image(tmp_path / "whole.png", MASK)
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:500])
    for name, message in {
        "colour.png": "holds colours, not class numbers",
        "float.tif": "holds float64 values",
        "high.tif": "holds the number 256",
        "low.tif": "holds the number -1",
        "text.png": "is not a PNG or BMP image",
        "text.tif": "could not be read",
        "cut.png": "could not be read",
        "none.png": "does not exist",
    }.items():
        with pytest.raises(AnnotationError, match=message):
            read_values(tmp_path / name, MASK.shape)


def test_label_image_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"a\.jpg: masks are written as \.png"):
        write_label_image(tmp_path / "a.jpg", MASK)
    with pytest.raises(ProjectError, match="Create that folder first"):
        write_label_image(tmp_path / "none" / "a.png", MASK)


def narrow_png(path, bits, numbers):
    """Write a grey PNG of 1, 2 or 4 bits, which Pillow does not."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    high, wide = numbers.shape
    each = (numbers[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = b"".join(b"\0" + np.packbits(row.ravel()).tobytes() for row in each)
    head = struct.pack(">IIBBBBB", wide, high, bits, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_png_of_few_bits_gives_its_stored_values(tmp_path, bits):
    numbers = MASK % 2**bits
    narrow_png(tmp_path / "a.png", bits, numbers)
    assert np.array_equal(read_values(tmp_path / "a.png", MASK.shape), numbers)


def painted(path, labels, alpha=None):
    colors = TABLE[labels]
    pixels = colors if alpha is None else np.dstack([colors, alpha])
    if path.suffix == ".tif":
        extra = {} if alpha is None else {"extrasamples": ["unassalpha"]}
        tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate", **extra)
    else:
        Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_image_in_class_colours_gives_the_classes(tmp_path, name):
    painted(tmp_path / name, MASK % 4)
    image = read_label_image(tmp_path / name, MASK.shape, COLORS)
    assert image.are_classes
    assert np.array_equal(image.values, MASK % 4)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_transparent_pixel_has_no_class_whatever_its_colour(tmp_path, name):
    alpha = np.where(MASK > 99, 255, 0).astype(np.uint8)
    painted(tmp_path / name, MASK % 3 + 1, alpha)
    expected = np.where(alpha > 0, MASK % 3 + 1, 0)
    assert np.array_equal(read_values(tmp_path / name, MASK.shape, COLORS), expected)


def test_grey_class_colour_gives_its_class_and_other_greys_stay(tmp_path):
    painted(tmp_path / "a.png", np.where(MASK > 99, 3, 0))
    assert np.array_equal(read_values(tmp_path / "a.png", MASK.shape, COLORS), np.where(MASK > 99, 3, 0))
    Image.fromarray(np.dstack([MASK] * 3)).save(tmp_path / "grey.png")
    for name in ("grey.png", "plain.png"):
        Image.fromarray(MASK).save(tmp_path / "plain.png")
        image = read_label_image(tmp_path / name, MASK.shape, COLORS)
        assert not image.are_classes
        assert np.array_equal(image.values, MASK)


def with_palette(path, colors, labels):
    indexed = Image.fromarray(labels).convert("P")
    indexed.putpalette(np.asarray(colors, np.uint8).ravel().tolist())
    indexed.putdata(labels.ravel().tolist())
    indexed.save(path)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_palette_gives_classes_by_colour_or_else_its_indices(tmp_path, name):
    order = [2, 0, 1, 3]
    with_palette(tmp_path / name, TABLE[order], MASK % 4)
    assert np.array_equal(read_values(tmp_path / name, MASK.shape, COLORS), np.array(order)[MASK % 4])
    assert np.array_equal(read_values(tmp_path / name, MASK.shape), MASK % 4)
    with_palette(tmp_path / name, [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], MASK % 4)
    assert np.array_equal(read_values(tmp_path / name, MASK.shape, COLORS), MASK % 4)


def test_unknown_colours_are_named_with_their_pixel_counts(tmp_path):
    pixels = TABLE[MASK % 3]
    pixels[0, :7], pixels[1, :3], pixels[2, 0], pixels[2, 1] = (1, 2, 3), (255, 0, 0), (9, 9, 8), (9, 9, 7)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    message = r"a\.png holds colours .*: #010203 \(7 pixels\), #ff0000 \(3 pixels\), #0909\S+ \(1 pixels\) and 1 more\."
    with pytest.raises(AnnotationError, match=message):
        read_values(tmp_path / "a.png", MASK.shape, COLORS)
    with_palette(tmp_path / "palette.png", [*TABLE[1:3], [1, 2, 3]], np.minimum(MASK, 2))
    with pytest.raises(AnnotationError, match=rf"palette\.png .*: #010203 \({int((MASK > 1).sum()):,} pixels\)\. Give"):
        read_values(tmp_path / "palette.png", MASK.shape, COLORS)


def test_photograph_is_not_a_label_image(tmp_path):
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (60, 40, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(AnnotationError, match="more than 1,000 colours that no class has"):
        read_values(tmp_path / "a.png", MASK.shape, COLORS)


def test_mask_of_the_slide_is_read_among_several_in_a_tiff(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([MASK, MASK // 2]), photometric="minisblack")
    assert np.array_equal(read_values(tmp_path / "a.tif", MASK.shape), MASK)
    assert np.array_equal(read_label_image(tmp_path / "a.tif", MASK.shape, page=1).values, MASK // 2)
    with pytest.raises(AnnotationError, match=r"a\.tif has 2 masks, but its slide is number 3"):
        read_label_image(tmp_path / "a.tif", MASK.shape, page=2)
    write_label_image(tmp_path / "one.tif", MASK)
    assert np.array_equal(read_label_image(tmp_path / "one.tif", MASK.shape, page=2).values, MASK)


def test_16_bit_colours_are_refused_by_name(tmp_path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([MASK.astype(np.uint16)] * 3)))
    with pytest.raises(AnnotationError, match="holds 16-bit colours"):
        read_values(tmp_path / "a.png", MASK.shape, COLORS)


@pytest.mark.parametrize("present", [[1], [1, 2], [0, 2]])
def test_mask_in_class_colours_is_imported_by_its_colours(tmp_path, slides, present):
    """As a number, Background alone would mean the first class to find."""
    project = Project.create(tmp_path / "a.pathseg")
    labels = np.resize(np.array(present), (192, 192))
    painted(tmp_path / "case5.png", labels)
    add_slides(project, slides[5:], AddOptions(contours=tmp_path, partial=True))
    counts = project.counts("case5").sum(axis=1)
    assert [int(counts[index]) for index in (1, 2)] == [int((labels == index).sum()) for index in (1, 2)]


@pytest.mark.parametrize("tag", ["ImageWidth", "ImageLength"])
@pytest.mark.parametrize("entry", [struct.pack("<HII", 4, 1, 0), struct.pack("<HII", 2, 4, 65)], ids=["0", "text"])
def test_tiff_without_a_size_is_refused_in_a_sentence(tmp_path, tag, entry):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, MASK)
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages.first.tags[tag].offset
    content = bytearray(path.read_bytes())
    content[place + 2 : place + 12] = entry
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match=r"a\.tif (could not be read|has .* pixels)"):
        read_values(path, MASK.shape)
    with pytest.raises(AnnotationError, match=r"a\.tif (could not be read|has .* pixels)"):
        label_image_shape(path)


def test_png_in_memory_is_checked_before_it_is_decoded():
    def refuse(rows, columns):
        raise AnnotationError(f"{rows} x {columns}")

    with io.BytesIO() as file:
        Image.fromarray(MASK).save(file, "PNG")
        assert np.array_equal(decode_png(file.getvalue(), "a", lambda rows, columns: None), MASK > 0)
        with pytest.raises(AnnotationError, match="60 x 40"):
            decode_png(file.getvalue(), "a", refuse)
    with pytest.raises(AnnotationError, match="its mask is not a readable PNG image"):
        decode_png(b"", "a", refuse)
