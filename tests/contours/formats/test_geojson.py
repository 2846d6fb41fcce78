"""GeoJSON is read from QuPath and written for it; files are found by the name of their slide."""

import json
from collections import Counter

import numpy as np
import pytest

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import find_contour_file, read_contours, write_contours
from napari_pathseg.errors import AnnotationError, ProjectError

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
        {"type": "Feature", "properties": None, "geometry": POLYGON},
        {"type": "GeometryCollection", "geometries": [{"type": "LineString", "coordinates": []}, POLYGON]},
        [{"type": "FeatureCollection", "features": [{"type": "Feature"}, feature(POLYGON)]}],
    ],
)  # fmt: skip
def test_polygon_is_read_however_it_is_wrapped(read, content):
    [contour] = read(content)
    assert contour.exterior.tolist() == [[-0.5, -0.5], [-0.5, 3.5], [3.5, 3.5], [3.5, -0.5]]
    assert [hole.tolist() for hole in contour.holes] == [[[0.5, 0.5], [0.5, 1.5], [1.5, 1.5]]]


def test_multipolygon_gives_a_contour_for_each_part(read):
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
        ({"color": -377282}, ("", "#fa3e3e")),
        ({"classification": -377282}, ("", "#fa3e3e")),
        ({"classification": {"name": "Ignore*", "colorRGB": -4934476}}, ("Ignore*", "#b4b4b4")),
        ({"classification": {"names": ["Tumor", 3, None]}}, ("Tumor", None)),
        ({"classification": {"name": "a\ud800b", "color": [True, 2, 3]}}, ("a?b", None)),
        ({"classification": {"name": 3, "color": "red"}}, ("", None)),
    ],
)
def test_class_and_colour_of_old_and_new_qupath_are_read(read, properties, found):
    [contour] = read(feature(POLYGON, **properties))
    assert (contour.class_name, contour.color) == found


@pytest.mark.parametrize("kind", ["annotation", "detection", "tile", "cell", "unheard of"])
def test_every_qupath_object_is_a_contour_a_cell_its_outer_line(read, kind):
    cell = feature(POLYGON, objectType=kind, isLocked=True, measurements={"Area": float("nan")})
    assert [len(contour.rings) for contour in read(cell | {"nucleusGeometry": {"type": "Curve"}})] == [2]


@pytest.mark.parametrize(
    "core", [{"objectType": "tmaCore", "isMissing": False}, {"objectType": "tma_core"}, {"isMissing": True}, {}]
)
def test_tissue_array_core_is_skipped_but_not_its_content(read, core):
    child = feature(POLYGON, objectType="annotation", name="child")
    parent = feature({"type": "Polygon", "coordinates": [SQUARE]}, **core, childObjects=[child, child])
    assert len(read([{"id": "TMACoreObject"} | parent, feature(POLYGON)])) == 3


def in_degrees(text):
    return "longitudes and latitudes, not pixels" in text


CITY = [[13.088345, 52.419612], [13.761161, 52.338234], [13.642174, 52.675454], [13.088345, 52.419612]]
WEST = [[-122.514926, 37.708075], [-118.356967, 37.708137], [-119.356967, 39.810675], [-122.514926, 37.708075]]
LAND = [[5.988658, 47.302487], [15.016995, 54.983104], [6.589396, 53.482162], [5.988658, 47.302487]]
CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}


@pytest.mark.parametrize("ring", [CITY, WEST])
def test_geographic_map_is_refused(read, ring):
    with pytest.raises(AnnotationError) as refused:
        read({"type": "FeatureCollection", "features": [feature({"type": "Polygon", "coordinates": [ring]})]})
    assert in_degrees(str(refused.value))


@pytest.mark.parametrize(
    "crs",
    [
        CRS84,
        {"type": "name", "properties": {"name": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}},
        {"type": "name", "properties": {"name": "EPSG:4326"}},
        {"type": "EPSG", "properties": {"code": 4326}},
        "WGS84",
    ],
)
def test_file_in_wgs84_is_a_map_if_its_numbers_can_be_degrees(read, crs):
    collection = {"type": "FeatureCollection", "crs": crs}
    with pytest.raises(AnnotationError) as refused:
        read(collection | {"features": [feature({"type": "Polygon", "coordinates": [LAND]}, admin="DE")]})
    assert in_degrees(str(refused.value))
    far = [[x * 100, y * 100] for x, y in LAND]
    for small in (feature({"type": "Polygon", "coordinates": [far]}), feature(POLYGON)):
        assert len(read(collection | {"features": [small]})) == 1  # such files have passed through geopandas
    marked = feature({"type": "Polygon", "coordinates": [LAND]}, objectType="annotation")
    assert len(read(collection | {"features": [marked]})) == 1


@pytest.mark.parametrize("ring", [LAND, [[x, y + 0.5] for x, y in SQUARE], [[0.25, 0.5], [0.75, 0.5], [0.5, 0.25]]])
def test_small_annotation_near_the_corner_is_not_a_map(read, ring):
    assert len(read({"type": "Polygon", "coordinates": [ring]})) == 1


def test_written_file_is_what_qupath_reads(tmp_path):
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


def test_contours_round_trip_to_a_thousandth_of_a_pixel(tmp_path):
    rng = np.random.default_rng(2)
    contours = [Contour(rng.normal(0, 1e5, (50, 2)), (rng.uniform(size=(9, 2)),), color="#010203")]
    write_contours(tmp_path / "a.json", contours)
    [copy] = read_contours(tmp_path / "a.json")
    for one, two in zip(contours[0].rings, copy.rings, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)
    assert copy.color == "#010203"


def shown(contour):
    return contour.class_name, contour.color, [len(ring) for ring in contour.rings]


@pytest.mark.shared_data
@pytest.mark.parametrize("suffix", [".geojson", ".svg"])
def test_real_geojson_files_round_trip_with_every_point(shared, tmp_path, suffix):
    paths = sorted((shared / "data/contours").glob("*_geojson/*.geojson"))
    for path in paths:
        contours = read_contours(path)
        write_contours(tmp_path / f"copy{suffix}", contours)
        copies = read_contours(tmp_path / f"copy{suffix}")
        assert [shown(contour) for contour in copies] == [shown(contour) for contour in contours]
        points, copied = (np.vstack([ring for each in every for ring in each.rings]) for every in (contours, copies))
        np.testing.assert_allclose(copied, points, atol=1e-6)
    assert len(paths) == 8


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "count", "holes", "classes"),
    [
        ("histolytics_geojson/cancer_tissue_1000x1000", 9, 0, {"tumor": 6, "stroma": 3}),
        ("histolytics_geojson/cervix_tissue_crop", 26, 0, {"cin": 9, "stroma": 8, "gland": 8, "squamous": 1}),
        (
            "histolytics_geojson/hgsc_nest_nuclei",
            1295,
            0,
            {"inflammatory": 633, "connective": 374, "neoplastic": 288},
        ),
        ("histolytics_geojson/hgsc_stromal_nuclei", 423, 0, {"connective": 387, "inflammatory": 31, "neoplastic": 5}),
        ("qupath_geojson/dlup_qupath05", 3, 0, {"": 3}),
        ("qupath_geojson/hoverfast_tcga_tile", 4, 0, {"": 4}),
        ("qupath_geojson/large_image_sample_wgs84_NOT_pixels", 10, 0, {"": 10}),  # pixels, whatever its name says
    ],
)
def test_real_geojson_files_have_their_contours_and_classes(shared, name, count, holes, classes):
    contours = read_contours(shared / f"data/contours/{name}.geojson")
    assert (len(contours), sum(len(contour.holes) for contour in contours)) == (count, holes)
    assert Counter(contour.class_name for contour in contours) == classes


@pytest.mark.shared_data
def test_real_geojson_of_thousands_of_contours_has_every_point(shared):
    path = shared / "data/contours/histolytics_geojson/hgsc_tissue_wsi.geojson"
    contours = read_contours(path)
    features = json.loads(path.read_text())["features"]
    assert (len(contours), sum(len(contour.holes) for contour in contours)) == (3712, 2637)
    for contour, feature in zip(contours, features, strict=True):
        assert contour.class_name == feature["properties"]["classification"]["name"]
        assert len(contour.rings) == len(feature["geometry"]["coordinates"])
    points = np.vstack([ring for contour in contours for ring in contour.rings])
    expected = [point for feature in features for ring in feature["geometry"]["coordinates"] for point in ring[:-1]]
    np.testing.assert_allclose(points[:, ::-1] + 0.5, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.geojson is not JSON: "),
        ("[" * 100_000, "a.geojson is nested too deeply for a contour file"),
        ({"images": []}, "a.geojson is in none of the formats that .geojson files can have (QuPath GeoJSON, "),
        ({"type": "FeatureCollection", "features": 3}, "a.geojson: its features are 3, not a list"),
        ([feature(POLYGON), 7], "a.geojson, feature 2: is 7; a feature is an object"),
        (feature({"type": "Curve"}), 'a.geojson, feature 1: its geometry is "Curve"; only Polygon and MultiPolygon'),
        (feature("Polygon"), "a.geojson, feature 1: its geometry is null; only Polygon and MultiPolygon"),
        (feature(POLYGON, childObjects=[7]), "a.geojson, feature 2: is 7; a feature is an object"),
        (feature({"type": "GeometryCollection"}), 'a.geojson, feature 1: its geometry is "GeometryCollection"'),
        ({"type": "Polygon", "coordinates": [[["1", "2"], ["3", "4"], ["5", "7"]]]}, "a.geojson, feature 1: its coo"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [True, 4], [5, 7]]]}, "a.geojson, feature 1: its coordinates a"),
        (feature({"type": "Polygon"}), "a.geojson, feature 1: its Polygon has no coordinates"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3]]]}, "a.geojson, feature 1: its coordinates are not pairs"),
        ({"type": "Polygon", "coordinates": [[[1], [2], [3]]]}, "a.geojson, feature 1: its coordinates are not pairs"),
        ({"type": "Polygon", "coordinates": [[[1, 2], [3, 4], [1, 2]]]}, "a.geojson, feature 1: has 2 points; "),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, NaN], [5, 6]]]}', "a.geojson, feature 1: point 2 lies"),
        ('{"type": "Polygon", "coordinates": [[[1, 2], [3, 1e999], [5, 6]]]}', "a.geojson, feature 1: point 2"),
    ],
)  # fmt: skip
def test_unreadable_geojson_is_refused_by_file_and_feature(read, content, message):
    with pytest.raises(AnnotationError) as refused:
        read(content)
    assert str(refused.value).startswith(message)


def test_unreadable_or_unwritable_path_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(AnnotationError, match=r'a\.docx: "\.docx" .* known are \.svg, .*\.geojson, \.json\.'):
        read_contours("a.docx")
    with pytest.raises(AnnotationError, match="could not be read: No such file"):
        read_contours(tmp_path / "a.svg")
    with pytest.raises(AnnotationError, match=r"b\.svg, contour 1: has 1 point; "):
        write_contours(tmp_path / "b.svg", [Contour(np.zeros((1, 2)))])
    with pytest.raises(ProjectError, match="Create that folder first"):
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
def test_slide_finds_its_contours_by_its_name(tmp_path, slide, contours):
    for name in (slide, contours, "other.svg", "b.tif", f"{STEM}2.svg", "aa.geojson"):
        (tmp_path / name).touch()
    assert find_contour_file(tmp_path / slide, tmp_path) == tmp_path / contours


def test_slide_whose_name_is_as_long_as_names_may_be_finds_its_contours(tmp_path):
    slide, contours = tmp_path / f"{'L' * 251}.tif", tmp_path / f"{'L' * 251}.svg"
    slide.touch()
    assert find_contour_file(slide, tmp_path) is None  # although "….tif.annotations" is no name that a file can have
    contours.touch()
    assert find_contour_file(slide, tmp_path) == contours


def test_image_that_is_no_label_image_is_refused_with_the_formats_of_those(tmp_path):
    (tmp_path / "a_mask.jpg").touch()
    with pytest.raises(AnnotationError, match=r"one of these formats, or a label image as PNG or TIFF"):
        read_contours(tmp_path / "a_mask.jpg")


def test_outlines_come_before_masks_and_a_slide_is_never_its_own(tmp_path):
    slide = tmp_path / "a.tif"
    slide.touch()
    assert find_contour_file(slide, tmp_path) is None
    for name in ("mask_a.png", "a.png", "a_mask.png", "a.json"):
        (tmp_path / name).touch()
    assert find_contour_file(slide, tmp_path) == tmp_path / "a.json"
    assert find_contour_file(slide, tmp_path / "a.png") == tmp_path / "a.png"
    with pytest.raises(AnnotationError, match="none does not exist"):
        find_contour_file(slide, tmp_path / "none")
