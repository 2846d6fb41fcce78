"""OME-XML as a parser reads it: quotes, references, namespaces, units, several images, hostile text."""

import numpy as np
import pytest
import tifffile

from napari_pathseg.contours.formats.label_images.writer import write_label_pyramid
from napari_pathseg.slides.channels import Channel
from napari_pathseg.slides.ome import read_ome
from napari_pathseg.slides.registry import open_slide

OME = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def size_of(xml, image=0):
    return read_ome(xml)[image].pixel_size


@pytest.mark.parametrize("unit", ["µm", "&#181;m", "&#xB5;m", "&#956;m", "um", "\n\tµm "])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quotes_and_character_references_mean_the_same(unit, quote):
    sizes = "".join(f" PhysicalSize{axis}=~0.25~ PhysicalSize{axis}Unit=~{unit}~" for axis in "XY")
    xml = f"<OME {OME}><Image><Pixels{sizes}/></Image></OME>".replace("~", quote)
    assert size_of(xml) == (0.25, 0.25)


@pytest.mark.parametrize("prefix", ["", "OME:", "ome:"])
def test_a_namespace_may_have_a_prefix(prefix):
    xml = f"<{prefix}OME><{prefix}Image><{prefix}Pixels PhysicalSizeX='0.5'/></{prefix}Image></{prefix}OME>"
    assert size_of(xml) == (0.5, 0.5)


@pytest.mark.parametrize("unit", ["µm", "nm", "mm", "Å", "in"])
def test_both_directions_have_a_unit(unit):
    length = {"µm": 1, "nm": 1e-3, "mm": 1e3, "Å": 1e-4, "in": 25_400}[unit]
    sizes = (
        f'PhysicalSize{axis}="{size / length}" PhysicalSize{axis}Unit="{unit}"'
        for axis, size in (("X", 0.2), ("Y", 0.3))
    )
    assert size_of(f"<OME><Image><Pixels {' '.join(sizes)}/></Image></OME>") == pytest.approx((0.2, 0.3))


def test_a_pixel_or_a_reference_frame_is_no_length():
    for unit in ("pixel", "reference frame"):
        assert size_of(f"<OME><Image><Pixels PhysicalSizeX='1' PhysicalSizeXUnit='{unit}'/></Image></OME>") is None


def test_comments_and_other_elements_say_nothing():
    xml = (
        "<OME><!-- <Pixels PhysicalSizeX='9'/> --><Image><Description>&lt;Pixels PhysicalSizeX='8'/></Description>"
        "<Pixels/></Image><Image><Pixels PhysicalSizeX='0.5'/></Image></OME>"
    )
    assert [image.pixel_size for image in read_ome(xml)] == [None, (0.5, 0.5)]


def test_what_stands_before_a_damage_counts():
    assert size_of("<OME><Image><Pixels PhysicalSizeX='0.5'/></Image><Image") == (0.5, 0.5)
    assert read_ome("no XML") == read_ome("") == []


def test_a_document_type_is_refused():
    bomb = (
        '<!DOCTYPE OME [<!ENTITY a "0.5"><!ENTITY b "&a;&a;">]><OME><Image><Pixels PhysicalSizeX="&b;"/></Image></OME>'
    )
    assert read_ome(bomb) == []


def test_channels_have_names_colours_and_fluorophores():
    xml = (
        '<OME><Image><Pixels SignificantBits="12"><Channel Name="Red" Color="-16776961"/><Channel Color="65535"/>'
        '<Channel Name="DAPI" EmissionWavelength="461"/></Pixels></Image></OME>'
    )
    (image,) = read_ome(xml)
    assert image.significant_bits == 12
    assert image.channels == (Channel("Red", 0xFF0000), Channel("", 0x0000FF), Channel("DAPI", None, True))


@pytest.mark.parametrize("unit", ["µm", "&#181;m"])
def test_a_slide_has_the_size_that_its_ome_gives(tmp_path, unit):
    xml = (
        f"<OME {OME}><Image><Pixels SizeX='48' SizeY='32' SizeC='3' SizeZ='1' SizeT='1' Type='uint8' "
        f"DimensionOrder='XYCZT' PhysicalSizeX='0.25' PhysicalSizeXUnit='{unit}' PhysicalSizeY='0.25' "
        f"PhysicalSizeYUnit='{unit}'><Channel SamplesPerPixel='3'/><TiffData/></Pixels></Image></OME>"
    )
    path, pixels = tmp_path / "a.ome.tif", np.zeros((32, 48, 3), np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", description=xml.encode(), metadata=None)
    with open_slide(path) as slide:
        assert slide.mpp == 0.25


def test_a_label_pyramid_of_ours_keeps_its_pixel_size(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_label_pyramid(path, np.ones((1500, 1200), np.uint8), 0.9765, ["Background", "Tumour"])
    with open_slide(path) as slide:
        assert slide.mpp == pytest.approx(0.9765)
        assert [level.shape for level in slide.levels] == [(1500, 1200), (750, 600)]
