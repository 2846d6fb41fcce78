"""COCO instances: one file with the outlines or masks of many images.

Polygons measure ``(x, y)`` from the corner of the first pixel: COCO's own code sets a pixel
if its centre, half a pixel further, is inside [1]_.  Masks are run-length encoded and become
outlines half-way between pixels, which rasterize to the same mask.

The polygons of one annotation are parts of one object; a polygon inside another is a hole in it
(even-odd).  COCO itself fills such holes, as it takes the union of all polygons.  Files written
here mark the rings that are holes under a separate key.  Crowds are read like other objects.
A category without a name is called by its supercategory.
Annotations with only a box or keypoints are skipped.

.. [1] ``rleFrPoly`` in ``common/maskApi.c`` of https://github.com/cocodataset/cocoapi; the
   format: https://cocodataset.org/#format-data
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour, Points, assign_holes
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.coco_rle import MaskBudget, run_length_contours
from napari_pathseg.contours.formats.json_tree import (
    clean_name,
    describe,
    from_corner,
    gc_paused,
    image_size,
    read_flat_pairs,
    stated_shape,
    to_corner,
)
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.errors import AnnotationError

_HOLES = "napari_pathseg_holes"  # indices of an annotation's polygons, from 0
_MAX_NAMES_IN_MESSAGE = 5
_MAX_ID_LENGTH = 40  # characters


class _Category(NamedTuple):
    """What a category gives its contours."""

    class_name: str = ""
    color: str | None = None
    layer: str = ""


class _Reader:
    """Reads the annotations of a file, within its limits."""

    def __init__(self, source: DocumentSource, categories: Mapping[int | str, _Category]) -> None:
        self._name = source.name
        self._categories = categories
        self._points = PointBudget(source.name)
        self._masks = MaskBudget(source.name, self._points)

    def contours(self, annotation: Mapping[str, Any], place: str) -> list[Contour]:
        """Return the outlines of one annotation."""
        category = self._category(annotation.get("category_id"), place)
        segmentation = annotation.get("segmentation")
        if isinstance(segmentation, dict):
            found = run_length_contours(segmentation, place, self._masks)
            return [replace(contour, **category._asdict()) for contour in found]
        nested = self._nested(self._rings(segmentation, place), annotation.get(_HOLES))
        return [Contour(outer, inner, **category._asdict()) for outer, inner in nested]

    def _category(self, id: Any, place: str) -> _Category:
        if id is None:
            return _Category()
        if not self._categories:
            return _Category(layer=f"category {clean_name(str(id))[:_MAX_ID_LENGTH]}")
        if not isinstance(id, int | str) or id not in self._categories:
            raise AnnotationError(f"{place}: category {describe(id)} is not in the file's categories. Add it there.")
        return self._categories[id]

    def _rings(self, segmentation: Any, place: str) -> list[Points]:
        if segmentation is None:
            return []
        if not isinstance(segmentation, list):
            raise AnnotationError(
                f"{place}: its segmentation is {describe(segmentation)}; only polygons and run-length masks can be "
                "read. Export it again."
            )
        flat = bool(segmentation) and not isinstance(segmentation[0], list)
        rings = [segmentation] if flat else segmentation
        return [from_corner(read_flat_pairs(ring, place, self._points), place) for ring in rings]

    def _nested(self, rings: list[Points], holes: Any) -> list[tuple[Points, tuple[Points, ...]]]:
        """Return outlines with their holes: the rings marked in the file, or else those inside others."""
        if rings and isinstance(holes, list) and holes == list(range(1, len(rings))):
            return [(rings[0], tuple(rings[1:]))]
        return assign_holes(rings, self._name)


def is_coco(document: Any) -> bool:
    """Return whether a document has lists of images and annotations."""
    return isinstance(document, dict) and all(isinstance(document.get(key), list) for key in ("images", "annotations"))


def has_multiple_coco_images(document: Any) -> bool:
    """Return whether a document has more than one image."""
    return len(document["images"]) > 1


def coco_image_shape(document: Any, source: DocumentSource, contours: Sequence[Contour]) -> tuple[int, int] | None:
    """Return the rows and columns of the slide's image, or of its first run-length mask; None if there are neither."""
    if not document["annotations"]:
        return None
    image = _image(document["images"], source)
    if stated := stated_shape(image.get("height"), image.get("width")):
        return stated
    for annotation in document["annotations"]:
        mask = annotation.get("segmentation") if _id(annotation.get("image_id")) == _id(image.get("id")) else None
        size = mask.get("size") if isinstance(mask, dict) else None
        if isinstance(size, list) and len(size) == 2:
            return stated_shape(*size)
    return None


@gc_paused()
def read_coco(document: Any, source: DocumentSource) -> list[Contour]:
    """Return the outlines of the image with the slide's name, or of the only image.

    Raises
    ------
    AnnotationError
        If not exactly one image has the slide's name; otherwise naming the annotation, counted from 1.
    """
    annotations = document["annotations"]
    if not annotations:
        return []
    image = _image(document["images"], source)
    reader = _Reader(source, _categories(document.get("categories"), source.name))
    wanted = _id(image.get("id"))
    contours = []
    for number, annotation in enumerate(annotations, 1):
        if not isinstance(annotation, dict):
            raise AnnotationError(
                f"{source.name}, annotation {number}: is {describe(annotation)}; an annotation is an object. "
                "Export it again."
            )
        if _id(annotation.get("image_id")) == wanted:
            contours += reader.contours(annotation, f"{source.name}, annotation {number}")
    return contours


def write_coco(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write a file of one image, with the slide's name and size, and an annotation for each contour."""
    rows, columns = image_size([contour.exterior for contour in contours], geometry.shape)
    image = {"id": 1, "file_name": geometry.name, "height": rows, "width": columns}
    colors = {contour.class_name: contour.color for contour in reversed(contours)}
    numbers = {name: number for number, name in enumerate(reversed(colors), 1)}
    categories = [
        {"id": number, "name": name, "supercategory": ""}
        | ({"color": list(bytes.fromhex(color[1:]))} if (color := colors[name]) else {})
        for name, number in numbers.items()
    ]
    annotations = ",\n".join(
        json.dumps(_annotation(contour, number, numbers[contour.class_name]))
        for number, contour in enumerate(contours, 1)
    )
    path.write_text(
        f'{{"info": {{}}, "licenses": [],\n"images": {json.dumps([image], ensure_ascii=False)},\n'
        f'"categories": {json.dumps(categories, ensure_ascii=False)},\n"annotations": [\n{annotations}\n]}}\n',
        encoding="utf-8",
    )


def _image(images: Sequence[Any], source: DocumentSource) -> Mapping[str, Any]:
    """Return the entry of the image that is the slide."""
    entries = [image for image in images if isinstance(image, dict)]
    if len(entries) == 1:
        return entries[0]
    names = [_base_name(image.get("file_name")) for image in entries]
    wanted = _base_name(source.geometry.name)
    for like in (
        lambda name: name == wanted,
        lambda name: _stem(name) == wanted,
        lambda name: _stem(name) == _stem(wanted),
    ):
        found = [image for image, name in zip(entries, names, strict=True) if wanted and like(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise AnnotationError(f"{source.name}: {len(found)} of its images are named {wanted}. Rename all but one.")
    listed = ", ".join(names[:_MAX_NAMES_IN_MESSAGE]) + (", ..." if len(names) > _MAX_NAMES_IN_MESSAGE else "")
    reason = f"none of them is named like the slide, {wanted}" if wanted else "which is the slide is not known"
    raise AnnotationError(
        f"{source.name} has the contours of {len(names)} images ({listed}), and {reason}. "
        "Name an image in it like the slide, or keep only one."
    )


def _base_name(name: Any) -> str:
    return PurePosixPath(clean_name(name).replace("\\", "/")).name


def _stem(name: str) -> str:
    return PurePosixPath(name).stem.removesuffix(".ome")


def _id(value: Any) -> int | str | None:
    return value if isinstance(value, int | str) else None


def _categories(categories: Any, file_name: str) -> dict[int | str, _Category]:
    """Return the categories by id."""
    found: dict[int | str, _Category] = {}
    above = Counter(
        clean_name(entry.get("supercategory"))
        for entry in (categories if isinstance(categories, list) else [])
        if isinstance(entry, dict)
    )
    for category in categories if isinstance(categories, list) else []:
        id = _id(category.get("id")) if isinstance(category, dict) else None
        if id is None:
            raise AnnotationError(f"{file_name}: one of its categories has no id. Export it again.")
        color = category.get("color")
        known = isinstance(color, list) and len(color) == 3 and all(type(v) is int and 0 <= v < 256 for v in color)
        name, group = clean_name(category.get("name")), clean_name(category.get("supercategory"))
        if not name.strip() or (group and above[group] == 1):  # a group of several categories is not the class of one
            name = specific_name(name, group) or name
        layer = "" if name.strip() else f"category {clean_name(str(id))[:_MAX_ID_LENGTH]}"
        found[id] = _Category(name, "#{:02x}{:02x}{:02x}".format(*color) if known else None, layer)
    return found


def _annotation(contour: Contour, number: int, category: int) -> dict[str, Any]:
    corner = [to_corner(ring) for ring in contour.rings]
    left, top = corner[0].min(axis=0).tolist()
    right, bottom = corner[0].max(axis=0).tolist()
    area, *holes = (_area(ring) for ring in contour.rings)
    return {
        "id": number,
        "image_id": 1,
        "category_id": category,
        "segmentation": [ring.ravel().tolist() for ring in corner],
        "area": max(0.0, area - sum(holes)),
        "bbox": [left, top, right - left, bottom - top],
        "iscrowd": 0,
    } | ({_HOLES: list(range(1, len(corner)))} if holes else {})


def _area(ring: Points) -> float:
    """Return the area inside a ring."""
    rows, columns = (ring - ring[0]).T
    return abs(float(rows @ np.roll(columns, -1) - columns @ np.roll(rows, -1))) / 2
