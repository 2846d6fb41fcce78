import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.errors import ConfigError
from napari_pathseg.slides.pixel_size import (
    PixelSize,
    check_pixel_size,
    micrometres,
    pixel_size,
    pixel_size_from_description,
    pixel_size_from_scales,
    plausible,
)
from napari_pathseg.slides.registry import open_slide

PHILIPS = """<?xml version="1.0"?><DataObject ObjectType="DPUfsImport"><Attribute Name="PIM_DP_SCANNED_IMAGES">
<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028">&quot;0.000243&quot; &quot;0.000247&quot;</Attribute>
<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028">"0.000486" "0.000494"</Attribute></DataObject>"""
VIPS = """<image><property><name>openslide.mpp-x</name><value type="VipsRefString">0.499</value></property>
<property><name>openslide.mpp-y</name><value type="VipsRefString">0.501</value></property></image>"""

IMAGE = np.zeros((32, 48, 3), np.uint8)


def mpp_of(path, **options):
    tifffile.imwrite(path, IMAGE, photometric="rgb", **({"metadata": None} | options))
    with open_slide(path) as slide:
        return slide.mpp


@pytest.mark.parametrize(
    ("description", "mpp"),
    [
        ("Aperio Image Library v11|AppMag = 20|MPP = 0.4990|Left = 25", 0.499),
        ("Aperio Image Library v11|MPP = 0,2520", 0.252),
        ("Aperio Image Library v11|AppMag = 20", None),
        ("Aperio Image Library v11|MPP = 0", None),
        (PHILIPS, (0.243 * 0.247) ** 0.5),
        (VIPS, (0.499 * 0.501) ** 0.5),
        ("a note", None),
    ],
)
def test_pixel_size_is_read_from_the_descriptions_of_scanners(description, mpp):
    size = pixel_size_from_description(description)
    assert (size and size.mpp) == (None if mpp is None else pytest.approx(mpp))


def test_philips_gives_rows_before_columns():
    assert pixel_size_from_description(PHILIPS) == pytest.approx((0.247, 0.243))


def test_slide_uses_the_pixel_size_of_its_description(tmp_path):
    assert mpp_of(tmp_path / "a.tif", description=VIPS) == pytest.approx(0.5, abs=1e-4)
    resolution = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
    description = "Aperio Image Library|MPP = 0.5"
    assert mpp_of(tmp_path / "b.svs", description=description, tile=(16, 16), **resolution) == 0.5


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [
        ((40_000, 40_000), "CENTIMETER", 0.25),
        ((40_000, 20_000), "CENTIMETER", 0.125**0.5),
        ((50_800, 50_800), "INCH", 0.5),
        ((4_000, 4_000), "MILLIMETER", 0.25),
        ((2, 2), "MICROMETER", 0.5),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((1, 1), "CENTIMETER", None),
        ((1, 1), "NONE", None),
    ],
)
def test_resolution_tags_count_if_they_are_plausible(tmp_path, resolution, unit, mpp):
    found = mpp_of(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit)
    assert found == (None if mpp is None else pytest.approx(mpp))


def test_pixel_size_comes_from_the_tag_of_olympus_in_metres(tmp_path):
    # As tifffile reads it: a header with one entry, whose offset in the file leads to an exponent and two sizes.
    header = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 0, 99, b"", 1) + struct.pack("<hhI", 1, 1, 0xABCDEF)
    sizes = struct.pack("<10xhdd8xd2x34s32s", -6, 0.4, 0.6, 20.0, b"", b"")
    path = tmp_path / "a.tif"
    mpp_of(path, extratags=[(33560, "B", len(header + sizes), header + sizes, True)])
    content = path.read_bytes()
    start = content.index(b"SIS0") + len(header)
    path.write_bytes(content.replace(struct.pack("<I", 0xABCDEF), struct.pack("<I", start)))
    with open_slide(path) as slide:
        assert slide.pixel_size == pytest.approx((0.4, 0.6))


@pytest.mark.parametrize(("mpp", "is_plausible"), [(0.05, True), (20, True), (0.049, False), (20.1, False), (0, False)])
def test_pixel_size_outside_the_range_of_microscopes_is_ignored(mpp, is_plausible):
    assert (plausible(mpp) is not None) is is_plausible
    assert (pixel_size(mpp, mpp) is not None) is is_plausible


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.5])
def test_number_that_is_not_a_size_is_ignored(number):
    assert plausible(number) is pixel_size(number, 0.5) is pixel_size(0.5, number) is None


def test_pixel_size_of_one_direction_counts_for_both():
    assert pixel_size("0.25", None) == pixel_size(None, 0.25) == (0.25, 0.25)
    assert pixel_size(None, None) is None
    assert pixel_size_from_scales((250, "nanometer"), (0.25, "micrometer")) == (0.25, 0.25)
    assert pixel_size_from_scales((0.25, "furlong"), (0.25, "furlong")) is None


@pytest.mark.parametrize(
    ("unit", "length"),
    [
        *(("µm", 1), ("\u03bcm", 1), ("um", 1), ("micrometer", 1), ("micrometre", 1), ("micron", 1)),
        *(("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6), ("Å", 1e-4), ("angstrom", 1e-4), ("pm", 1e-6)),
        *(("in", 25_400), ("thou", 25.4), ("li", 25_400 / 12), ("pt", 25_400 / 72), ("ft", 304_800)),
        *(("Mm", 1e12), ("nanometer", 1e-3), ("millimeter", 1e3), ("inch", 25_400), ("km", 1e9)),
    ],
)
def test_units_of_ome_have_their_length(unit, length):
    assert micrometres(unit) == pytest.approx(length)


@pytest.mark.parametrize("unit", ["pixel", "reference frame", "furlong", "", "MM"])
def test_what_is_no_unit_of_length_is_none(unit):
    assert micrometres(unit) is None


def test_pixels_of_a_scanners_tolerance_are_square_and_others_keep_their_area():
    assert PixelSize(0.25, 0.252).is_square
    assert not PixelSize(0.5, 1.0).is_square
    assert PixelSize(0.5, 1.0).mpp ** 2 == pytest.approx(0.5)


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), 101.0])
def test_a_size_given_by_a_person_has_limits(mpp):
    with pytest.raises(ConfigError, match="it must lie between"):
        check_pixel_size(mpp)


def test_pixel_size_comes_from_ome_in_its_unit(tmp_path):
    path = tmp_path / "slide.ome.tif"
    metadata = {"axes": "YXS", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(path, IMAGE, photometric="rgb", metadata=metadata)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.25)


@pytest.mark.shared_data
def test_pixel_size_comes_from_aperio(shared):
    with open_slide(shared / "data/slides_small/CMU-1-Small-Region.svs") as slide:
        assert slide.mpp == pytest.approx(0.499)


def test_pixel_size_comes_from_imagej(tmp_path):
    path = tmp_path / "fiji.tif"
    tifffile.imwrite(path, IMAGE[..., 0], imagej=True, resolution=(2.0, 2.0), metadata={"unit": "micron"})
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.5)


@pytest.mark.parametrize("dpi", [1, 72, 96, 300, 600])
def test_resolution_of_screens_and_printers_is_not_a_pixel_size(tmp_path, dpi):
    tifffile.imwrite(tmp_path / "a.tif", IMAGE, photometric="rgb", resolution=(dpi, dpi), resolutionunit="INCH")
    Image.fromarray(IMAGE).save(tmp_path / "a.png", dpi=(dpi, dpi))
    for name in ("a.tif", "a.png"):
        with open_slide(tmp_path / name) as slide:
            assert slide.mpp is None
