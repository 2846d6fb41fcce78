"""Layers of ImageScope and HALO are read as contours with holes, and contours written as layers."""

from xml.etree import ElementTree

import numpy as np
import pytest
import shapely

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

SQUARE = "0,0 60,0 60,60 0,60 0,0"
INNER = "10,10 20,10 20,20 10,20"


def regions(*content, tag="Vertex"):
    """Return the XML of regions, by type, sign and points."""
    text = ""
    for kind, negative, points in content:
        pairs = [point.split(",") for point in points.split()]
        vertices = "".join(f'<{tag} X="{x}" Y="{y}"/>' for x, y in pairs)
        text += f'<Region Id="1" Type="{kind}" NegativeROA="{negative}"><Vertices>{vertices}</Vertices></Region>'
    return f"<Regions><RegionAttributeHeaders/>{text}</Regions>"


@pytest.fixture
def layers(tmp_path):
    """Write a file of layers: name, colour and regions."""

    def write(*content, name="case.xml"):
        text = "".join(
            f'<Annotation Name="{layer}" LineColor="{color}">{inside}</Annotation>' for layer, color, inside in content
        )
        (tmp_path / name).write_text(f"<Annotations MicronsPerPixel='0.5'>{text}</Annotations>")
        return tmp_path / name

    return write


def area(contour):
    return shapely.Polygon(contour.exterior, contour.holes).area


def test_region_counts_from_pixel_corners_with_its_layer_as_class(layers):
    [contour] = read_contours(layers(("Tumour", 0x8000FF, regions((0, 0, "10,20 30,20 30,50 10,50 10,20")))))
    assert contour.exterior.tolist() == [[19.5, 9.5], [19.5, 29.5], [49.5, 29.5], [49.5, 9.5]]
    assert rasterize([contour], (60, 60)).astype(bool).sum() == 20 * 30
    assert (contour.class_name, contour.color) == ("Tumour", "#ff0080")


@pytest.mark.parametrize(
    ("number", "color"), [("255", "#ff0000"), ("16711680", "#0000ff"), ("65535", "#ffff00"), ("", None)]
)
def test_colours_have_red_in_the_lowest_byte(layers, number, color):
    assert read_contours(layers(("", number, regions((0, 0, SQUARE)))))[0].color == color


@pytest.mark.parametrize("kinds", [("0", "1", "2", "3", "4"), ("Polygon", "Rectangle", "Ellipse", "Ruler", "Pin")])
def test_rectangles_and_ellipses_are_read_and_rulers_skipped(layers, kinds):
    polygon, rectangle, ellipse, ruler, pin = kinds
    contours = read_contours(
        layers(
            (
                "a",
                255,
                regions(
                    (polygon, 0, SQUARE),
                    (rectangle, 0, "0,0 40,20"),
                    (rectangle, 0, "0,0 40,0 40,20 0,20"),
                    (ellipse, 0, "100,100 300,180"),
                    (ellipse, 0, "100,100 300,100 300,180 100,180"),
                    (ruler, 0, "0,0 40,20"),
                    (pin, 0, "0,0"),
                    tag="V",
                ),
            )
        )
    )
    round_area = pytest.approx(np.pi * 100 * 40, rel=0.005)
    assert [area(contour) for contour in contours] == [3600, 800, 800, round_area, round_area]


def test_negative_region_is_a_hole_in_its_own_layer_if_possible(layers):
    contours = read_contours(
        layers(
            ("a", 255, regions((0, 1, INNER), (0, 0, SQUARE), (0, 0, "12,12 14,12 14,14"))),
            ("b", 255, regions((0, 0, "5,5 25,5 25,25 5,25"), (0, 1, "100,100 110,100 110,110"))),
            ("c", 255, regions((0, 1, "50,50 52,50 52,52"))),
        )
    )
    assert [(c.class_name, len(c.holes)) for c in contours] == [("a", 2), ("a", 0), ("b", 0)]


def test_negative_region_across_a_border_is_clipped_to_it(layers):
    [contour] = read_contours(layers(("a", 255, regions((0, 0, SQUARE), (0, 1, "50,-10 80,-10 80,70 50,70")))))
    painted = rasterize([contour], (80, 80)).astype(bool)
    assert painted.sum() == painted[:60, :50].sum() == 60 * 50


@pytest.mark.shared_data
def test_real_imagescope_file_round_trips_without_its_rulers(shared, tmp_path):
    path = shared / "data/contours/imagescope_xml/onesixth_test.xml"
    contours = read_contours(path)
    regions = list(ElementTree.parse(path).iter("Region"))
    assert [region.get("Type") for region in regions] == ["0", "1", "1", "3", "3", "3", "2"]
    vertices = [[vertex.attrib for vertex in region.iter("Vertex")] for region in regions]
    assert vertices[0][0] == vertices[0][-1]
    assert [(c.class_name, c.color, len(c.holes)) for c in contours] == [("", "#0000ff", 0)] * 4
    assert [len(contour.exterior) for contour in contours[:3]] == [len(vertices[0]) - 1, 4, 4]
    assert area(contours[3]) == pytest.approx(np.pi / 4 * (423 - 85) * (1109 - 909), rel=0.002)
    for suffix in (".xml", ".annotations"):
        write_contours(tmp_path / f"copy{suffix}", contours, format="aperio" if suffix == ".xml" else "halo")
        again = read_contours(tmp_path / f"copy{suffix}")
        assert [(c.class_name, c.color) for c in again] == [("", "#0000ff")] * 4
        assert [area(c) for c in again] == pytest.approx([area(c) for c in contours])


def test_layers_are_written_as_imagescope_and_halo_write_them(tmp_path):
    ring = np.array([(-0.5, -0.5), (-0.5, 9.5), (9.5, 9.5), (9.5, -0.5)])
    contours = [Contour(ring, class_name=name, color="#ff0080") for name in "ABA"]
    contours[2] = Contour(ring, (ring / 2 + 2,), "A", color="#ff0080")
    write_contours(tmp_path / "a.xml", contours, format="aperio", frame=SlideGeometry(mpp=0.25))
    write_contours(tmp_path / "a.annotations", contours)
    aperio, halo = (ElementTree.parse(tmp_path / name).getroot() for name in ("a.xml", "a.annotations"))
    assert aperio.get("MicronsPerPixel") == "0.25"
    for root in (aperio, halo):
        assert [(layer.get("Name"), layer.get("LineColor")) for layer in root] == [("A", "8388863"), ("B", "8388863")]
        assert [region.get("NegativeROA") for region in root.iter("Region")] == ["0", "0", "1", "0"]
    assert [vertex.attrib for vertex in aperio.iter("Vertex")][:2] == [
        {"X": "0.0", "Y": "0.0", "Z": "0"},
        {"X": "10.0", "Y": "0.0", "Z": "0"},
    ]
    assert {region.get("Type") for region in halo.iter("Region")} == {"Polygon"}
    assert all(int(vertex.get("X")) >= 0 for vertex in halo.iter("V"))
    for name in ("a.xml", "a.annotations"):
        again = read_contours(tmp_path / name)
        assert [(c.class_name, c.color, len(c.holes)) for c in again] == [
            ("A", "#ff0080", 0),
            ("B", "#ff0080", 0),
            ("A", "#ff0080", 1),
        ]


def test_vertex_moved_in_halo_stays_moved(tmp_path):
    path = tmp_path / "a.annotations"
    write_contours(path, [Contour(np.array([(1.25, 1), (1, 9), (9, 9.0)]))])
    path.write_text(path.read_text().replace('<V X="10" Y="10"/>', '<V X="20" Y="30"/>'))
    assert read_contours(path)[0].exterior[2] == pytest.approx([29.5, 19.5], abs=0.5)


REFUSED = [
    (regions((0, 0, SQUARE), (0, 0, "1,1 2,2")), "case.xml, layer 1, region 2: has 2 points; an outline needs 3"),
    (regions((3, 0, "1,1"), (2, 0, "1,1 1,5")), "case.xml, layer 1, region 2: has 2 points; an outline needs 3"),
    (regions((0, 1, "1,1 2,x 4,4")), "case.xml, layer 1, region 1: point 2 lies at row nan"),
    ('<Regions><Region Type="0"/></Regions>', "case.xml, layer 1, region 1: has 0 points"),
]


@pytest.mark.parametrize(("inside", "message"), REFUSED)
def test_unreadable_region_is_refused_by_file_layer_and_region(layers, inside, message):
    with pytest.raises(AnnotationError) as refused:
        read_contours(layers(("a", 255, inside)))
    assert str(refused.value).startswith(message)


def test_thousands_of_layers_with_negative_regions_are_read(tmp_path):
    square = '<Region {}><Vertices><V X="{}" Y="0"/><V X="{}" Y="0"/><V X="{}" Y="9"/></Vertices></Region>'
    layers = "".join(
        "<Annotation><Regions>"
        + square.format("", at, at + 9, at + 9)
        + square.format('NegativeROA="1"', at + 4, at + 8, at + 8).replace('"9"', '"2"').replace('"0"', '"1"')
        + "</Regions></Annotation>"
        for at in range(0, 40_000, 20)
    )
    (tmp_path / "a.xml").write_text(f"<Annotations>{layers}</Annotations>")
    contours = read_contours(tmp_path / "a.xml")
    assert [len(contour.holes) for contour in contours] == [1] * 2000


@pytest.mark.parametrize("fractions", ["1 " * 2_000_000, "1 1"])
def test_fractions_that_do_not_match_the_vertices_are_ignored(layers, fractions):
    vertices = '<Vertices><V X="1" Y="1"/><V X="9" Y="1"/><V X="9" Y="9"/></Vertices>'
    region = f'<Region Fractions="{fractions}">{vertices}</Region>'
    (path := layers()).write_text(f"<Annotations><Annotation><Regions>{region}</Regions></Annotation></Annotations>")
    assert read_contours(path)[0].exterior.tolist() == [[0.5, 0.5], [0.5, 8.5], [8.5, 8.5]]
