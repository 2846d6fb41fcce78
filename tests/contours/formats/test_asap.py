"""ASAP: outlines are read with their classes and holes, and written without a loss."""

import os
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import FORMATS, read_contours, write_contours
from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

SQUARE = [(10, 20), (30, 20), (30, 50), (10, 50)]


@pytest.fixture
def asap(tmp_path):
    """Write `case.xml` with annotations (name, type, group and points) and groups."""

    def write(annotations, groups=""):
        path = tmp_path / "case.xml"
        text = ""
        for name, kind, group, points in annotations:
            coordinates = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}" />' for i, (x, y) in enumerate(points))
            text += (
                f'<Annotation Name="{name}" Type="{kind}" PartOfGroup="{group}" Color="#F4FA58">'
                f"<Coordinates>{coordinates}</Coordinates></Annotation>"
            )
        path.write_text(
            f"<ASAP_Annotations><Annotations>{text}</Annotations>"
            f"<AnnotationGroups>{groups}</AnnotationGroups></ASAP_Annotations>"
        )
        return path

    return write


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_asap_outline_counts_from_pixel_corners_with_its_group(asap):
    group = '<Group Name="Tumour" PartOfGroup="None" Color="#FF0080"><Attributes /></Group>'
    annotations = [("a", "Polygon", "Tumour", SQUARE), ("b", "Polygon", "None", SQUARE), ("c", "Polygon", "X", SQUARE)]
    contours = read_contours(asap(annotations, group))
    assert contours[0].exterior.tolist() == [[19.5, 9.5], [19.5, 29.5], [49.5, 29.5], [49.5, 9.5]]
    assert rasterize(contours[:1], (60, 60)).astype(bool).sum() == 20 * 30
    assert [(c.class_name, c.color) for c in contours] == [
        ("Tumour", "#ff0080"),
        ("", "#f4fa58"),
        ("X", "#f4fa58"),
    ]


def test_asap_shape_without_an_inside_is_skipped(asap):
    kinds = ("Dot", "PointSet", "Measurement", "Rectangle")
    contours = read_contours(asap([(kind, kind, "None", [(10, 20), (30, 50)]) for kind in kinds]))
    assert [shapely.Polygon(contour.exterior).area for contour in contours] == [600]


@pytest.mark.parametrize("group", ["_2", "Exclusion", "exclusion", "negative"])
def test_excluded_area_is_a_hole_of_the_smallest_outline_around_it(asap, group):
    contours = read_contours(
        asap(
            [
                ("hole", "Polygon", group, box(20, 20, 30, 30)),
                ("large", "Polygon", "_0", box(0, 0, 90, 90)),
                ("small", "Polygon", "_1", box(10, 10, 40, 40)),
                ("island", "Polygon", "_1", box(24, 24, 26, 26)),
            ]
        )
    )
    assert [(c.class_name, len(c.holes)) for c in contours] == [("_0", 0), ("_1", 1), ("_1", 0)]
    assert contours[1].holes[0].tolist() == (np.array(box(20, 20, 30, 30))[:, ::-1] - 0.5).tolist()


def test_excluded_area_across_outlines_is_clipped_to_each(asap):
    path = asap(
        [
            ("left", "Polygon", "Tumour", box(0, 0, 20, 20)),
            ("right", "Polygon", "Tumour", box(30, 0, 50, 20)),
            ("between", "Polygon", "exclusion", box(10, 5, 40, 15)),
        ]
    )
    contours = read_contours(path)
    assert [len(contour.holes) for contour in contours] == [1, 1]
    painted = rasterize(contours, (20, 50)) > 0
    expected = np.zeros((20, 50), bool)
    expected[:, :20] = expected[:, 30:] = True
    expected[5:15, 10:40] = False
    assert (painted == expected).all()


def test_excluded_area_outside_all_outlines_stays_a_contour(asap):
    path = asap([("a", "Polygon", "Tumour", box(0, 0, 9, 9)), ("b", "Polygon", "exclusion", box(20, 20, 29, 29))])
    assert [(c.class_name, len(c.holes)) for c in read_contours(path)] == [("Tumour", 0), ("exclusion", 0)]


def bezier(points):
    """ASAP's own formula, point by point, of the closed spline."""
    count = len(points)
    for i in range(count):
        p0, p1, p2, p3 = (points[(i + step) % count] for step in (-1, 0, 1, 2))
        p3 = 2 * p2 - p1 if i == count - 2 else p3
        p0 = 2 * p1 - p2 if i == count - 1 else p0
        d1, d2, d3 = (float(np.hypot(*step)) for step in (p1 - p0, p2 - p1, p3 - p2))
        r1, r2, r3 = np.sqrt([d1, d2, d3])
        b1 = (d1 * p2 - d2 * p0 + (2 * d1 + 3 * r1 * r2 + d2) * p1) / (3 * r1 * (r1 + r2))
        b2 = (d3 * p1 - d2 * p3 + (2 * d3 + 3 * r3 * r2 + d2) * p2) / (3 * r3 * (r3 + r2))
        t = np.linspace(0, 1, 200)[:, None]
        yield (1 - t) ** 3 * p1 + 3 * t * (1 - t) ** 2 * b1 + 3 * t**2 * (1 - t) * b2 + t**3 * p2


def test_spline_is_the_curve_of_asap_to_a_tenth_of_a_pixel(asap):
    points = np.array([(0, 0), (0, 0), (400, 50), (500, 480), (90, 460), (-60, 200)], float)
    [contour] = read_contours(asap([("s", "Spline", "None", points)]))
    exact = np.concatenate(list(bezier(points[1:]))) - 0.5
    drawn = shapely.LinearRing(contour.exterior[:, ::-1])
    assert shapely.distance(drawn, shapely.points(exact)).max() < 0.1
    assert shapely.hausdorff_distance(drawn, shapely.LinearRing(exact)) < 0.2
    assert all(shapely.distance(drawn, shapely.Point(point - 0.5)) < 1e-9 for point in points)
    assert 30 < len(contour.exterior) < 300


# Contours, holes and classes, counted by hand: an annotation is a contour, or a hole if it is
# in the group "negative".
COUNTED = {
    "camelyon16_tumor_009.xml": (6, 0, {"metastasis"}),
    "camelyon16_tumor_036.xml": (103, 2, {"metastasis"}),
    "camelyon16_tumor_076.xml": (39, 0, {"metastasis"}),
    "spline_592340.xml": (4, 0, {"tissue", "background"}),
    "spline_OC-AH-280_OGD.xml": (12, 0, {"tissue", "artifact"}),
    "tissue_TCGA-G9-6378-01A-01-BS1.bc59e095-f3ab-4a6e-8cef-ea7fc76abec8.xml": (1, 5, {"tissue"}),
    "tissue_normal_004.xml": (39, 0, {"tissue", "trash"}),
    "tissue_tumor_031.xml": (6, 4, {"tissue"}),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", COUNTED)
def test_real_asap_files_round_trip(shared, tmp_path, name):
    path = shared / "data/contours/asap_xml" / name
    contours = read_contours(path)
    found = len(contours), sum(len(contour.holes) for contour in contours), {c.class_name for c in contours}
    assert found == COUNTED[name]
    groups = Counter(a.get("PartOfGroup") for a in ElementTree.parse(path).iter("Annotation"))
    assert found[:2] == (groups.total() - groups["negative"], groups["negative"])
    write_contours(tmp_path / "copy.xml", contours)
    check_same(contours, read_contours(tmp_path / "copy.xml"))


def check_same(contours, again):
    """Same classes, holes and points, in the same order."""
    assert [(c.class_name, len(c.holes)) for c in again] == [(c.class_name, len(c.holes)) for c in contours]
    for contour, copy in zip(contours, again, strict=True):
        for ring, other in zip(contour.rings, copy.rings, strict=True):
            assert ring.shape == other.shape
            assert np.abs(ring - other).max() < 1e-3


# On a grid of 1/1000 px: nearer points fall together where a format counts from elsewhere, and a last point that falls
# on the first closes a ring.
NUMBERS = (
    st.integers(-(3 * 10**8), 3 * 10**8).map(lambda i: i / 1000)
    | st.integers(0, 40).map(float)
    | st.integers(0, 9).map(lambda i: i / 2)
)
RINGS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=6, unique=True).map(np.array)
NAMES = st.sampled_from(
    ["", "Tumour", "None", "_2", "Exclusion", "Tumour (hole)", "(hole)", "<\"&'>", "négative\n2", "a, hole 1"]
)
COLORS = st.sampled_from([None, "#a05aa0", "#ff0000"])
CONTOURS = st.lists(st.builds(Contour, RINGS, st.lists(RINGS, max_size=3).map(tuple), NAMES, color=COLORS), max_size=6)
OFFSETS = st.floats(-3e4, 3e4)
FRAMES = st.builds(
    SlideGeometry,
    st.just("slide.ndpi"),
    st.tuples(st.integers(1, 300_000), st.integers(1, 300_000)),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.tuples(OFFSETS, OFFSETS),
)


@pytest.mark.parametrize("key", FORMATS)
@settings(max_examples=25 * FUZZ, deadline=None)
@given(contours=CONTOURS, frame=FRAMES)
def test_contours_with_holes_round_trip_through_every_format(tmp_path_factory, key, contours, frame):
    path = tmp_path_factory.mktemp("round") / f"copy{FORMATS[key].suffixes[0]}"
    write_contours(path, contours, format=key, frame=frame)
    check_same(contours, read_contours(path, frame))


def test_nested_outlines_and_holes_outside_them_round_trip(tmp_path):
    rings = [np.array(box(at, at, 90 - at, 90 - at), float) for at in range(0, 40, 5)]
    contours = [
        *(Contour(ring, class_name="Tumour") for ring in rings[:3]),
        Contour(rings[3], (rings[4], rings[0], rings[3]), "Tumour"),
        Contour(rings[5], (), "Tumour"),
    ]
    for key in ("asap", "aperio", "halo", "cvat"):
        path = tmp_path / f"copy{FORMATS[key].suffixes[0]}"
        write_contours(path, contours, format=key)
        check_same(contours, read_contours(path))


def test_colours_round_trip_and_xml_defaults_to_asap(tmp_path):
    ring = np.array(box(0, 0, 9, 9), float)
    contours = [Contour(ring, (ring / 2,), name, color=color) for name in ("", "A") for color in (None, "#a05aa0")]
    write_contours(tmp_path / "a.xml", contours)
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert root.tag == "ASAP_Annotations"
    assert [c.color for c in read_contours(tmp_path / "a.xml")] == [None, "#a05aa0"] * 2
    groups = {group.get("Name") for group in root.iter("Group")}
    assert groups == {"A", "A_", "A (hole)", "A (hole)_", "(hole)", "(hole)_"}
    assert {a.get("PartOfGroup") for a in root.iter("Annotation")} == groups | {"None"}


def test_hole_in_a_group_of_holes_finds_its_outline(tmp_path, asap):
    ring = np.array(box(0, 0, 50, 50), float)
    write_contours(tmp_path / "a.xml", [Contour(ring, (ring / 9 + 2,), "Tumour")])
    text = (tmp_path / "a.xml").read_text()
    (tmp_path / "a.xml").write_text(text.replace("Annotation 0, hole 1", "Annotation 7"))
    assert [len(contour.holes) for contour in read_contours(tmp_path / "a.xml")] == [1]


REFUSED = [
    ([("a", "Polygon", "None", SQUARE[:2])], "case.xml, annotation 1: has 2 points; an outline needs 3"),
    ([("a", "Dot", "None", []), ("b", "Spline", "None", [])], "case.xml, annotation 2: has 0 points"),
    (
        [("a", "Spline", "Tumour", [(9, 1), (9, 1), (1, 1)]), ("b", "Polygon", "exclusion", SQUARE)],
        "case.xml, annotation 1: has 2 points; an outline needs 3",
    ),
    ([("a", "Polygon", "None", [*SQUARE, ("1,5", 2)])], "case.xml, annotation 1: point 5 lies at row nan"),
    ([("a", "Polygon", "None", [*SQUARE, (1e12, 2)])], "case.xml, annotation 1: point 5 lies at row 1.5, column 1e+12"),
]


@pytest.mark.parametrize(("annotations", "message"), REFUSED)
def test_unreadable_annotation_is_refused_by_file_and_annotation(asap, annotations, message):
    with pytest.raises(AnnotationError) as refused:
        read_contours(asap(annotations))
    assert str(refused.value).startswith(message)


def test_outlines_with_too_many_crossings_are_refused(asap):
    zigzag = [(x, 100 * (x % 2)) for x in range(2000)]
    other = [(1000 * (y % 2), y / 20) for y in range(2000)]
    path = asap([("a", "Polygon", "Tumour", zigzag), ("b", "Polygon", "exclusion", other)])
    with pytest.raises(AnnotationError, match="case.xml, annotation 2: .* their lines cross each other too often"):
        read_contours(path)
