"""LabelMe's shapes: polygons, rectangles, circles and masks of one image."""

import base64
import io
import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, read_contours, write_contours
from napari_pathseg.contours.formats.base import DocumentSource
from napari_pathseg.contours.formats.labelme import read_labelme
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

SQUARE = [[0, 0], [9, 0], [9, 9], [0, 9]]
INNER = [[1, 1], [8, 1], [8, 8], [1, 8]]


def shape(points, kind="polygon", **more):
    return {"label": "Tumour", "points": points, "shape_type": kind} | more


def read(*shapes, frame=None, **more):
    return read_labelme({"shapes": list(shapes), **more}, DocumentSource("a.json", frame or SlideGeometry()))


def png(pixels):
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()


def test_labelme_shapes_count_from_the_pixel_corner():
    [contour] = read(shape([[1, 1], [3, 1], [3, 2], [1, 2]]))
    assert contour.exterior.tolist() == [[0.5, 0.5], [0.5, 2.5], [1.5, 2.5], [1.5, 0.5]]
    assert contour.class_name == "Tumour"
    assert np.argwhere(rasterize([contour], (9, 9))).tolist() == [[1, 1], [1, 2]]


@pytest.mark.parametrize(
    "drawn",
    [
        shape(SQUARE, None),
        shape([[9, 9], [0, 0]], "rectangle"),
        shape([[0, 9], [9, 0]], "rectangle"),
        shape(SQUARE, "rectangle"),
        shape(SQUARE, "oriented_rectangle"),
    ],
)
def test_rectangle_or_shape_without_a_type_is_an_outline(drawn):
    [contour] = read(drawn)
    assert rasterize([contour], (12, 12)).astype(bool).sum() == 81


def test_circle_has_the_area_of_a_circle():
    [contour] = read(shape([[50, 40], [50, 60]], "circle"))
    inside = np.argwhere(rasterize([contour], (100, 100)))
    assert len(inside) == pytest.approx(np.pi * 20**2, rel=0.01)
    assert inside.mean(axis=0).tolist() == pytest.approx([39.5, 49.5])


def test_points_and_lines_are_skipped():
    kinds = ("point", "line", "linestrip", "points")
    assert read(*(shape(SQUARE[:2], kind) for kind in kinds)) == []


@pytest.mark.parametrize("past", [0, 1])
@pytest.mark.parametrize("to_stored", [lambda mask: mask, lambda mask: mask * np.uint8(255)])
def test_mask_is_placed_at_the_first_corner_of_its_box(past, to_stored):
    mask = np.random.default_rng(0).random((7, 5)) > 0.4
    corners = [[11.0, 20.0], [11.0 + 4 + past, 20.0 + 6 + past]]
    contours = read(shape(corners[:: -1 if past else 1], "mask", mask=png(to_stored(mask))))
    painted = np.zeros((40, 40), bool)
    painted[20:27, 11:16] = mask
    assert np.array_equal(rasterize(contours, (40, 40)) > 0, painted)
    assert {contour.class_name for contour in contours} == {"Tumour"}


def test_shapes_of_one_group_and_label_are_one_object_with_holes():
    [lake] = read(shape(INNER, group_id=3), shape(SQUARE, group_id=3))
    assert len(lake.holes) == 1
    assert [len(contour.holes) for contour in read(shape(SQUARE, group_id=3), shape(INNER, group_id=4))] == [0, 0]
    assert [len(contour.holes) for contour in read(shape(SQUARE), shape(INNER))] == [0, 0]
    assert len(read(shape(SQUARE, group_id=3), shape(INNER, group_id=3, label="Stroma"))) == 2


BOX = [[1, 1], [2, 1]]
WHITE = png(np.full((1, 2), 255, np.uint8))


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (7, "a.json, shape 1: is 7; a shape is an object"),
        (
            shape(SQUARE, "spline"),
            'a.json, shape 1: its type is "spline"; only polygon, rectangle, circle an',
        ),
        (shape([[1, "2"]]), "a.json, shape 1: its coordinates are not pairs of numbers"),
        (shape(SQUARE[:2]), "a.json, shape 1: has 2 points; an outline needs 3 or more"),
        (shape(SQUARE, "circle"), "a.json, shape 1: its circle has 4 points, not 2"),
        (shape([[1, 1], [1, 1]], "circle"), "a.json, shape 1: its circle has no radius"),
        (shape([[1, 1], [1e300, 1]], "circle"), "a.json, shape 1: point 2 lies at row 1, column 1e+300"),
        (shape(BOX, "mask"), "a.json, shape 1: its mask is not a readable PNG image"),
        (shape(BOX, "mask", mask="=!ä"), "a.json, shape 1: its mask is not base64 text"),
        (shape(BOX, "mask", mask=WHITE[:60]), "a.json, shape 1: its mask is not a readable PNG image"),
        (
            shape([[1, 1], [9, 9]], "mask", mask=WHITE),
            "a.json, shape 1: its mask has 1 x 2 pixels, but its box has",
        ),
    ],
)
def test_unreadable_labelme_is_refused_by_file_and_shape(drawn, message):
    with pytest.raises(AnnotationError) as refused:
        read(drawn)
    assert str(refused.value).startswith(message)


def test_mask_too_large_is_refused_before_it_is_decoded():
    black = png(np.zeros((8_193, 8_192), bool))
    with pytest.raises(AnnotationError, match=r"its mask covers 8,193 x 8,192 pixels; at most 67,108,864 can be read"):
        read(shape([[0, 0], [8_191, 8_192]], "mask", mask=black))


def test_written_file_is_what_labelme_reads(tmp_path):
    square = np.array([[-0.5, -0.5], [-0.5, 3.5], [1.5, 3.5], [1.5, -0.5]])
    contours = [Contour(square, class_name="Stroma"), Contour(square, (square / 2,), "Tumour")]
    write_contours(tmp_path / "a.json", contours, format="labelme", frame=SlideGeometry("a.tif", (100, 200)))
    document = json.loads((tmp_path / "a.json").read_text())
    plain, outer, hole = document.pop("shapes")
    assert document == {
        "version": "5.5.0",
        "flags": {},
        "imagePath": "a.tif",
        "imageData": None,
        "imageHeight": 100,
        "imageWidth": 200,
    }
    assert plain == {
        "label": "Stroma",
        "points": [[0, 0], [4, 0], [4, 2], [0, 2]],
        "group_id": None,
        "shape_type": "polygon",
        "flags": {},
    }
    assert [(each["label"], each["group_id"], each["flags"]) for each in (outer, hole)] == [
        ("Tumour", 2, {}),
        ("Tumour", 2, {"hole": True}),
    ]


def test_image_in_a_labelme_file_is_ignored(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"imageData": "A" * 60_000_000, "shapes": [{"label": "a", "points": [[0, 0], [4, 0], [4, 4]]}]})
    )
    tracemalloc.start()
    try:
        assert len(read_contours(path)) == 1
        assert tracemalloc.get_traced_memory()[1] < 130e6  # that of the file, and once more at its reading
    finally:
        tracemalloc.stop()
