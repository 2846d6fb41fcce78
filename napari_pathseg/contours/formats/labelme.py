"""LabelMe's JSON: the shapes drawn on one image.

LabelMe draws the first pixel of its image from (0, 0) to (1, 1) and saves ``(x, y)`` as
clicked [1]_; we measure from that pixel's centre, hence the half pixel.  A shape of type *mask*
is a base64-encoded PNG whose first pixel is the upper left of its two points [2]_.  Circles are
a centre and a point on the circle.  Points and lines are skipped.

Shapes with the same label and ``group_id`` are parts of one object; a shape inside another is a
hole in it (even-odd), which LabelMe itself cannot draw.  Files written here mark holes by a LabelMe flag.

The class of a shape without a label is the only flag that is set on it; otherwise it is distinguished by its
description, or by a ``group_id`` that several shapes share.

.. [1] ``labelme/widgets/canvas.py`` of https://github.com/wkentaro/labelme: ``paintEvent``
   and ``transformPos``
.. [2] ``shapes_to_label`` in ``labelme/utils/shape.py`` there
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour, Points, assign_holes, check_ring
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.coco_rle import MaskBudget, mask_contours
from napari_pathseg.contours.formats.curves import FLATNESS
from napari_pathseg.contours.formats.json_tree import (
    clean_name,
    describe,
    from_corner,
    gc_paused,
    image_size,
    read_pairs,
    stated_shape,
    to_corner,
)
from napari_pathseg.contours.formats.label_images.reader import decode_png
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.errors import AnnotationError

_HOLE = "hole"
_MAX_GROUP_LENGTH = 40  # characters
_POLYGONS = ("polygon", "oriented_rectangle", "rotation")
_WITHOUT_AREA = ("point", "points", "line", "linestrip")


@dataclass
class _Object:
    """The shapes with the same label and group."""

    class_name: str
    layer: str
    rings: list[Points] = field(default_factory=list)
    holes: set[int] = field(default_factory=set)  # indices of `rings`, marked in files written here
    masks: list[Contour] = field(default_factory=list)

    def contours(self, file_name: str) -> Iterator[Contour]:
        """Yield the outlines with their holes."""
        for outer, inner in self._nested(file_name):
            yield Contour(outer, inner, self.class_name, layer=self.layer)
        for contour in self.masks:
            yield replace(contour, class_name=self.class_name, layer=self.layer)

    def _nested(self, file_name: str) -> list[tuple[Points, tuple[Points, ...]]]:
        if self.holes and self.holes == set(range(1, len(self.rings))):
            return [(self.rings[0], tuple(self.rings[1:]))]
        return assign_holes(self.rings, file_name)


def is_labelme(document: Any) -> bool:
    """Return whether a document has a list of shapes."""
    return isinstance(document, dict) and isinstance(document.get("shapes"), list)


def labelme_image_shape(document: Any, source: DocumentSource, contours: Sequence[Contour]) -> tuple[int, int] | None:
    """Return the rows and columns of the image, or None if the document does not say."""
    return stated_shape(document.get("imageHeight"), document.get("imageWidth"))


@gc_paused()
def read_labelme(document: Any, source: DocumentSource) -> list[Contour]:
    """Return polygons, rectangles, masks, and circles flattened to 0.1 px.

    Raises
    ------
    AnnotationError
        Naming the shape, counted from 1.
    """
    points = PointBudget(source.name)
    masks = MaskBudget(source.name, points)
    objects: dict[Any, _Object] = {}
    for number, shape in enumerate(document["shapes"], 1):
        place = f"{source.name}, shape {number}"
        if not isinstance(shape, dict):
            raise AnnotationError(f"{place}: is {describe(shape)}; a shape is an object. Export it again.")
        kind = shape.get("shape_type") or "polygon"
        if isinstance(kind, str) and kind in _WITHOUT_AREA:
            continue
        label, layer, group = clean_name(shape.get("label")), "", shape.get("group_id")
        if not label.strip():
            layer = specific_name(clean_name(shape.get("description")))
            label = _flagged(shape) or ("" if layer else label)  # a name of spaces alone is still a name
        key = (label, layer, group) if isinstance(group, int | str) else number
        found = objects.setdefault(key, _Object(label, "" if label else layer))
        if kind == "mask":
            found.masks += _mask(shape, place, points, masks)
            continue
        flags = shape.get("flags")
        if isinstance(flags, dict) and flags.get(_HOLE) is True:
            found.holes.add(len(found.rings))
        found.rings.append(_ring(shape, kind, place, points))
    _tell_groups_apart(objects)
    return [contour for found in objects.values() for contour in found.contours(source.name)]


def _tell_groups_apart(objects: Mapping[Any, _Object]) -> None:
    """Call shapes without a label by their group, if groups have several shapes that are not holes of one another."""
    unnamed = {key: found for key, found in objects.items() if isinstance(key, tuple) and not (found.class_name)}
    if any(len(found.rings) + len(found.masks) > 1 and not found.holes for found in unnamed.values()):
        for (_, layer, group), found in unnamed.items():
            found.layer = layer or f"group {str(group)[:_MAX_GROUP_LENGTH]}"


def write_labelme(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write a polygon for each contour and, in the same group, for each of its holes."""
    rows, columns = image_size([contour.exterior for contour in contours], geometry.shape)
    shapes = ",\n".join(
        json.dumps(shape, ensure_ascii=False)
        for group, contour in enumerate(contours, 1)
        for shape in _shapes(contour, group)
    )
    image = {"imagePath": geometry.name, "imageData": None, "imageHeight": rows, "imageWidth": columns}
    head = json.dumps({"version": "5.5.0", "flags": {}} | image, ensure_ascii=False)
    path.write_text(f'{head[:-1]}, "shapes": [\n{shapes}\n]}}\n', encoding="utf-8")


def _flagged(shape: Mapping[str, Any]) -> str:
    """Return the only flag that is set on a shape, or an empty text."""
    flags = shape.get("flags")
    names = [name for name, is_set in flags.items() if is_set is True] if isinstance(flags, dict) else []
    return clean_name(names[0]) if len(names) == 1 and names[0] != _HOLE else ""


def _ring(shape: Mapping[str, Any], kind: Any, place: str, budget: PointBudget) -> Points:
    """Return the outline of a shape."""
    points = read_pairs(shape.get("points"), place, budget)
    if kind == "circle":
        points = _circle(points, place, budget)
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    elif kind != "rectangle" and kind not in _POLYGONS:
        raise AnnotationError(
            f"{place}: its type is {describe(kind)}; only polygon, rectangle, circle and mask can be read. "
            "Convert or delete it."
        )
    return from_corner(points, place)


def _circle(points: npt.NDArray[np.float64], place: str, budget: PointBudget) -> npt.NDArray[np.float64]:
    """Return a circle as a polygon."""
    if len(points) != 2:
        raise AnnotationError(f"{place}: its circle has {len(points)} points, not 2. Correct or delete it.")
    check_ring(points[[0, 1, 0], ::-1], place)  # refuses points that are not finite
    (x, y), (on_x, on_y) = points.tolist()
    radius = math.hypot(on_x - x, on_y - y)
    if radius <= 0:
        raise AnnotationError(f"{place}: its circle has no radius. Correct or delete it.")
    corners = math.ceil(math.pi / math.acos(max(0.5, 1 - FLATNESS / radius)))
    budget.consume(corners)
    angles = np.arange(corners) * (2 * math.pi / corners)
    return np.array([x, y]) + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _mask(shape: Mapping[str, Any], place: str, points: PointBudget, budget: MaskBudget) -> list[Contour]:
    """Return the outlines of a mask shape."""
    corners = read_pairs(shape.get("points"), place, points)
    check_ring(np.resize(corners, (3, 2))[:, ::-1], place)  # refuses points that are not finite
    text = shape.get("mask")
    try:
        raw = base64.b64decode(text) if isinstance(text, str) else b""
    except ValueError as error:
        raise AnnotationError(f"{place}: its mask is not base64 text. Export it again.") from error
    inside = decode_png(raw, place, lambda rows, columns: budget.consume_box(rows, columns, place))
    column, row = (int(value) for value in corners.min(axis=0))
    box = np.abs(corners[-1] - corners[0])[::-1]
    if not (np.abs(box + 0.5 - inside.shape) < 1.5).all():  # the box ends at the last pixel or after it
        raise AnnotationError(
            f"{place}: its mask has {inside.shape[0]} x {inside.shape[1]} pixels, but its box has another size. "
            "Export it again."
        )
    budget.consume_runs(int(np.count_nonzero(np.diff(inside.astype(np.int8), axis=0) > 0)) + int(inside[0].sum()))
    budget.consume_patches(inside)
    return mask_contours(inside, (row, column))


def _shapes(contour: Contour, group: int) -> Iterator[dict[str, Any]]:
    for number, ring in enumerate(contour.rings):
        yield {
            "label": contour.class_name,
            "points": to_corner(ring).tolist(),
            "group_id": group if contour.holes else None,
            "shape_type": "polygon",
            "flags": {_HOLE: True} if number else {},
        }
