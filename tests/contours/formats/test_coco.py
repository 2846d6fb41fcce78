"""COCO instances: polygons and run-length masks of the image that is the slide."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats import SlideGeometry, read_contours, write_contours
from napari_pathseg.contours.formats.base import DocumentSource
from napari_pathseg.contours.formats.coco import read_coco
from napari_pathseg.contours.rasterize import rasterize
from napari_pathseg.errors import AnnotationError

FUZZ = int(os.environ.get("FUZZ", "1"))  # `make fuzz` tries so many times as much

OUTER, INNER, ISLAND = [0, 0, 9, 0, 9, 9, 0, 9], [1, 1, 8, 1, 8, 8, 1, 8], [2, 2, 4, 2, 4, 4]


def image_entry(number=1, file_name="a.png", height=10, width=12):
    return {"id": number, "file_name": file_name, "height": height, "width": width}


ONE_IMAGE = [image_entry()]


def annotated(*segmentations, images=ONE_IMAGE, **more):
    annotations = [{"image_id": 1, "category_id": 3, "segmentation": each, **more} for each in segmentations]
    categories = [{"id": 3, "name": "Tumour", "color": [200, 0, 10]}, {"id": 4, "name": "Stroma"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def read(document, frame=None):
    return read_coco(document, DocumentSource("a.json", frame or SlideGeometry()))


def counts_of(mask):
    """Return the runs of a mask as COCO counts them, one pixel after the other."""
    runs, value = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def text_of(runs):
    """Return the runs as COCO's text, one character after the other."""
    text = ""
    for index, run in enumerate(runs):
        number = run - (runs[index - 2] if index > 2 else 0)
        more = True
        while more:
            letter, number = number & 31, number >> 5
            more = number != (-1 if letter & 16 else 0)
            text += chr(48 + (letter | (32 if more else 0)))
    return text


def test_coco_polygon_counts_from_the_pixel_corner():
    [contour] = read(annotated([[1, 1, 3, 1, 3, 2, 1, 2]]))
    assert contour.exterior.tolist() == [[0.5, 0.5], [0.5, 2.5], [1.5, 2.5], [1.5, 0.5]]
    assert (contour.class_name, contour.color) == ("Tumour", "#c8000a")
    assert np.argwhere(rasterize([contour], (10, 12))).tolist() == [[1, 1], [1, 2]]


def test_nested_polygons_of_one_object_are_holes_and_islands():
    lake, island = read(annotated([OUTER, INNER, ISLAND]))
    assert [len(lake.holes), len(island.holes)] == [1, 0]
    assert [len(contour.holes) for contour in read(annotated([OUTER], [INNER]))] == [0, 0]


def test_polygon_without_a_list_is_read_and_a_lone_box_skipped():
    assert len(read(annotated(OUTER, [], None, bbox=[0, 0, 9, 9]))) == 1


@given(mask=arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))), as_text=st.booleans())
@settings(max_examples=200 * FUZZ, deadline=None)
def test_run_length_mask_rasterizes_to_the_same_pixels(mask, as_text):
    runs = counts_of(mask)
    segmentation = {"size": list(mask.shape), "counts": text_of(runs) if as_text else runs}
    contours = read(annotated(segmentation, images=[image_entry(height=mask.shape[0], width=mask.shape[1])], iscrowd=1))
    assert np.array_equal(rasterize(contours, mask.shape) > 0, mask)
    assert {contour.class_name for contour in contours} <= {"Tumour"}


def test_large_compressed_mask_rasterizes_to_the_same_pixels():
    rows, columns = np.ogrid[:700, :900]
    mask = ((rows - 300) ** 2 + (columns - 500) ** 2 < 200**2) & ((rows // 40 + columns // 40) % 3 > 0)
    segmentation = {"size": [700, 900], "counts": text_of(counts_of(mask))}
    contours = read(annotated(segmentation, images=[image_entry(height=700, width=900)]))
    assert np.array_equal(rasterize(contours, mask.shape) > 0, mask)


@pytest.mark.parametrize(
    ("runs", "text"),
    [
        ([0, 6, 1, 3], "061M"),
        ([0, 6, 1, 6], "0610"),
        ([0, 1, 1, 2, 1, 3, 1, 4, 1], "011101010"),
        ([0, 1024], "0PP1"),
        ([0, 4, 8, 4], "0480"),
    ],
)
def test_runs_as_a_list_equal_those_in_the_text_of_coco(runs, text):
    images = [image_entry(height=1, width=sum(runs))]
    as_list, as_text = (read(annotated({"size": [1, sum(runs)], "counts": c}, images=images)) for c in (runs, text))
    assert text_of(runs) == text
    assert [c.exterior.tolist() for c in as_text] == [c.exterior.tolist() for c in as_list]
    assert rasterize(as_text, (1, sum(runs))).astype(bool).sum() == sum(runs[1::2])


IMAGES = [image_entry(1, "train/a.png"), image_entry(2, "b.ome.tif"), image_entry(3, "C:\\slides\\c.x.jpg")]


@pytest.mark.parametrize(
    ("name", "number"), [("a.png", 1), ("a", 1), ("a.svs", 1), ("b.ome.tif", 2), ("b", 2), ("c.x", 3), ("c.x.ndpi", 3)]
)
def test_image_named_like_the_slide_is_read_among_several(name, number):
    document = annotated(OUTER, images=IMAGES)
    document["annotations"] += [{"image_id": 2, "segmentation": [INNER]}, {"image_id": 3, "segmentation": [ISLAND]}]
    [contour] = read(document, SlideGeometry(name))
    assert contour.exterior[0].tolist() == [[-0.5, -0.5], [0.5, 0.5], [1.5, 1.5]][number - 1]


@pytest.mark.parametrize(
    ("document", "frame", "message"),
    [
        (
            annotated(OUTER, images=IMAGES),
            SlideGeometry(),
            "a.json has the contours of 3 images (a.png, b.ome.tif, c.x.jpg",
        ),
        (
            annotated(OUTER, images=IMAGES),
            SlideGeometry("d.tif"),
            "a.json has the contours of 3 images (a.png, b.om",
        ),
        (annotated(OUTER, images=IMAGES * 2), SlideGeometry("a"), "a.json: 2 of its images are named a. "),
        (annotated(OUTER, images=[]), SlideGeometry("a"), "a.json has the contours of 0 images"),
        (
            annotated([OUTER, OUTER[:5]]),
            SlideGeometry(),
            "a.json, annotation 1: its outline is not a list of x, y, x, y",
        ),
        (annotated([OUTER[:4]]), SlideGeometry(), "a.json, annotation 1: has 2 points; an outline needs 3 or more"),
        (annotated([OUTER], 7), SlideGeometry(), "a.json, annotation 2: its segmentation is 7; only polygons and run"),
        (
            annotated([OUTER], category_id=9),
            SlideGeometry(),
            "a.json, annotation 1: category 9 is not in the file's cat",
        ),
        (
            annotated({"counts": [12]}),
            SlideGeometry(),
            "a.json, annotation 1: the size of its mask is null, not [rows",
        ),
        (
            annotated({"size": [2, 6], "counts": [1, 2]}),
            SlideGeometry(),
            "a.json, annotation 1: the runs of its mask do not",
        ),
        (
            annotated({"size": [2, 6], "counts": "~"}),
            SlideGeometry(),
            "a.json, annotation 1: the runs of its mask cannot",
        ),
        (
            annotated({"size": [20_000, 20_000], "counts": []}),
            SlideGeometry(),
            "a.json, annotation 1: its mask has 20000 x 20000 pixels; at most 268,435,456 can be read",
        ),
        (
            annotated({"size": [16_000, 16_000], "counts": [0, 256_000_000]}),
            SlideGeometry(),
            "a.json, annotation 1: its mask covers 16,000 x 16,000 pixels; at most 67,108,864 can be read",
        ),
    ],
)
def test_unreadable_coco_is_refused_by_file_and_annotation(document, frame, message):
    with pytest.raises(AnnotationError) as refused:
        read(document, frame)
    assert str(refused.value).startswith(message)


def test_written_file_is_valid_coco(tmp_path):
    square = np.array([[-0.5, -0.5], [-0.5, 3.5], [1.5, 3.5], [1.5, -0.5]])
    contours = [Contour(square, (square / 2,), "Tumour"), Contour(square, class_name="Stroma")]
    frame = SlideGeometry("a.tif", (100, 200))
    write_contours(tmp_path / "a.json", contours, {"Tumour": "#c80000"}, format="coco", frame=frame)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["images"] == [{"id": 1, "file_name": "a.tif", "height": 100, "width": 200}]
    assert [(c["id"], c["name"], c.get("color")) for c in document["categories"]] == [
        (1, "Tumour", [200, 0, 0]),
        (2, "Stroma", None),
    ]
    lake, plain = document["annotations"]
    assert plain == {
        "id": 2,
        "image_id": 1,
        "category_id": 2,
        "segmentation": [[0, 0, 4, 0, 4, 2, 0, 2]],
        "area": 8,
        "bbox": [0, 0, 4, 2],
        "iscrowd": 0,
    }
    assert (lake["area"], lake["napari_pathseg_holes"], len(lake["segmentation"])) == (6, [1], 2)
    assert [contour.color for contour in read_contours(tmp_path / "a.json")] == ["#c80000", None]


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["instances_val", "roboflow__val"])
def test_real_coco_file_with_a_polygon_and_a_crowd_is_read(shared, name):
    [path] = (shared / "data/contours/coco").glob(f"*{name}*.json")
    outline, crowd = read_contours(path)
    assert (outline.class_name, outline.exterior.tolist()) == (
        "a",
        [[-0.5, -0.5], [-0.5, 0.5], [1.5, 0.5], [1.5, -0.5]],
    )
    painted = np.zeros((10, 5), bool)
    painted[:, :2] = True  # 20 pixels down the columns
    assert crowd.class_name == "b"
    assert np.array_equal(rasterize([crowd], (10, 5)) > 0, painted)


@pytest.mark.shared_data
def test_real_coco_files_with_boxes_only_have_no_contour(shared):
    for pattern, name in (("*instances_train*", ""), ("*relaxed*", "train_001.png"), ("*coco__train*", "train_002")):
        [path] = (shared / "data/contours/coco").glob(pattern)
        assert read_contours(path, SlideGeometry(name)) == []
