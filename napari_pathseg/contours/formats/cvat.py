"""CVAT for images 1.1: polygons, boxes, ellipses and masks of one image of a task.

CVAT measures ``(x, y)`` from the corner of the first pixel, as its boxes extend from 0 to the
image's width; we measure from the centre, hence the half pixel.  A mask has the pixels of a box,
row by row, in runs that alternate between outside and inside [1]_.  Lines, points, cuboids and tags
have no area and are skipped; shapes with a higher ``z_order`` come later.

Where the label is general (``object``), the first attribute whose value is a name is the class.

The image is the one with the slide's name, or the only one.  CVAT has no holes: contours with
holes are written as one ring (:mod:`~napari_pathseg.contours.formats.holes`), and the
lengths of its parts in an attribute ``parts`` that CVAT ignores.  A contour without a class gets the label
``contour`` and the attribute ``unnamed``.

.. [1] https://docs.cvat.ai/docs/other/xml_format
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.coco_rle import MaskBudget, run_length_contours
from napari_pathseg.contours.formats.curves import FLATNESS, Consume, ellipse
from napari_pathseg.contours.formats.holes import bridge_holes, split_bridged
from napari_pathseg.contours.formats.json_tree import gc_paused, stated_shape
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.svg.path import numbers
from napari_pathseg.contours.formats.xml_text import HEX_COLOR, attribute, content, from_corner
from napari_pathseg.errors import AnnotationError

_NO_CLASS = "contour"
_MAX_INTEGER_LENGTH = 100  # characters
_MAX_DEPTH = 1 << 40
_MARKS = ("image", "track", "version", "meta")


def is_cvat(root: Element) -> bool:
    """Return whether a tree is in CVAT's format."""
    return root.tag == "annotations" and any(root.find(mark) is not None for mark in _MARKS)


def has_multiple_cvat_images(root: Element) -> bool:
    """Return whether a tree has more than one image."""
    return len(root.findall("image")) > 1


@gc_paused()
def read_cvat(root: Element, source: DocumentSource) -> list[Contour]:
    """Return the contours of the slide's image.

    Raises
    ------
    AnnotationError
        If the slide's image is ambiguous; otherwise naming the file and the shape, counted from 1
        in its image.
    """
    image = _find_image(root, source)
    shapes = [] if image is None else list(image)
    colors = {label.findtext("name"): _color(label) for label in root.iterfind("meta//label")}
    reader = _ShapeReader(source.name)
    found: list[tuple[int, list[Contour]]] = []
    for number, shape in enumerate(shapes, 1):
        place = f"{source.name}, shape {number}"
        name = "" if shape.get("unnamed") else _class_name(shape)
        z_order = _integer(shape, "z_order", place, 0)
        drawn = reader.contours(shape, place)
        depth = min(max(z_order, -_MAX_DEPTH), _MAX_DEPTH)
        contours = [replace(contour, class_name=name, color=colors.get(name), depth=depth) for contour in drawn]
        found.append((z_order, contours))
    return [contour for _, contours in sorted(found, key=lambda pair: pair[0]) for contour in contours]


def write_cvat(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write the polygons of one image, named after the slide."""
    colors: dict[str, str | None] = {}
    for contour in contours:
        name = contour.class_name or _NO_CLASS
        colors[name] = colors.get(name) or contour.color
    corner = np.max([contour.exterior.max(axis=0) for contour in contours], axis=0, initial=0) + 1
    height, width = geometry.shape or [math.ceil(side) for side in np.broadcast_to(corner, 2)]
    name = geometry.name or "slide"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(f"<meta><task><name>{content(name)}</name><size>1</size><mode>annotation</mode><labels>\n")
        file.writelines(_label(name, color) for name, color in colors.items())
        file.write("</labels></task></meta>\n")
        file.write(f'<image id="0" name={attribute(name)} width="{width}" height="{height}">\n')
        file.writelines(_polygon(contour) for contour in contours)
        file.write("</image>\n</annotations>\n")


def _label(name: str, color: str | None) -> str:
    shade = f"<color>{color}</color>" if color else ""
    return f"<label><name>{content(name)}</name>{shade}<type>any</type><attributes></attributes></label>\n"


def _polygon(contour: Contour) -> str:
    line, parts = bridge_holes(contour.rings)
    points = ";".join(f"{x!r},{y!r}" for x, y in from_corner(line))
    marks = "" if contour.class_name else ' unnamed="1"'
    marks += f' parts="{parts}"' if contour.holes else ""
    label = attribute(contour.class_name or _NO_CLASS)
    return f'<polygon label={label} source="manual" occluded="0" points="{points}" z_order="0"{marks}></polygon>\n'


def cvat_image_shape(root: Element, source: DocumentSource, contours: Sequence[Contour]) -> tuple[int, int] | None:
    """Return the rows and columns of the slide's image, or None if the file does not say."""
    image = _find_image(root, source)
    return None if image is None else stated_shape(image.get("height"), image.get("width"))


def _find_image(root: Element, source: DocumentSource) -> Element | None:
    """Return the element of the slide's image, or None if the file has none."""
    images = root.findall("image")
    if root.find("track") is not None:
        raise AnnotationError(f'{source.name} has the tracks of a video. Export it from CVAT as "CVAT for images 1.1".')
    if len(images) < 2:
        return images[0] if images else None
    names = [PurePosixPath(image.get("name", "").replace("\\", "/")).name for image in images]
    for same in (_unchanged, _stem):
        wanted = {source.geometry.name, same(source.geometry.name)} - {""}
        fitting = [image for image, name in zip(images, names, strict=True) if same(name) in wanted]
        if len(fitting) == 1:
            return fitting[0]
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    raise AnnotationError(
        f"{source.name} has the contours of {len(names)} images ({shown}), and which is the slide "
        f'"{source.geometry.name}" is not clear. Name an image in it like the slide, or export it alone.'
    )


def _unchanged(name: str) -> str:
    return name


def _stem(name: str) -> str:
    """Return a file's name without its suffix."""
    return name.removesuffix(PurePosixPath(name).suffix).removesuffix(".ome")


class _ShapeReader:
    """Reads the shapes of an image, within the limits of its file."""

    def __init__(self, file_name: str) -> None:
        points = PointBudget(file_name)
        self._consume: Consume = points.consume
        self._masks = MaskBudget(file_name, points)

    def contours(self, shape: Element, place: str) -> list[Contour]:
        """Return the contours of a shape, without a class."""
        try:
            if shape.tag == "mask":
                return self._mask(shape, place)
            line = _LINES.get(shape.tag)
            rings = line(shape, self._consume) if line is not None else []
        except AnnotationError:
            raise
        except ValueError as error:
            raise AnnotationError(f"{place}: {error}") from error
        if not rings:
            return []
        exterior, *holes = (without_repeat(np.ascontiguousarray(ring[:, ::-1]) - 0.5) for ring in rings)
        for ring in (exterior, *holes):
            check_ring(ring, place)
        return [Contour(exterior, tuple(holes))]

    def _mask(self, shape: Element, place: str) -> list[Contour]:
        """Return the outlines of a mask; its row-wise runs are the columns of the transposed mask."""
        width, height, left, top = (_integer(shape, name, place) for name in ("width", "height", "left", "top"))
        check_ring(np.array([[top, left]] * 3, np.float64), place)  # finite and in range
        self._masks.consume_runs(shape.get("rle", "").count(",") // 2)
        try:
            runs = [int(run) for run in shape.get("rle", "").split(",")]
        except ValueError as error:
            raise AnnotationError(f"{place}: the runs of its mask cannot be read. Export it again.") from error
        transposed = run_length_contours({"size": [width, height], "counts": runs}, place, self._masks)
        corner = top, left
        return [
            Contour(drawn.exterior[:, ::-1] + corner, tuple(hole[:, ::-1] + corner for hole in drawn.holes))
            for drawn in transposed
        ]


def _points(shape: Element, consume: Consume) -> list[Points]:
    values = numbers(shape.get("points", "").replace(";", " "), consume)
    if len(values) % 2:
        raise ValueError(f"has {len(values)} numbers; points are pairs of x and y. Complete or delete it.")
    return split_bridged(values.reshape(-1, 2), shape.get("parts", ""))


def _box(shape: Element, consume: Consume) -> list[Points]:
    left, top, right, bottom = (_number(shape, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    return [_rotated(np.array([[left, top], [right, top], [right, bottom], [left, bottom]]), shape)]


def _ellipse(shape: Element, consume: Consume) -> list[Points]:
    x, y, width, height = (_number(shape, name) for name in ("cx", "cy", "rx", "ry"))
    if width <= 0 or height <= 0:
        raise ValueError(f"its radii are {width:g} and {height:g}; they must be above 0. Correct or delete it.")
    return [_rotated(ellipse((x, y), (width, height), (0, 2 * math.pi), FLATNESS, consume)[:-1], shape)]


def _rotated(points: Points, shape: Element) -> Points:
    """Return points rotated around their centre by the shape's rotation, in degrees clockwise."""
    angle = math.radians(_number(shape, "rotation", 0))
    if not angle:
        return points
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    rotation = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    rotated: Points = (points - middle) @ rotation + middle
    return rotated


def _number(shape: Element, name: str, default: float = math.nan) -> float:
    text = shape.get(name, "")
    values = numbers(text) if text else np.array([default])
    if len(values) != 1 or not math.isfinite(values[0]):
        raise ValueError(f'its {name} is "{text[:20]}"; it must be one number. Correct it.')
    return float(values[0])


def _integer(shape: Element, name: str, place: str, default: int | None = None) -> int:
    text = shape.get(name, "")
    try:
        number = default if default is not None and not text else int(text[:_MAX_INTEGER_LENGTH])
        if len(text) > _MAX_INTEGER_LENGTH:
            raise ValueError
        return number
    except ValueError as error:
        raise AnnotationError(f'{place}: its {name} is "{text[:20]}", not a whole number. Correct it.') from error


def _class_name(shape: Element) -> str:
    """Return a shape's label, or an attribute's text where the label says no more than "object"."""
    label = shape.get("label", "")
    return specific_name(label, *(attribute.text for attribute in shape.iterfind("attribute"))) or label


def _color(label: Element) -> str | None:
    color = label.findtext("color", "").strip()
    return color.lower() if HEX_COLOR.fullmatch(color) else None


_LINES: dict[str, Callable[[Element, Consume], list[Points]]] = {
    "polygon": _points,
    "box": _box,
    "ellipse": _ellipse,
}
