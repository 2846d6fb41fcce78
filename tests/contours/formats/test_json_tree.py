"""All JSON formats round-trip contours and refuse hostile files quickly."""

import copy
import json
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import FORMATS, SlideGeometry, read_contours, write_contours
from napari_pathseg.contours.formats.base import DocumentSource
from napari_pathseg.errors import AnnotationError

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

KEYS = ("geojson", "coco", "labelme")
SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]
MODEST = settings(max_examples=60 * FUZZ, deadline=None, suppress_health_check=list(HealthCheck))


def square(top, left, side):
    return np.array([[top, left], [top, left + side], [top + side, left + side], [top + side, left]], float)


def assert_same(copies, contours):
    assert len(copies) == len(contours)
    for one, two in zip(copies, contours, strict=True):
        assert (one.class_name, len(one.rings)) == (two.class_name, len(two.rings))
        for ring, expected in zip(one.rings, two.rings, strict=True):
            np.testing.assert_allclose(ring, expected, atol=1e-3)


@st.composite
def rings(draw):
    numbers = st.integers(-(10**8), 10**8)
    points = draw(st.lists(st.tuples(numbers, numbers), min_size=3, max_size=9))
    points = points if points[0] != points[-1] else [*points, (points[0][0] + 1, 0)]
    return np.array(points) / 1000


CONTOURS = st.lists(
    st.builds(Contour, rings(), st.lists(rings(), max_size=3).map(tuple), st.text(max_size=5)), max_size=5
)


@pytest.mark.parametrize("key", KEYS)
@given(contours=CONTOURS)
@MODEST
def test_contours_round_trip_through_json_with_holes_and_classes(tmp_path, key, contours):
    write_contours(tmp_path / "a.json", contours, format=key, frame=SlideGeometry("a.tif", (50, 60)))
    assert_same(read_contours(tmp_path / "a.json", SlideGeometry("a", (50, 60))), contours)


@pytest.mark.parametrize("key", KEYS)
def test_class_name_of_spaces_alone_is_kept(tmp_path, key):
    contours = [Contour(square(0, 0, 9), (), name) for name in ("\x85", " ")]
    write_contours(tmp_path / "a.json", contours, format=key)
    assert_same(read_contours(tmp_path / "a.json"), contours)


@pytest.mark.parametrize("key", KEYS)
def test_islands_in_holes_and_touching_holes_round_trip(tmp_path, key):
    lake = Contour(square(0, 0, 100), (square(10, 10, 50), square(60, 60, 30), square(10, 60, 20)), "Tumour")
    island = Contour(square(20, 20, 30), (square(25, 25, 10),), "Tumour")
    inmost = Contour(square(28, 28, 3), (), "Stroma")
    contours = [lake, island, inmost, Contour(square(0, 100, 10), (square(0, 100, 5),))]
    write_contours(tmp_path / "a.json", contours, format=key)
    assert_same(read_contours(tmp_path / "a.json"), contours)


def test_json_file_is_geojson_unless_another_format_is_named(tmp_path):
    write_contours(tmp_path / "a.json", [Contour(square(0, 0, 9))])
    assert json.loads((tmp_path / "a.json").read_text())["type"] == "FeatureCollection"


GEOJSON = {
    "type": "FeatureCollection",
    "crs": {"type": "name", "properties": {"name": "EPSG:4326"}},
    "features": [
        {
            "type": "Feature",
            "id": "PathAnnotationObject",
            "geometry": {"type": "Polygon", "coordinates": [[*SQUARE, [0, 0]]]},
            "properties": {
                "objectType": "annotation",
                "classification": {"name": "Tumor", "names": ["Tumor"], "colorRGB": -377282, "color": [1, 2, 3]},
                "isMissing": False,
                "childObjects": [],
            },
        },
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[SQUARE]]}, "properties": {}},
        {
            "type": "Feature",
            "geometry": {"type": "GeometryCollection", "geometries": [{"type": "Polygon", "coordinates": [SQUARE]}]},
        },
    ],
}
COCO = {
    "images": [{"id": 1, "file_name": "a.png", "height": 4, "width": 3}],
    "categories": [{"id": 1, "name": "Tumour", "color": [1, 2, 3]}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[0, 0, 2, 0, 2, 2.5], [0, 0, 1, 0, 1, 1]]},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": {"size": [4, 3], "counts": [1, 5, 6]}},
        {"id": 3, "image_id": 1, "category_id": 1, "segmentation": {"size": [4, 3], "counts": "156"}},
        {"id": 4, "image_id": 1, "segmentation": [[0, 0, 3, 0, 3, 3], [1, 1, 2, 1, 2, 2]], "napari_pathseg_holes": [1]},
    ],
}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAAAAADRSSBWAAAADElEQVR4nGNgYGAAAAAEAAEnNCcKAAAAAElFTkSuQmCC"
LABELME = {
    "version": "5.5.0",
    "imageHeight": 9,
    "imageWidth": 9,
    "shapes": [
        {"label": "a", "points": SQUARE, "shape_type": "polygon", "group_id": 1, "flags": {"hole": True}},
        {"label": "a", "points": SQUARE, "shape_type": "polygon", "group_id": 1, "flags": {}},
        {"label": "a", "points": SQUARE[:2], "shape_type": "circle", "group_id": None},
        {"label": "a", "points": [SQUARE[0], SQUARE[2]], "shape_type": "rectangle"},
        {"label": "a", "points": [[1, 1], [2, 1]], "shape_type": "mask", "mask": PNG},
    ],
}
SEEDS = {"geojson": GEOJSON, "coco": COCO, "labelme": LABELME}


def keys_and_words(value):
    """Yield every key and string of a document."""
    if isinstance(value, dict):
        return {*value, *(word for part in value.values() for word in keys_and_words(part))}
    if isinstance(value, list):
        return {word for part in value for word in keys_and_words(part)}
    return {value} if isinstance(value, str) else set()


def paths(value, path=()):
    """Yield the location of every value in a document."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths(part, (*path, key))


WORDS = st.sampled_from(sorted(set().union(*map(keys_and_words, SEEDS.values()))))
HUGE = st.sampled_from([10**400, -(10**9), 2**31, 2**63, 1e308, -1e308, float("inf"), float("nan"), -0.0])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | HUGE | st.text(max_size=4) | WORDS
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


def read_or_refuse(key, document):
    """Read a document as a format, if it is one; anything but an AnnotationError is a bug."""
    if not FORMATS[key].matches(document):
        return
    for frame in (SlideGeometry(), SlideGeometry("a.png", (4, 3))):
        message = "a.json"
        try:
            FORMATS[key].read(document, DocumentSource("a.json", frame))
        except AnnotationError as error:
            message = str(error)
        assert message.startswith("a.json")
        assert len(message) < 600


@pytest.mark.parametrize("key", KEYS)
@given(document=JSON)
@MODEST
def test_arbitrary_json_is_read_or_refused(key, document):
    read_or_refuse(key, document)


@pytest.mark.parametrize("key", KEYS)
def test_each_seed_document_is_valid(key):
    assert FORMATS[key].read(SEEDS[key], DocumentSource("a.json", SlideGeometry("a.png")))


@pytest.mark.parametrize("key", KEYS)
@given(data=st.data())
@settings(MODEST, max_examples=250 * FUZZ)
def test_mutated_document_is_read_or_refused(key, data):
    document = copy.deepcopy(SEEDS[key])
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from([path for path in paths(document) if path]))
        parent = document
        for step in way:
            parent = parent[step]
        if data.draw(st.integers(0, 4)):
            parent[last] = data.draw(JSON)
        else:
            del parent[last]
    read_or_refuse(key, document)


def coco(segmentation):
    return COCO | {"annotations": [{"image_id": 1, "category_id": 1, "segmentation": segmentation}]}


def polygon(x):
    return f'{{"type": "Polygon", "coordinates": [[[0, 0], [4, {x}], [4, 4]]]}}'


DEEP = '{"type": "Polygon", "coordinates": ' + "[" * 900 + "]" * 900 + "}"
HOSTILE = {
    "lists": "[" + "[]," * 9_000_000 + "[]]",
    "objects": "[" + "{}," * 9_000_000 + "{}]",
    "values": "[" + "0," * 17_000_000 + "0]",
    "points": f'{{"type": "Polygon", "coordinates": [[{"[1,2]," * 8_100_000}[1,2]]]}}',
    "checkerboard": json.dumps(coco({"size": [1001, 1001], "counts": [1] * 1001**2})),
    "deep": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "deep but read": DEEP,
    "deep geometries": '{"type": "GeometryCollection", "geometries": [' * 300 + "7" + "]}" * 300,
    "not finite": polygon("NaN"),
    "without end": polygon("-Infinity"),
    "far": polygon("1e308"),
    "farther": polygon("1e999999"),
    "more digits than are read": polygon("9" * 5000),
    "many digits": polygon("9" * 4000),
    "a million decimals": polygon("1e9" + "0" * 1_000_000),
    "said twice": '{"type": "Polygon", "coordinates": [], "coordinates": [[[0, 0], [4, 0], [4, 4]]]}',
    "said twice, deep": '{"a": ' + "[" * 900 + "]" * 900 + ', "a": ' + "[" * 900 + "1" + "]" * 900 + "}",
    "no text": b"\xff\xfe\x00\xd8\xff",
    "nothing": "",
    "long text for a number": polygon('"' + "9" * 1_000_000 + '"'),
    "huge image": json.dumps(coco({"size": [10**9, 10**9], "counts": [0, 10**18]})),
    "huge box": json.dumps(coco({"size": [16_384, 16_384], "counts": [0, 16_384**2]})),
    "huge count": json.dumps(coco({"size": [4, 3], "counts": [0, 10**30]})),
    "counts that overflow": json.dumps(coco({"size": [4, 3], "counts": [2**62, 2**62, 2**62, 2**62 + 12]})),
    "counts below 0": json.dumps(coco({"size": [4, 3], "counts": [-5, 17]})),
    "too few": json.dumps(coco({"size": [4, 3], "counts": [1, 2]})),
    "text without end": json.dumps(coco({"size": [4, 3], "counts": "o" * 1_000_000})),
    "text of zeros": json.dumps(coco({"size": [4, 3], "counts": "0" * 4_000_000})),
    "text that adds up far": json.dumps(coco({"size": [4, 3], "counts": "ooooooO" * 100_000})),
    "true for a number": json.dumps(coco({"size": [4, 3], "counts": [True, 11]})),
    "circle as large as the sky": json.dumps(
        {"shapes": [{"shape_type": "circle", "points": [[0, 0], [1e300, 0]], "label": "a"}]}
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_in_a_second_and_200_mb(tmp_path, name, at_most_loops):
    content = HOSTILE[name]
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with at_most_loops(100), pytest.raises(AnnotationError, match=r"^a\.json"):  # less than 1 s
        read_contours(path)
    tracemalloc.start()
    try:
        with pytest.raises(AnnotationError) as refused:
            read_contours(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    assert len(str(refused.value)) < 600


def test_many_masks_of_the_largest_size_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_pathseg.contours.formats.coco_rle.MAX_IMAGE_PIXELS", 30)
    mask = {"size": [4, 3], "counts": [0, 12]}
    document = COCO | {"annotations": [{"image_id": 1, "segmentation": mask}] * 2}
    assert len(FORMATS["coco"].read(document, DocumentSource("a.json"))) == 2
    with pytest.raises(AnnotationError, match="its masks cover more than 30 pixels"):
        FORMATS["coco"].read(document | {"annotations": document["annotations"] * 2}, DocumentSource("a.json"))


def test_duplicate_key_with_the_same_value_is_read(tmp_path):
    features = (
        '{"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4]]], "metadata": {"a": 1}, "metadata": {"a": 1}}'
    )
    (tmp_path / "a.json").write_text(features)
    assert len(read_contours(tmp_path / "a.json")) == 1


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_each_of_its_encodings(tmp_path, encoding):
    text = json.dumps({"shapes": [{"label": "Ödem", "points": SQUARE}]}, ensure_ascii=False)
    (tmp_path / "a.json").write_text(text, encoding=encoding)
    assert [contour.class_name for contour in read_contours(tmp_path / "a.json")] == ["Ödem"]


def test_million_vertices_and_many_contours_are_read_in_seconds(tmp_path, at_most_loops):
    angle = np.linspace(0, 2 * np.pi, 1_000_000, endpoint=False)
    points = np.stack([np.sin(angle), np.cos(angle)], axis=1) * 1e4
    text = json.dumps({"type": "Polygon", "coordinates": [points.tolist()]})
    (tmp_path / "large.geojson").write_text(text)
    with at_most_loops(30):
        assert len(read_contours(tmp_path / "large.geojson")[0].exterior) == 1_000_000
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [points[::50_000].tolist()]}}
    text = json.dumps(feature | {"properties": {"classification": {"name": "Tumor", "color": [200, 0, 0]}}})
    (tmp_path / "many.geojson").write_text(f"[{','.join([text] * 20_000)}]")
    with at_most_loops(20):
        assert len(read_contours(tmp_path / "many.geojson")) == 20_000
