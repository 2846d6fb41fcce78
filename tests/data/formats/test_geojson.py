"""GeoJSON goes to QuPath and comes from it; files are found by the name of their slide."""

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pathseg.data.annotation import Contour
from napari_pathseg.data.formats import find_contours, read_contours, write_contours
from napari_pathseg.errors import AnnotationError, ProjectError

SHARED = Path(__file__).parents[3].parent / "shared/data"
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[1, 1], [2, 1], [2, 2], [1, 1]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}


@pytest.fixture
def read(tmp_path):
    """Read a file `a.geojson` with this content."""

    def write_and_read(content):
        path = tmp_path / "a.geojson"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_contours(path)

    return write_and_read


def feature(geometry, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


@pytest.mark.parametrize(
    "content",
    [
        POLYGON,
        feature(POLYGON),
        [feature(POLYGON)],
        {"type": "FeatureCollection", "features": [feature(POLYGON), feature({"type": "Point"})]},
        {"type": "FeatureCollection", "features": [feature(None), POLYGON]},
    ],
)  # fmt: skip
def test_a_polygon_is_read_however_it_is_wrapped(read, content):
    [contour] = read(content)
    assert contour.exterior.tolist() == [[-0.5, -0.5], [-0.5, 3.5], [3.5, 3.5], [3.5, -0.5]]
    assert [hole.tolist() for hole in contour.holes] == [[[0.5, 0.5], [0.5, 1.5], [1.5, 1.5]]]


def test_a_multipolygon_gives_a_contour_for_each_part(read):
    contours = read(feature({"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [SQUARE]]}, name="x"))
    assert [len(contour.holes) for contour in contours] == [1, 0]


@pytest.mark.parametrize(
    ("properties", "found"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 10]}}, ("Tumor", "#c8000a")),
        ({"classification": {"name": "Stroma", "colorRGB": -6895466}}, ("Stroma", "#96c896")),
        ({"classification": {"names": ["Tumor", "Positive"]}}, ("Tumor: Positive", None)),
        ({"classification": "Tumor"}, ("Tumor", None)),
        ({"color": [1, 2, 3]}, ("", "#010203")),
        ({"classification": {"name": 3, "color": "red"}}, ("", None)),
    ],
)
def test_class_and_colour_are_read_as_old_and_new_qupath_write_them(read, properties, found):
    [contour] = read(feature(POLYGON, **properties))
    assert (contour.class_name, contour.color) == found


def test_what_is_written_is_what_qupath_reads(tmp_path):
    square = np.array([[-0.5, -0.5], [-0.5, 3.5], [1.5, 3.5]])
    write_contours(tmp_path / "a.geojson", [Contour(square, class_name="Tumour")], {"Tumour": "#c80000"})
    written = json.loads((tmp_path / "a.geojson").read_text())
    [annotation] = written["features"]
    assert (written["type"], annotation["type"], len(annotation["id"])) == (
        "FeatureCollection",
        "Feature",
        36,
    )
    assert annotation["geometry"] == {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 2], [0, 0]]]}
    assert annotation["properties"] == {
        "objectType": "annotation",
        "isLocked": False,
        "classification": {"name": "Tumour", "color": [200, 0, 0]},
    }


def test_contours_come_back_with_their_holes_to_a_thousandth_of_a_pixel(tmp_path):
    rng = np.random.default_rng(2)
    contours = [Contour(rng.normal(0, 1e5, (50, 2)), (rng.uniform(size=(9, 2)),), color="#010203")]
    write_contours(tmp_path / "a.json", contours)
    [copy] = read_contours(tmp_path / "a.json")
    for one, two in zip(contours[0].rings, copy.rings, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)
    assert copy.color == "#010203"


def shown(contour):
    return contour.class_name, contour.color, [len(ring) for ring in contour.rings]


@pytest.mark.parametrize("suffix", [".geojson", ".svg"])
def test_real_files_keep_every_point_on_the_way_out_and_in(tmp_path, suffix):
    if not SHARED.exists():
        pytest.skip("the real data are not here")
    paths = sorted((SHARED / "contours").glob("*_geojson/*.geojson"))
    for path in paths:
        contours = read_contours(path)
        write_contours(tmp_path / f"copy{suffix}", contours)
        copies = read_contours(tmp_path / f"copy{suffix}")
        assert [shown(contour) for contour in copies] == [shown(contour) for contour in contours]
        points, copied = (np.vstack([ring for each in every for ring in each.rings]) for every in (contours, copies))
        np.testing.assert_allclose(copied, points, atol=1e-6)
    assert len(paths) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.geojson is no JSON: "),
        ("[" * 100_000, "a.geojson is no JSON: "),
        ({"images": []}, "a.geojson is none of the formats that are read from .geojson files (QuPath GeoJSON)"),
        ({"type": "FeatureCollection", "features": 3}, "a.geojson: its features are 3, not a list"),
        ([feature(POLYGON), 7], "a.geojson, feature 2: is 7; a feature is an object"),
        (feature({"type": "Curve"}), 'a.geojson, feature 1: its geometry is "Curve"; Polygon and MultiPolygon'),
        (feature({"type": "Polygon"}), "a.geojson, feature 1: its Polygon has no coordinates"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3]]]}, "a.geojson, feature 1: its coordinates are not num"),
        ({"type": "Polygon", "coordinates": [[1, 2, 3]]}, "a.geojson, feature 1: its coordinates are not pairs"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}, "a.geojson, feature 1: has 2 points; "),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, NaN], [5, 6]]]}', "a.geojson, feature 1: point 2 lies"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 1e999], [5, 6]]]}', "a.geojson, feature 1: point 2"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_by_file_and_feature(read, content, message):
    with pytest.raises(AnnotationError) as refused:
        read(content)
    assert str(refused.value).startswith(message)


def test_files_of_another_kind_are_refused_with_the_known_ones(tmp_path):
    with pytest.raises(AnnotationError, match=r'a\.docx: .* "\.docx" .* known are \.svg, \.geojson, \.json\.'):
        read_contours("a.docx")
    with pytest.raises(AnnotationError, match="could not be read: No such file"):
        read_contours(tmp_path / "a.svg")
    with pytest.raises(AnnotationError, match=r"b\.svg, contour 1: has 1 point; "):
        write_contours(tmp_path / "b.svg", [Contour(np.zeros((1, 2)))])
    with pytest.raises(ProjectError, match="Make that folder first"):
        write_contours(tmp_path / "none" / "b.svg", [])
    assert not list(tmp_path.iterdir())


STEM = "2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048"


@pytest.mark.parametrize(
    ("slide", "contours"),
    [
        (f"{STEM}.tiff", f"{STEM}.svg"),
        ("a.ome.tif", "a.geojson"),
        ("a.b.tif", "a.b.json"),
        ("a.ndpi", "a.ndpi.geojson"),
        ("a.tif", "a.SVG"),
        ("a.jpg", "a_mask.png"),
        ("a.tif", "a.png"),
        ("a.png", "a.tif"),
        ("a.svs", "mask_a.bmp"),
    ],
)
def test_a_slide_finds_its_contours_by_its_name(tmp_path, slide, contours):
    for name in (slide, contours, "other.svg", "b.tif", f"{STEM}2.svg", "aa.geojson"):
        (tmp_path / name).touch()
    assert find_contours(tmp_path / slide, tmp_path) == tmp_path / contours


def test_a_slide_is_never_its_own_mask_and_outlines_come_before_pictures(tmp_path):
    slide = tmp_path / "a.tif"
    slide.touch()
    assert find_contours(slide, tmp_path) is None
    for name in ("mask_a.png", "a.png", "a_mask.png", "a.json"):
        (tmp_path / name).touch()
    assert find_contours(slide, tmp_path) == tmp_path / "a.json"
    assert find_contours(slide, tmp_path / "a.png") == tmp_path / "a.png"
    with pytest.raises(AnnotationError, match="none does not exist"):
        find_contours(slide, tmp_path / "none")
