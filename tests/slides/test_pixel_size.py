import struct

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.slides.pixel_size import mean_mpp, mpp_from_description, mpp_from_ome, mpp_from_scales, plausible
from napari_pathseg.slides.registry import open_slide

PHILIPS = """<?xml version="1.0"?><DataObject ObjectType="DPUfsImport"><Attribute Name="PIM_DP_SCANNED_IMAGES">
<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028">&quot;0.000243&quot; &quot;0.000247&quot;</Attribute>
<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028">"0.000486" "0.000494"</Attribute></DataObject>"""
VIPS = """<image><property><name>openslide.mpp-x</name><value type="VipsRefString">0.499</value></property>
<property><name>openslide.mpp-y</name><value type="VipsRefString">0.501</value></property></image>"""

PICTURE = np.zeros((32, 48, 3), np.uint8)


def mpp_of(path, **options):
    tifffile.imwrite(path, PICTURE, photometric="rgb", **({"metadata": None} | options))
    with open_slide(path) as slide:
        return slide.mpp


@pytest.mark.parametrize(
    ("description", "mpp"),
    [
        ("Aperio Image Library v11|AppMag = 20|MPP = 0.4990|Left = 25", 0.499),
        ("Aperio Image Library v11|MPP = 0,2520", 0.252),
        ("Aperio Image Library v11|AppMag = 20", None),
        ("Aperio Image Library v11|MPP = 0", None),
        (PHILIPS, 0.243),
        (VIPS, 0.5),
        ("a note", None),
    ],
)
def test_scanners_say_the_pixel_size_in_their_descriptions(description, mpp):
    assert mpp_from_description(description) == (None if mpp is None else pytest.approx(mpp))


def test_a_slide_takes_what_its_description_says(tmp_path):
    assert mpp_of(tmp_path / "a.tif", description=VIPS) == pytest.approx(0.5)
    resolution = {"resolution": (40_000, 40_000), "resolutionunit": "CENTIMETER"}
    description = "Aperio Image Library|MPP = 0.5"
    assert mpp_of(tmp_path / "b.svs", description=description, tile=(16, 16), **resolution) == 0.5


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [
        ((40_000, 40_000), "CENTIMETER", 0.25),
        ((40_000, 20_000), "CENTIMETER", 0.375),
        ((50_800, 50_800), "INCH", 0.5),
        ((4_000, 4_000), "MILLIMETER", 0.25),
        ((2, 2), "MICROMETER", 0.5),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((1, 1), "CENTIMETER", None),
        ((1, 1), "NONE", None),
    ],
)
def test_resolution_tags_count_where_they_are_plausible(tmp_path, resolution, unit, mpp):
    found = mpp_of(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit)
    assert found == (None if mpp is None else pytest.approx(mpp))


def test_olympus_says_it_in_metres_in_a_tag_of_its_own(tmp_path):
    # As tifffile reads it: a header with one entry, whose offset in the file leads to an exponent and two sizes.
    header = struct.pack("<4s6xhhhhh6x32sH", b"SIS0", 0, 0, 1, 0, 99, b"", 1) + struct.pack("<hhI", 1, 1, 0xABCDEF)
    sizes = struct.pack("<10xhdd8xd2x34s32s", -6, 0.4, 0.6, 20.0, b"", b"")
    path = tmp_path / "a.tif"
    mpp_of(path, extratags=[(33560, "B", len(header + sizes), header + sizes, True)])
    content = path.read_bytes()
    start = content.index(b"SIS0") + len(header)
    path.write_bytes(content.replace(struct.pack("<I", 0xABCDEF), struct.pack("<I", start)))
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.5)


@pytest.mark.parametrize("unit", ["µm", "um", "nm", "mm"])
def test_ome_gives_both_directions_in_a_unit(unit):
    scale = {"nm": 1e3, "mm": 1e-3}.get(unit, 1)
    xml = (
        f'<Pixels PhysicalSizeX="{0.2 * scale}" PhysicalSizeXUnit="{unit}" '
        f'PhysicalSizeY="{0.3 * scale}" PhysicalSizeYUnit="{unit}"/>'
    )
    assert mpp_from_ome(f"<OME><Image>{xml}</Image></OME>") == pytest.approx(0.25)


def test_ome_that_says_nothing_or_of_another_picture_is_none():
    xml = '<OME><Image><Pixels/></Image><Image><Pixels PhysicalSizeX="0.5"/></Image></OME>'
    assert [mpp_from_ome(xml, picture) for picture in range(3)] == [None, 0.5, None]


@pytest.mark.parametrize(("mpp", "kept"), [(0.05, True), (20, True), (0.049, False), (20.1, False), (0, False)])
def test_a_pixel_size_lies_in_what_microscopes_make(mpp, kept):
    assert (plausible(mpp) is not None) is kept
    assert (mean_mpp(mpp) is not None) is kept


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -0.5])
def test_numbers_that_are_no_sizes_count_as_not_said(number):
    assert plausible(number) is mean_mpp(number, 0.5 * np.sign(number)) is None


def test_a_size_that_is_said_once_counts_alone():
    assert mean_mpp("0.25", None) == mean_mpp(None, 0.25) == 0.25
    assert mean_mpp(None, None) is None
    assert mpp_from_scales([(250, "nanometer"), (0.25, "micrometer")]) == 0.25
    assert mpp_from_scales([(0.25, "furlong")]) is None


def test_the_pixel_size_comes_from_ome_in_its_unit(tmp_path):
    path = tmp_path / "slide.ome.tif"
    metadata = {"axes": "YXS", "PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
    tifffile.imwrite(path, PICTURE, photometric="rgb", metadata=metadata)
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.25)


@pytest.mark.shared_data
def test_pixel_size_comes_from_aperio(shared):
    with open_slide(shared / "data/slides_small/CMU-1-Small-Region.svs") as slide:
        assert slide.mpp == pytest.approx(0.499)


def test_the_pixel_size_comes_from_imagej(tmp_path):
    path = tmp_path / "fiji.tif"
    tifffile.imwrite(path, PICTURE[..., 0], imagej=True, resolution=(2.0, 2.0), metadata={"unit": "micron"})
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.5)


@pytest.mark.parametrize("dpi", [1, 72, 96, 300, 600])
def test_a_resolution_of_screens_and_printers_is_no_pixel_size(tmp_path, dpi):
    tifffile.imwrite(tmp_path / "a.tif", PICTURE, photometric="rgb", resolution=(dpi, dpi), resolutionunit="INCH")
    Image.fromarray(PICTURE).save(tmp_path / "a.png", dpi=(dpi, dpi))
    for name in ("a.tif", "a.png"):
        with open_slide(tmp_path / name) as slide:
            assert slide.mpp is None
