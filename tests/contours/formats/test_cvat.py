"""CVAT: the shapes of the right image are read, and contours written as shapes that CVAT can open."""

from xml.etree import ElementTree

import numpy as np
import pytest
import shapely

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

LABELS = "<meta><job><labels><label><name>Tumour</name><color>#FF0080</color></label></labels></job></meta>"
TRIANGLE = '<polygon label="{}" points="0,0;9,0;9,9"/>'


@pytest.fixture
def cvat(tmp_path):
    """Write `case.xml` with images: names and shapes."""

    def write(*images):
        text = "".join(
            f'<image id="1" name="{name}" width="99" height="99">{shapes}</image>' for name, shapes in images
        )
        path = tmp_path / "case.xml"
        path.write_text(f"<annotations><version>1.1</version>{LABELS}{text}</annotations>")
        return path

    return write


def area(contour):
    return shapely.Polygon(contour.exterior, contour.holes).area


def test_cvat_polygon_counts_from_pixel_corners_with_its_label(cvat):
    shape = '<polygon label="Tumour" points="10.00,20.00;30.00,20.00;30.00,50.00;10.00,50.00"><attribute/></polygon>'
    [contour] = read_contours(cvat(("a.png", shape)))
    assert contour.exterior.tolist() == [[19.5, 9.5], [19.5, 29.5], [49.5, 29.5], [49.5, 9.5]]
    assert rasterize([contour], (60, 60)).astype(bool).sum() == 20 * 30
    assert (contour.class_name, contour.color) == ("Tumour", "#ff0080")


def test_boxes_and_ellipses_are_read_and_lines_skipped(cvat):
    contours = read_contours(
        cvat(
            (
                "a.png",
                '<box label="A" xtl="10" ytl="20" xbr="50" ybr="30"/>'
                '<box label="A" xtl="10" ytl="20" xbr="50" ybr="30" rotation="90"/>'
                '<ellipse label="A" cx="50" cy="50" rx="30" ry="10" rotation="30"/>'
                '<polyline label="A" points="1,1;2,2"/><points label="A" points="1,1"/><tag label="A"/>',
            )
        )
    )
    assert [area(contour) for contour in contours] == pytest.approx([400, 400, np.pi * 300], rel=0.01)
    assert contours[1].exterior.min(axis=0) + 0.5 == pytest.approx([5, 25])
    turned = np.degrees(np.arctan2(*(contours[2].exterior - 49.5).T))
    furthest = np.hypot(*(contours[2].exterior - 49.5).T).argmax()
    assert turned[furthest] % 180 == pytest.approx(30, abs=0.5)  # clockwise, as y runs down


def test_mask_is_placed_where_cvat_shows_it(cvat):
    expected = np.zeros((12, 12), bool)
    expected[3:7, 4:9] = [[1, 1, 1, 1, 0], [1, 0, 0, 1, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 1]]
    shape = '<mask label="Tumour" rle="0, 4, 1, 1, 2, 1, 1, 4, 5, 1" left="4" top="3" width="5" height="4"/>'
    contours = read_contours(cvat(("a.png", shape)))
    assert ((rasterize(contours, (12, 12)) > 0) == expected).all()
    assert [(c.class_name, c.color, len(c.holes)) for c in contours] == [
        ("Tumour", "#ff0080", 1),
        ("Tumour", "#ff0080", 0),
    ]


def test_topmost_shape_comes_last(cvat):
    shapes = "".join(f'<polygon label="{z}" points="0,0;9,0;9,9" z_order="{z}"/>' for z in (2, -1, 0))
    assert [contour.class_name for contour in read_contours(cvat(("a.png", shapes)))] == ["-1", "0", "2"]


@pytest.mark.parametrize("name", ["b.tiff", "b", "b.png", "slides/b.svs", "2017.06.ndpi.2048x2048", "c.ome.tif", ""])
def test_cvat_image_is_the_one_with_the_name_of_the_slide(cvat, name):
    names = ("a.png", "folder/b.png", "2017.06.ndpi.2048x2048.tiff", "c.ome.tiff")
    path = cvat(*((image, TRIANGLE.format(image)) for image in names))
    if name in ("", "slides/b.svs"):
        with pytest.raises(
            AnnotationError, match="case.xml has the contours of 4 images .a.png, b.png, .*, ....*is not clear"
        ):
            read_contours(path, SlideGeometry(name))
        return
    expected = {"b": "folder/b.png", "2": names[2], "c": names[3]}[name[0]]
    assert [contour.class_name for contour in read_contours(path, SlideGeometry(name))] == [expected]


def test_only_image_is_read_whatever_its_name(cvat):
    assert len(read_contours(cvat(("a.png", TRIANGLE)), SlideGeometry("other.svs"))) == 1
    assert read_contours(cvat(("a.png", ""))) == []
    assert read_contours(cvat()) == []


def test_two_images_of_one_name_are_refused_as_ambiguous(cvat):
    path = cvat(("a.png", TRIANGLE.format("1")), ("a.jpg", TRIANGLE.format("2")))
    assert read_contours(path, SlideGeometry("a.jpg"))[0].class_name == "2"
    with pytest.raises(AnnotationError, match="has the contours of 2 images"):
        read_contours(path, SlideGeometry("a.svs"))


def test_tracks_of_a_video_are_refused(tmp_path):
    (tmp_path / "case.xml").write_text('<annotations><version>1.1</version><track id="0" label="a"/></annotations>')
    with pytest.raises(AnnotationError, match="case.xml has the tracks of a video"):
        read_contours(tmp_path / "case.xml")


def test_contour_with_holes_is_one_polygon_that_cvat_fills(tmp_path):
    ring = np.array([(0, 0), (0, 60), (60, 60), (60, 0)]) - 0.5
    contour = Contour(ring, (ring / 4 + 10, ring[::-1] / 4 + 30), "Tumour", color="#a05aa0")
    write_contours(
        tmp_path / "a.xml", [contour, Contour(ring)], format="cvat", frame=SlideGeometry("a.svs", (100, 200))
    )
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert root.find("image").attrib == {"id": "0", "name": "a.svs", "width": "200", "height": "100"}
    labels = [(label.findtext("name"), label.findtext("color")) for label in root.iter("label")]
    assert labels == [("Tumour", "#a05aa0"), ("contour", None)]
    joined = root.find("image/polygon").get("points").replace(";", ",").split(",")
    line = np.array(joined, float).reshape(-1, 2)
    assert shapely.Polygon(line).area == area(contour)
    as_one = rasterize([Contour(line[:, ::-1] - 0.5)], (70, 70))
    assert (as_one == rasterize([contour], (70, 70))).all()
    again = read_contours(tmp_path / "a.xml")
    assert [(c.class_name, c.color, len(c.holes)) for c in again] == [("Tumour", "#a05aa0", 2), ("", None, 0)]


REFUSED = [
    ('<polygon points="1,1;2,2"/>', "case.xml, shape 1: has 2 points; an outline needs 3"),
    ('<tag/><polygon points="1,1;2,2;3"/>', "case.xml, shape 2: has 5 numbers; points are pairs"),
    ('<polygon points="1,1;2,x;3,3"/>', 'case.xml, shape 1: has "x"'),
    ('<box xtl="1" ytl="2" xbr="3"/>', 'case.xml, shape 1: its ybr is ""; it must be one number'),
    ('<ellipse cx="1" cy="2" rx="0" ry="3"/>', "case.xml, shape 1: its radii are 0 and 3; they must be above 0"),
    ('<mask rle="1,2" left="a" top="0" width="3" height="1"/>', 'case.xml, shape 1: its left is "a", not a whole'),
    ('<mask rle="1,b" left="0" top="0" width="3" height="1"/>', "case.xml, shape 1: the runs of its mask cannot be"),
    ('<mask rle="1,3" left="0" top="0" width="3" height="1"/>', "case.xml, shape 1: the runs of its mask do not add"),
    ('<mask rle="99999999999" left="0" top="0" width="99999" height="999999"/>', "case.xml, shape 1: its mask has "),
    ('<polygon points="0,0;9,0;9,9" z_order="up"/>', 'case.xml, shape 1: its z_order is "up", not a whole number'),
]  # fmt: skip


@pytest.mark.parametrize(("shapes", "message"), REFUSED)
def test_unreadable_cvat_shape_is_refused_by_file_and_shape(cvat, shapes, message):
    with pytest.raises(AnnotationError) as refused:
        read_contours(cvat(("a.png", shapes)))
    assert str(refused.value).startswith(message)


FAR = "9" * 4000
FLECKS = ",".join(["1"] * 1001**2)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (f'rle="0,4" width="2" height="2" left="{FAR}" top="0"', 'case.xml, shape 1: its left is "9999'),
        (f'rle="0,4" width="2" height="2" left="{FAR[:90]}" top="0"', "case.xml, shape 1: point 1 lies at row 0, col"),
        (
            f'rle="{"1," * 6_000_000}1" width="9" height="9" left="0" top="0"',
            "case.xml: has more than 5,000,000 points",
        ),
        (f'rle="{FLECKS}" width="1001" height="1001" left="0" top="0"', "case.xml: has more than 5,000,000 points"),
    ],
    ids=["far", "near enough to be a number", "runs", "flecks"],
)
def test_hostile_cvat_mask_is_refused(cvat, mask, message):
    with pytest.raises(AnnotationError, match=message):
        read_contours(cvat(("a.png", f"<mask {mask}/>")))
