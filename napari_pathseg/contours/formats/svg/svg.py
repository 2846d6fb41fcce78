"""Read and write SVG outlines: every shape except lines, with transforms, units, styles and copies.

SVG measures ``(x, y)`` from the corner of the first pixel, we measure from its centre, so half a
pixel is subtracted.  This holds for files with integer points too: on 18 of them made from
CAMELYON's masks the outlines match the masks at IoU 0.992 this way, 0.991 without the shift, and
0.986 with half a pixel added.  Without a viewBox one user unit is one slide pixel; for how a
viewBox maps to the slide see :mod:`~napari_pathseg.contours.formats.svg.units`.

A filled shape is an outline with the holes that its fill rule cuts.  An unfilled outline that
lies entirely inside another of its class is a hole in it: annotation tools without holes draw
them that way.  Files written here mark their holes (``data-holes``), so nothing is guessed.
Filled shapes cover those drawn before them; of unfilled outlines in a row the smaller lies above.
Open lines are closed; a path along one straight line encloses nothing and is skipped, like ``line``.

The class comes from the element or the nearest group: its ``class`` (except the numbered ones of
drawing programs, ``cls-1``, ``st0``), Inkscape's label, ``data-name`` and the like, or its ``<title>``;
otherwise from the id of a group, which is the layer name in Illustrator, Figma and similar programs, unless it is
numbered or generic, such as ``annotations``.  Contours without a class are distinguished by numbered layers and by ids.
"""

import re
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from napari_pathseg.contours.alignment import BoundingBox, transform_for_stated_size
from napari_pathseg.contours.contour import Contour, Points
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.json_tree import gc_paused
from napari_pathseg.contours.formats.svg.backdrop import slide_frame
from napari_pathseg.contours.formats.svg.fill import (
    CrossingBudget,
    Outline,
    are_self_crossing,
    fill_rings,
    simple,
    sorted_rings,
)
from napari_pathseg.contours.formats.svg.parser import SvgParser, SvgShape
from napari_pathseg.contours.formats.svg.style import kind_of
from napari_pathseg.contours.formats.svg.units import drawing_size, root_viewport

_LONGEST_SIDE = 1e9  # pixels
_SAME_SIZE = 0.005  # relative; drawing programs round the size of the picture that a drawing was made on
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def is_svg(root: Element) -> bool:
    """Return whether an XML tree is an SVG document."""
    return kind_of(root) == "svg"


@gc_paused()
def read_svg(root: Element, source: DocumentSource) -> list[Contour]:
    """Return the outlines of an SVG document, curves flattened to 0.1 px.

    Raises
    ------
    AnnotationError
        Names the file and the element, numbered from 1 among its kind.
    """
    parser, budget = SvgParser(root, source), CrossingBudget()
    found: list[list[Contour]] = []  # by shape
    unfilled: set[int] = set()  # shapes
    lines: dict[tuple[str, str | None], list[tuple[int, str, Points]]] = {}
    single: list[tuple[int, SvgShape]] = []  # filled shapes of one ring
    for number, shape in enumerate(parser.shapes()):
        rings, style = shape.rings, shape.style
        name, color = style.class_name or style.layer, parser.color(style)
        layer = "" if name else style.distinction
        if shape.holes_marked:
            unfilled |= {len(found)} if style.outline_only else set()
            found.append([Contour(rings[0], tuple(rings[1:]), name, color=color, layer=layer)])
        elif style.outline_only:
            unfilled.add(len(found))
            found.append([])
            lines.setdefault((name, color), []).extend((number, layer, ring) for ring in rings)
        else:
            outlines: list[Outline] = [(rings[0], ())]
            if len(rings) > 1:
                outlines = fill_rings(rings, style.nonzero, parser.place(shape.element), budget)
            elif style.nonzero and len(rings[0]) > 3 and simple(rings[0]):
                single.append((number, shape))
            found.append([Contour(outer, holes, name, color=color, layer=layer) for outer, holes in outlines])
    for number, shape in _self_crossing(single):
        [whole] = found[number]
        outlines = fill_rings(shape.rings, True, parser.place(shape.element), budget)
        found[number] = [replace(whole, exterior=outer, holes=holes) for outer, holes in outlines]
    for (name, color), members in lines.items():
        origins = {id(ring): (number, layer) for number, layer, ring in members}
        for outer, holes in sorted_rings([ring for *_, ring in members], source.name):
            number, layer = origins[id(outer)]
            found[number].append(Contour(outer, holes, name, color=color, layer=layer))
    return _with_depths(found, unfilled)


def _with_depths(found: Sequence[Sequence[Contour]], unfilled: Container[int]) -> list[Contour]:
    """Return the contours with their depths: each filled shape has its own, unfilled outlines in a row share one."""
    ordered: list[Contour] = []
    depth = 0
    for number, contours in enumerate(found):
        if number not in unfilled or number - 1 not in unfilled:
            depth += 1
        ordered += [replace(contour, depth=depth) for contour in contours]
    return ordered


def _self_crossing(shapes: Sequence[tuple[int, SvgShape]]) -> list[tuple[int, SvgShape]]:
    """Return the shapes whose only ring crosses itself."""
    crosses = are_self_crossing([shape.rings[0] for _, shape in shapes])
    return [shapes[index] for index in np.flatnonzero(crosses).tolist()]


def svg_image_shape(root: Element, source: DocumentSource, contours: Sequence[Contour]) -> tuple[int, int] | None:
    """Return the rows and columns of the copy of the slide that a drawing was made on; None if it is not on a copy.

    Only a drawing of the slide's proportions is a copy of it.  Others are a page, or a part of the slide, and so are
    those whose viewBox does not begin at 0 and those whose outlines reach beyond them.
    """
    geometry = source.geometry
    size = None if geometry.shape is None else drawing_size(root, geometry)
    if geometry.shape is None or size is None or not all(0.5 < side < _LONGEST_SIDE for side in size):
        return None
    sides = list(zip(size, geometry.shape, strict=True))
    if all(abs(drawn - side) <= max(1, _SAME_SIZE * side) for drawn, side in sides):
        return None
    stated = round(size[0]), round(size[1])
    box = BoundingBox.from_contours(contours, stated)
    if box is None or not box.fits() or transform_for_stated_size(stated, geometry.shape) is None:
        return None
    lengths = root_viewport(root, geometry)[1]
    return stated if slide_frame(root, lengths, geometry) is None else None


def write_svg(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write unfilled outlines, with holes as additional rings of a path, so that they read back exactly.

    The size of the drawing is the slide's; without that it states none.
    """
    size = {} if geometry.shape is None else {"width": str(geometry.shape[1]), "height": str(geometry.shape[0])}
    root = Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "version": "1.1", **size})
    # One transform for all: shifting each point would round it.
    group = SubElement(root, "g", transform="translate(0.5 0.5)")
    for contour in contours:
        attributes = {"class": _NOT_XML.sub(" ", contour.class_name)} if contour.class_name else {}
        attributes |= {"fill": "none", "data-holes": str(len(contour.holes))}
        attributes |= {"stroke": contour.color} if contour.color else {}
        if contour.holes:
            lines = " ".join(f"M {_format_points(ring)} Z" for ring in contour.rings)
            SubElement(group, "path", attributes | {"d": lines, "fill-rule": "evenodd"}).tail = "\n"
        else:
            SubElement(group, "polygon", {"points": _format_points(contour.exterior)} | attributes).tail = "\n"
    path.write_bytes(tostring(root, encoding="utf-8", xml_declaration=True))


def _format_points(ring: Points) -> str:
    """Format points so that reading them gives the same numbers."""
    return " ".join(f"{x!r},{y!r}" for y, x in ring.tolist())
