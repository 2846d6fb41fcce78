"""ASAP's XML: groups as classes, polygons, rectangles and splines; dots and measurements are skipped.

ASAP measures ``(x, y)`` from the corner of the first pixel: its viewer draws pixels as areas and
stores the mouse position [1]_; we measure from the centre, hence the half pixel.

A spline is a closed centripetal Catmull-Rom curve through the points, as in ASAP's viewer [2]_;
at its last point, where ASAP does not wrap around, the missing neighbours are mirrored.  It is
flattened to 0.1 px.

A group with a name that ASAP gave it ("Annotation Group 1") has the class in its attributes or is part of the class's
group; where that says nothing either, and for annotations without a group, their own names tell them apart.

Contours in a group called ``_2``, ``Exclusion`` (both as in the CAMELYON16 set) or ``negative`` are
excluded areas: holes of the contour around them.  One outside all contours becomes a contour of
that name.  Files written here put holes in a group ``Tumour (hole)`` with the attribute
``HolesIn``, and a hole's name gives its contour: ``Annotation 3, hole 1``.  ASAP keeps both.

.. [1] ``ASAP/WSITileGraphicsItem.cpp`` and ``ASAP/annotation/PolyAnnotationTool.cpp`` of
   https://github.com/computationalpathologygroup/ASAP
.. [2] ``catmullRomToBezier`` and ``getCurrentPath`` in ``ASAP/annotation/PolyQtAnnotation.cpp`` there
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.curves import FLATNESS, Consume, flatten_beziers
from napari_pathseg.contours.formats.holes import ExcludedArea, subtract_excluded
from napari_pathseg.contours.formats.json_tree import gc_paused
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.xml_text import HEX_COLOR, attribute, from_corner
from napari_pathseg.contours.formats.xml_tree import points_of

_WITHOUT_AREA = ("Dot", "PointSet", "Measurement", "None")
_EXCLUDED = ("_2", "exclusion", "negative")
_NO_GROUP = "None"
_CLASS, _HOLES = "ClassName", "HolesIn"  # attributes of the groups written here
_HOLE = re.compile(r"(.*), hole \d+")


class _Group(NamedTuple):
    """The properties that a group gives its contours."""

    class_name: str
    color: str | None
    excluded: bool
    layer: str = ""


def is_asap(root: Element) -> bool:
    """Return whether a tree is in ASAP's format."""
    return root.tag == "ASAP_Annotations"


@gc_paused()
def read_asap(root: Element, source: DocumentSource) -> list[Contour]:
    """Return the contours of an ASAP file.

    Raises
    ------
    AnnotationError
        Naming the file and the annotation, counted from 1.
    """
    groups = _groups(root)
    budget = PointBudget(source.name)
    contours: list[Contour] = []
    named: dict[str, int] = {}
    areas: list[tuple[ExcludedArea, str, _Group]] = []
    for number, annotation in enumerate(root.iterfind("Annotations/Annotation"), 1):
        if annotation.get("Type") in _WITHOUT_AREA:
            continue
        place, name = f"{source.name}, annotation {number}", annotation.get("Name", "")
        ring = _ring(annotation, place, budget.consume)
        group = groups.get(annotation.get("PartOfGroup", _NO_GROUP)) or _undefined_group(annotation)
        if group.excluded:
            areas.append((ExcludedArea(ring, place), name, group))
        else:
            named.setdefault(name, len(contours))
            layer = "" if group.class_name else specific_name(name) or group.layer
            contours.append(Contour(ring, (), group.class_name, color=group.color, layer=layer))
    return _with_holes(contours, named, areas, source.name)


def write_asap(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write polygons, with a group for each class and colour and another for its holes."""
    groups = _NewGroups()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0"?>\n<ASAP_Annotations>\n\t<Annotations>\n')
        for number, contour in enumerate(contours):
            name = f"Annotation {number}"
            file.writelines(_annotation(contour.exterior, name, groups.of(contour), contour.color))
            for hole, ring in enumerate(contour.holes, 1):
                group = groups.of(contour, holes=True)
                file.writelines(_annotation(ring, f"{name}, hole {hole}", group, contour.color))
        file.write("\t</Annotations>\n\t<AnnotationGroups>\n")
        file.writelines(groups.lines())
        file.write("\t</AnnotationGroups>\n</ASAP_Annotations>\n")


class _NewGroups:
    """The groups of a file that is being written, each with a unique name."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str | None, bool], str] = {}

    def of(self, contour: Contour, *, holes: bool = False) -> str:
        """Return the group name of a contour, or of its holes."""
        if not contour.class_name and not holes:
            return _NO_GROUP
        key = contour.class_name, contour.color, holes
        if key not in self._names:
            name = f"{contour.class_name} (hole)".lstrip() if holes else contour.class_name
            while name in (_NO_GROUP, *self._names.values()):
                name += "_"
            self._names[key] = name
        return self._names[key]

    def lines(self) -> Iterator[str]:
        """Yield the XML of all groups."""
        for (class_name, color, holes), name in self._names.items():
            mark = f"{_HOLES if holes else _CLASS}={attribute(class_name)}"
            yield f'\t\t<Group Name={attribute(name)} PartOfGroup="{_NO_GROUP}"{_color_attribute(color)}>\n'
            yield f"\t\t\t<Attributes>\n\t\t\t\t<Attribute {mark} />\n\t\t\t</Attributes>\n\t\t</Group>\n"


def _annotation(ring: Points, name: str, group: str, color: str | None) -> Iterator[str]:
    group = attribute(group)
    yield f'\t\t<Annotation Name="{name}" Type="Polygon" PartOfGroup={group}{_color_attribute(color)}>\n'
    yield "\t\t\t<Coordinates>\n"
    for order, (x, y) in enumerate(from_corner(ring)):
        yield f'\t\t\t\t<Coordinate Order="{order}" X="{x!r}" Y="{y!r}" />\n'
    yield "\t\t\t</Coordinates>\n\t\t</Annotation>\n"


def _color_attribute(color: str | None) -> str:
    return f" Color={attribute(color)}" if color else ""


def _groups(root: Element) -> dict[str, _Group]:
    """Return the groups of a file by name."""
    groups = {}
    for group in root.iterfind("AnnotationGroups/Group"):
        name = group.get("Name", "")
        attributes = {key: value for found in group.iterfind("Attributes/Attribute") for key, value in found.items()}
        excluded = _HOLES in attributes or (_CLASS not in attributes and name.lower() in _EXCLUDED)
        class_name = attributes.get(_CLASS, name)
        if _CLASS not in attributes and _HOLES not in attributes and not excluded:
            class_name = specific_name(name, *attributes.values(), group.get("PartOfGroup", "")) or ""
        groups[name] = _Group(class_name, _color(group), excluded, "" if class_name else name)
    groups.pop(_NO_GROUP, None)
    return groups


def _undefined_group(annotation: Element) -> _Group:
    """Return the properties of an annotation whose group the file does not define."""
    name = annotation.get("PartOfGroup", _NO_GROUP)
    return _Group("" if name == _NO_GROUP else name, _color(annotation), name.lower() in _EXCLUDED)


def _color(element: Element) -> str | None:
    color = element.get("Color", "")
    return color.lower() if HEX_COLOR.fullmatch(color) else None


def _with_holes(
    contours: Sequence[Contour],
    named: Mapping[str, int],
    areas: Sequence[tuple[ExcludedArea, str, _Group]],
    file_name: str,
) -> list[Contour]:
    """Return contours with their holes: first those assigned by name, then by position."""
    holes: dict[int, list[Points]] = {}
    others = []
    for area, name, group in areas:
        named_hole = _HOLE.fullmatch(name)
        index = named.get(named_hole[1]) if named_hole else None
        if index is None:
            others.append((area, group))
        else:
            holes.setdefault(index, []).append(area.ring)
    whole = list(contours)
    for index, rings in holes.items():
        whole[index] = replace(whole[index], holes=tuple(rings))
    whole, outside = subtract_excluded(whole, [area for area, _ in others], file_name)
    alone = [others[number] for number in outside]
    return whole + [Contour(area.ring, (), group.class_name, color=group.color) for area, group in alone]


def _ring(annotation: Element, place: str, consume: Consume) -> Points:
    """Return the ring of an annotation, ``(row, column)``."""
    points = without_repeat(points_of(annotation.find("Coordinates"))[:, ::-1] - 0.5)
    if annotation.get("Type") == "Rectangle" and len(points) == 2:
        (top, left), (bottom, right) = points
        points = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
    check_ring(points, place)
    if annotation.get("Type") != "Spline":
        return points
    ring = without_repeat(_spline(points, consume))  # of which points may coincide
    check_ring(ring, place)
    return ring


def _spline(points: Points, consume: Consume) -> Points:
    """Return the flattened spline through the points."""
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    if len(points) < 3:
        return points
    before, end, beyond = (np.roll(points, by, axis=0) for by in (1, -1, -2))
    before[-1] = 2 * points[-1] - end[-1]
    beyond[-2] = 2 * end[-2] - points[-2]
    lengths = (np.sqrt(np.hypot(*step.T))[:, None] for step in (points - before, end - points, beyond - end))
    first, middle, last = lengths  # square roots, as centripetal splines have them
    leaving = middle * ((points - before) / first * middle + (end - points) / middle * first) / (first + middle) / 3
    coming = middle * ((end - points) / middle * last + (beyond - end) / last * middle) / (middle + last) / 3
    return flatten_beziers(np.stack([points, points + leaving, end - coming, end], axis=1), FLATNESS, consume)
