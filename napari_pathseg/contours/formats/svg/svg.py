"""SVG outlines: all shapes but lines, with their transforms, units, styles and copies.

SVG counts ``(x, y)`` from the corner of the first pixel, ours from its centre: half a pixel
is taken off.  Sets whose points are whole numbers are no exception: on 18 of them made from
CAMELYON's masks the outlines agree with the masks at IoU 0.992 so, 0.991 without, and 0.986
with the half pixel added.  Without a viewBox one point is one slide pixel; how a viewBox lies
on the slide is told in :mod:`~napari_pathseg.contours.formats.svg.units`.

What is filled is an outline with the holes that its fill rule cuts.  An outline without a
fill that lies wholly inside another of its class is a hole in it, as annotation tools that
know no holes draw them.  Files written here say which rings are holes (``data-holes``), so
nothing is guessed in them.  Open lines are closed; a path that runs along one straight line
encloses nothing and is left out, as ``line`` is.

The class is what an element or the nearest group around it says: its ``class`` (but for those
that drawing programs number, ``cls-1``, ``st0``), Inkscape's label, its ``<title>``; else the
id of a group, which is a layer's name in Illustrator, Figma and their like, unless it is
numbered or as general as ``annotations``.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from napari_pathseg.contours.contour import Contour, Points
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.json_tree import gc_paused
from napari_pathseg.contours.formats.svg.fill import (
    CrossingBudget,
    Outline,
    crossing_themselves,
    filled,
    simple,
    sorted_rings,
)
from napari_pathseg.contours.formats.svg.parser import SvgParser, SvgShape
from napari_pathseg.contours.formats.svg.style import kind_of

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_svg(root: Element) -> bool:
    """Whether a tree is that of a picture."""
    return kind_of(root) == "svg"


@gc_paused()
def read_svg(root: Element, source: DocumentSource) -> list[Contour]:
    """Return the outlines of an SVG picture, curves flattened to 0.1 px.

    Raises
    ------
    AnnotationError
        Naming the file and the element, counted from 1 among its kind.
    """
    walk, budget = SvgParser(root, source), CrossingBudget()
    found: list[list[Contour]] = []  # of each figure
    lines: dict[tuple[str, str | None], list[tuple[int, Points]]] = {}
    single: list[tuple[int, SvgShape]] = []
    for number, figure in enumerate(walk.shapes()):
        rings, style = figure.rings, figure.style
        name, color = style.class_name or style.layer, walk.color(style)
        if figure.marked:
            found.append([Contour(rings[0], tuple(rings[1:]), name, color=color)])
        elif style.outline_only:
            found.append([])
            lines.setdefault((name, color), []).extend((number, ring) for ring in rings)
        else:
            outlines: list[Outline] = [(rings[0], ())]
            if len(rings) > 1:
                outlines = filled(rings, style.nonzero, walk.place(figure.element), budget)
            elif style.nonzero and len(rings[0]) > 3 and simple(rings[0]):
                single.append((number, figure))
            found.append([Contour(outer, holes, name, color=color) for outer, holes in outlines])
    for number, figure in _tangled(single):
        [whole] = found[number]
        outlines = filled(figure.rings, True, walk.place(figure.element), budget)
        found[number] = [Contour(outer, holes, whole.class_name, color=whole.color) for outer, holes in outlines]
    for (name, color), members in lines.items():
        numbers = {id(ring): number for number, ring in members}
        for outer, holes in sorted_rings([ring for _, ring in members], source.name):
            found[numbers[id(outer)]].append(Contour(outer, holes, name, color=color))
    return [contour for contours in found for contour in contours]


def _tangled(figures: Sequence[tuple[int, SvgShape]]) -> list[tuple[int, SvgShape]]:
    """Return those figures of one ring that crosses itself."""
    crosses = crossing_themselves([figure.rings[0] for _, figure in figures])
    return [figures[index] for index in np.flatnonzero(crosses).tolist()]


def write_svg(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write outlines without fill, holes as further rings of a path, so that they read back exactly."""
    corner = np.max([contour.exterior.max(axis=0) for contour in contours], axis=0, initial=0) + 1
    height, width = (str(math.ceil(side)) for side in geometry.shape or np.broadcast_to(corner, 2))
    root = Element("svg", xmlns="http://www.w3.org/2000/svg", version="1.1", width=width, height=height)
    # Moved as one, not point by point, which would round them.
    group = SubElement(root, "g", transform="translate(0.5 0.5)")
    for contour in contours:
        attributes = {"class": _NOT_XML.sub(" ", contour.class_name)} if contour.class_name else {}
        attributes |= {"fill": "none", "data-holes": str(len(contour.holes))}
        attributes |= {"stroke": contour.color} if contour.color else {}
        if contour.holes:
            lines = " ".join(f"M {_written(ring)} Z" for ring in contour.rings)
            SubElement(group, "path", attributes | {"d": lines, "fill-rule": "evenodd"}).tail = "\n"
        else:
            SubElement(group, "polygon", {"points": _written(contour.exterior)} | attributes).tail = "\n"
    path.write_bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _written(ring: Points) -> str:
    """Return the points as text from which the same numbers are read."""
    return " ".join(f"{x!r},{y!r}" for y, x in ring.tolist())
