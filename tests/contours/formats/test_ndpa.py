"""NDPA: outlines on the glass are read as contours on the slide, and written back."""

from xml.etree import ElementTree

import numpy as np
import pytest
import shapely

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import read_contours, write_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

FRAME = SlideGeometry("a.ndpi", (2000, 1000), 0.5, (100.0, -200.0))


def entry(inside, kind="freehand", title="Tumour", unit="nanometers"):
    return (
        f'<ndpviewstate id="1"><title>{title}</title><details/><coordformat>{unit}</coordformat><x>1</x><y>1</y>'
        f'<annotation type="{kind}" displayname="Annotate" color="#FF0080">{inside}</annotation></ndpviewstate>'
    )


def points(*pairs, closed=1):
    text = "".join(f"<point>\n<x>{x}</x>\n<y>{y}</y>\n</point>" for x, y in pairs)
    return f"<measuretype>0</measuretype><closed>{closed}</closed><pointlist>{text}</pointlist>"


@pytest.fixture
def ndpa(tmp_path):
    """Write `a.ndpi.ndpa` with these entries."""

    def write(*entries):
        path = tmp_path / "a.ndpi.ndpa"
        path.write_text(f"<annotations>{''.join(entries)}</annotations>")
        return path

    return write


# The slide's centre lies 100 um right of the glass's and 200 um above it; it is 500 x 1000 um large.
LEFT, TOP = 100_000 - 250_000, -200_000 - 500_000


def test_nanometres_from_the_glass_centre_become_slide_pixels(ndpa):
    corners = [(LEFT + 500 * x, TOP + 500 * y) for x, y in ((10, 20), (30, 20), (30, 50), (10, 50))]
    [contour] = read_contours(ndpa(entry(points(*corners))), FRAME)
    assert contour.exterior.tolist() == [[19.5, 9.5], [19.5, 29.5], [49.5, 29.5], [49.5, 9.5]]
    assert rasterize([contour], (60, 60)).astype(bool).sum() == 20 * 30
    assert (contour.class_name, contour.color) == ("Tumour", "#ff0080")


def test_other_units_are_read_and_unknown_ones_refused(ndpa):
    corners = [(LEFT / 1e3, TOP / 1e3), (LEFT / 1e3 + 50, TOP / 1e3), (LEFT / 1e3, TOP / 1e3 + 50)]
    [contour] = read_contours(ndpa(entry(points(*corners), unit="micrometers")), FRAME)
    np.testing.assert_allclose(contour.exterior, [[-0.5, -0.5], [-0.5, 99.5], [99.5, -0.5]], atol=1e-9)
    with pytest.raises(AnnotationError, match='a.ndpi.ndpa, annotation 1: its coordformat is "inches"'):
        read_contours(ndpa(entry(points(*corners), unit="inches")), FRAME)


def test_circle_is_an_outline_and_lines_and_pins_are_skipped(ndpa):
    circle = f"<x>{LEFT + 250_000}</x><y>{TOP + 500_000}</y><radius>50000</radius>"
    line = points((0, 0), (9, 9), (0, 9), closed=0)
    entries = [entry(circle, "circle"), entry(line), entry("<x>0</x><y>0</y>", "pin"), entry("", "linearmeasure")]
    [contour] = read_contours(ndpa(*entries), FRAME)
    middle = shapely.Point(999.5, 499.5)
    assert shapely.distance(shapely.points(contour.exterior), middle) == pytest.approx(100)
    assert shapely.distance(shapely.LinearRing(contour.exterior), middle) > 99.9


@pytest.mark.parametrize(
    ("frame", "missing"),
    [
        (SlideGeometry(), "its size, its pixel size, the offset of its centre from the middle of the glass"),
        (SlideGeometry("a", (9, 9), 0.5), "the offset of its centre from the middle of the glass"),
        (SlideGeometry("a", None, 0.5, (0, 0)), "its size"),
        (SlideGeometry("a", (9, 9), None, (0, 0)), "its pixel size"),
    ],
)
def test_ndpa_without_its_slide_is_refused_with_what_is_missing(ndpa, tmp_path, frame, missing):
    message = f"need what is not known of this slide: {missing}. Give the .ndpi slide with it"
    with pytest.raises(AnnotationError, match=message):
        read_contours(ndpa(entry(points((0, 0), (9, 9), (0, 9)))), frame)
    with pytest.raises(AnnotationError, match=message):
        write_contours(tmp_path / "b.ndpa", [Contour(np.eye(3, 2))], frame=frame)


def test_empty_ndpa_needs_no_slide(ndpa):
    assert read_contours(ndpa()) == []


def test_ndp_view_gets_closed_lines_in_whole_nanometres(tmp_path):
    ring = np.array([(0.1, 0.2), (0.1, 50), (50.7, 50), (50, 0)])
    write_contours(tmp_path / "a.ndpa", [Contour(ring, (ring / 4 + 5,), "A & B", color="#a05aa0")], frame=FRAME)
    root = ElementTree.parse(tmp_path / "a.ndpa").getroot()
    numbers = [int(number.text) for point in root.iter("point") for number in point]
    assert numbers[:2] == [LEFT + 350, TOP + 300]
    assert len(numbers) == 2 * (4 + 1 + 4 + 1)
    assert (root.findtext("ndpviewstate/title"), root.findtext("ndpviewstate/annotation/closed")) == ("A & B", "1")
    assert root.find("ndpviewstate/annotation").get("color") == "#a05aa0"
    [contour] = read_contours(tmp_path / "a.ndpa", FRAME)
    np.testing.assert_allclose(contour.exterior, ring, atol=1e-6)


REFUSED = [
    (entry(points((0, 0), (1, 1))), "a.ndpi.ndpa, annotation 1: has 2 points; an outline needs 3"),
    (entry("", "pin") + entry(points((0, 0), (1, "x"), (2, 2))), "a.ndpi.ndpa, annotation 2: point 2 lies at row nan"),
    (entry("<x>1</x><y>2</y>", "circle"), 'a.ndpi.ndpa, annotation 1: its radius is "", not a number'),
    (entry("<x>1</x><y>2</y><radius>0</radius>", "circle"), "a.ndpi.ndpa, annotation 1: its radius is 0; it must be"),
    (entry(""), "a.ndpi.ndpa, annotation 1: has 0 points"),
]


@pytest.mark.parametrize(("inside", "message"), REFUSED)
def test_unreadable_annotation_is_refused_by_file_and_annotation(ndpa, inside, message):
    with pytest.raises(AnnotationError) as refused:
        read_contours(ndpa(inside), FRAME)
    assert str(refused.value).startswith(message)


def test_thousands_of_ndpa_outlines_with_their_attributes_are_read(ndpa):
    rest = "".join(f"<{tag}>0</{tag}>" for tag in ("lens", "z", "showtitle", "showhistogram", "showlineprofile"))
    found = [entry(points((0, 0), (9000, 0), (0, at))).replace("<x>", f"{rest * 10}<x>", 1) for at in range(1, 15_001)]
    contours = read_contours(ndpa(*found), FRAME)  # of 900,000 elements, most of which are of no use
    assert len({contour.exterior.tobytes() for contour in contours}) == 15_000
