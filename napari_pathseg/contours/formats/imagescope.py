"""Aperio ImageScope's .xml and HALO's .annotations: layers as classes, regions as contours.

The formats are nearly the same: a layer (``Annotation``) has a name and a colour; its regions are
polygons, rectangles or ellipses (types 0, 1 and 2 in ImageScope, names in HALO; the latter two
may be given by two corners); arrows, rulers, pins and texts have no area and are skipped.
ImageScope itself leaves ``Name`` empty and keeps what the user calls a layer in its attribute ``Description``;
where that is empty, too, a region's ``Text`` is its class.  The contours of other layers are distinguished by
the number of their layer.
Colours are Windows' ``COLORREF`` [1]_: red in the lowest byte, 255 is red and 65535 yellow.

Both are assumed to measure ``(x, y)`` from the corner of the first pixel, as the converters to
QuPath pass coordinates on unchanged [2]_ [3]_; we measure from the centre, hence the half pixel.

A region with ``NegativeROA="1"`` is a hole of the region around it in its layer, or else in
another layer.  If it crosses an outline it is clipped to it; outside all regions it is dropped.

Files written here number the contours (``Contour="3"``) and link each hole to its contour
(``HoleOf="3"``), so that order and holes survive; both programs ignore these attributes.
HALO's coordinates are integers; the remainders are written as ``Fractions``.

.. [1] https://learn.microsoft.com/en-us/windows/win32/gdi/colorref
.. [2] ``xml_to_QuPath.groovy`` in https://github.com/pjl54/qupath_scripts
.. [3] ``Layer.as_geojson`` in https://github.com/rharkes/pyhaloxml
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TextIO
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.curves import FLATNESS, Consume, ellipse
from napari_pathseg.contours.formats.holes import ExcludedArea, subtract_excluded
from napari_pathseg.contours.formats.json_tree import gc_paused
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.xml_text import attribute, from_corner, whole_numbers, with_fractions
from napari_pathseg.contours.formats.xml_tree import points_of

_KINDS = {"0": "Polygon", "1": "Rectangle", "2": "Ellipse", "": "Polygon"}
_DEFAULT_COLOR = "#00ff00"  # of ImageScope's first layer
_HEADERS = "".join(
    f'<AttributeHeader Id="{number}" Name="{name}" ColumnWidth="-1"/>'
    for number, name in ((9999, "Region"), (9997, "Length"), (9996, "Area"), (9998, "Text"))
)


class _Region(NamedTuple):
    """One region of a file: its layer's number, its ring and its attributes."""

    layer: int
    contour: Contour
    place: str
    number: str
    negative: bool
    hole_of: str


def is_imagescope(root: Element) -> bool:
    """Return whether a tree is in the format of ImageScope or HALO."""
    return root.tag == "Annotations"


@gc_paused()
def read_imagescope(root: Element, source: DocumentSource) -> list[Contour]:
    """Return the contours of an ImageScope or HALO file.

    Raises
    ------
    AnnotationError
        Naming the file, the layer and the region, both counted from 1.
    """
    budget = PointBudget(source.name)
    regions = [
        region
        for number, layer in enumerate(root.iterfind("Annotation"), 1)
        for region in _regions(layer, number, source.name, budget.consume)
    ]
    solid = [region for region in regions if not region.negative]
    if all(region.number.isdecimal() and len(region.number) < 10 for region in solid):
        solid.sort(key=lambda region: int(region.number))
    index = {region.number: number for number, region in enumerate(solid) if region.number}
    holes: dict[int, list[Points]] = {}
    unnamed = []
    for region in regions:
        if region.negative and region.hole_of in index:
            holes.setdefault(index[region.hole_of], []).append(region.contour.exterior)
        elif region.negative:
            unnamed.append(region)
    contours = [region.contour for region in solid]
    for number, rings in holes.items():
        contours[number] = replace(contours[number], holes=tuple(rings))
    return _cut_by_layer(contours, [region.layer for region in solid], unnamed, source.name)


def write_imagescope(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write polygons in a layer for each class and colour, as ImageScope does."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'<Annotations MicronsPerPixel="{geometry.mpp or 0}">\n')
        for number, (layer, numbered) in enumerate(_layers(contours).items(), 1):
            class_name, color = layer
            file.write(
                f'<Annotation Id="{number}" Name={attribute(class_name)} ReadOnly="0" NameReadOnly="0" '
                f'LineColorReadOnly="0" Incremental="0" Type="4" LineColor="{_colorref(color)}" Visible="1" '
                'Selected="0" MarkupImagePath="" MacroName="">\n'
                '<Attributes><Attribute Name="Description" Id="0" Value=""/></Attributes>\n'
                f"<Regions>\n<RegionAttributeHeaders>{_HEADERS}</RegionAttributeHeaders>\n"
            )
            _write_regions(file, numbered, _imagescope_region)
            file.write("</Regions>\n<Plots/>\n</Annotation>\n")
        file.write("</Annotations>\n")


def write_halo(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write polygons in a layer for each class and colour, as HALO does."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write("<Annotations>\n")
        for (class_name, color), numbered in _layers(contours).items():
            file.write(
                f'<Annotation LineColor="{_colorref(color)}" Name={attribute(class_name)} Visible="True">\n<Regions>\n'
            )
            _write_regions(file, numbered, _halo_region)
            file.write("</Regions>\n</Annotation>\n")
        file.write("</Annotations>\n")


def _regions(layer: Element, number: int, file_name: str, consume: Consume) -> Iterator[_Region]:
    """Yield the regions of a layer that have an area."""
    name, color = _name(layer), _color(layer.get("LineColor", ""))
    if layer.find("Regions/Region[@Contour]") is not None:  # written here
        name = layer.get("Name", "")
    label = layer.get("Name", "").strip() or f"layer {layer.get('Id') or number}"
    for position, region in enumerate(layer.iterfind("Regions/Region"), 1):
        kind = region.get("Type", "")
        place = f"{file_name}, layer {number}, region {position}"
        line = _LINES.get(_KINDS.get(kind, kind))
        if line is None:
            continue
        points = with_fractions(points_of(region.find("Vertices")), region.get("Fractions", ""))
        ring = without_repeat(line(points, consume)[:, ::-1] - 0.5)
        check_ring(ring, place)
        class_name = name or _name(region, region.get("Text"))
        layer_name = "" if class_name else label
        contour = Contour(np.ascontiguousarray(ring), (), class_name, color=color, layer=layer_name)
        negative = region.get("NegativeROA", "").lower() in ("1", "true")
        yield _Region(number, contour, place, region.get("Contour", ""), negative, region.get("HoleOf", ""))


def _name(element: Element, text: str | None = None) -> str:
    """Return the name that a user gave a layer or region, or an empty text."""
    described = (
        attribute.get("Value")
        for attribute in element.iterfind("Attributes/Attribute")
        if attribute.get("Name", "").lower() == "description"
    )
    return specific_name(element.get("Name"), text, *described)


def _polygon(points: Points, consume: Consume) -> Points:
    return points


def _rectangle(points: Points, consume: Consume) -> Points:
    """Return the four corners of a rectangle, which may be given by two."""
    if len(points) != 2:
        return points
    (left, top), (right, bottom) = points
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _ellipse(points: Points, consume: Consume) -> Points:
    """Return an ellipse given by the corners of its bounding box; others are given by points on it."""
    low, high = points.min(axis=0, initial=np.inf), points.max(axis=0, initial=-np.inf)
    radii = (high - low) / 2
    if not (((points == low) | (points == high)).all() and np.isfinite(radii).all() and radii.min() > 0):
        return points
    (x, y), (width, height) = (low + high) / 2, radii
    return ellipse((x, y), (width, height), (0, 2 * math.pi), FLATNESS, consume)[:-1]


_LINES: dict[str, Callable[[Points, Consume], Points]] = {
    "Polygon": _polygon,
    "Rectangle": _rectangle,
    "Ellipse": _ellipse,
}


def _cut_by_layer(
    contours: list[Contour], layers: Sequence[int], negative: Sequence[_Region], file_name: str
) -> list[Contour]:
    """Return contours without their negative regions, subtracted in their own layer if possible."""
    left: list[_Region] = []
    members: dict[int, list[int]] = {}
    for number, layer in enumerate(layers):
        members.setdefault(layer, []).append(number)
    by_layer: dict[int, list[_Region]] = {}
    for region in negative:
        by_layer.setdefault(region.layer, []).append(region)
    for layer, regions in by_layer.items():
        own = members.get(layer, [])
        areas = [ExcludedArea(region.contour.exterior, region.place) for region in regions]
        cut, outside = subtract_excluded([contours[number] for number in own], areas, file_name)
        for number, contour in zip(own, cut, strict=True):
            contours[number] = contour
        left += [regions[number] for number in outside]
    areas = [ExcludedArea(region.contour.exterior, region.place) for region in left]
    return subtract_excluded(contours, areas, file_name)[0]


def _color(text: str) -> str | None:
    """Return a COLORREF as ``#rrggbb``."""
    try:
        red, green, blue, _ = (int(text) & 0xFFFFFFFF).to_bytes(4, "little")
    except ValueError:
        return None
    return f"#{red:02x}{green:02x}{blue:02x}"


def _colorref(color: str) -> int:
    return int.from_bytes(bytes.fromhex(color[1:]), "little")


def _layers(contours: Sequence[Contour]) -> dict[tuple[str, str], list[tuple[int, Contour]]]:
    """Return numbered contours by class and colour."""
    layers: dict[tuple[str, str], list[tuple[int, Contour]]] = {}
    for number, contour in enumerate(contours, 1):
        layers.setdefault((contour.class_name, contour.color or _DEFAULT_COLOR), []).append((number, contour))
    return layers


_Write = Callable[[int, Points, str, bool], str]


def _write_regions(file: TextIO, numbered: Sequence[tuple[int, Contour]], region: _Write) -> None:
    position = 0
    for number, contour in numbered:
        for which, ring in enumerate(contour.rings):
            position += 1
            hole = which > 0
            file.write(region(position, ring, f'{"HoleOf" if hole else "Contour"}="{number}"', hole))


def _imagescope_region(position: int, ring: Points, mark: str, hole: bool) -> str:
    points = from_corner(ring)
    vertices = "".join(f'<Vertex X="{x!r}" Y="{y!r}" Z="0"/>\n' for x, y in [*points, points[0]])
    return (
        f'<Region Id="{position}" Type="0" Zoom="1" Selected="0" ImageLocation="" ImageFocus="-1" Length="0" Area="0" '
        f'LengthMicrons="0" AreaMicrons="0" Text="" NegativeROA="{hole:d}" InputRegionId="0" Analyze="{not hole:d}" '
        f'DisplayId="{position}" {mark}>\n<Attributes/>\n<Vertices>\n{vertices}</Vertices>\n</Region>\n'
    )


def _halo_region(position: int, ring: Points, mark: str, hole: bool) -> str:
    points, fractions = whole_numbers(np.array(from_corner(np.concatenate([ring, ring[:1]]))))
    vertices = "".join(f'<V X="{x}" Y="{y}"/>\n' for x, y in points.tolist())
    mark += f' Fractions="{fractions}"' if fractions else ""
    return (
        f'<Region Type="Polygon" HasEndcaps="0" NegativeROA="{hole:d}" {mark}>\n'
        f"<Vertices>\n{vertices}</Vertices>\n<Comments/>\n</Region>\n"
    )
