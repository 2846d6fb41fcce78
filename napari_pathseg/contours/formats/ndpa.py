"""Hamamatsu's .ndpa files of NDP.view: outlines in coordinates of the glass, not of the image.

Coordinates are nanometres from the centre of the glass, x to the right and y down.  The slide's
offset from there, its pixel size and its size convert them to pixels from the corner of the
first pixel [1]_; we measure from its centre, hence the half pixel.  Reading and writing need these three
(:class:`~napari_pathseg.contours.formats.base.SlideGeometry`).

An annotation's title is its class; one without a title is distinguished by its details.  Closed freehand
lines, which include rectangles, and circles are read; open lines, pins, pointers and measurements have no
area and are skipped.

NDP.view has no holes and only integers.  Contours with holes are written as one ring
(:mod:`~napari_pathseg.contours.formats.holes`), and the rest in attributes that NDP.view
ignores: ``parts``, and ``fractions`` where the nanometres are not integers.

.. [1] ``annotation/NDPARepository.cpp`` in https://github.com/computationalpathologygroup/ASAP,
   https://openslide.org/formats/hamamatsu/
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.curves import FLATNESS, Consume, ellipse
from napari_pathseg.contours.formats.holes import bridge_holes, split_bridged
from napari_pathseg.contours.formats.json_tree import gc_paused
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.formats.xml_text import HEX_COLOR, content, whole_numbers, with_fractions
from napari_pathseg.contours.formats.xml_tree import points_of
from napari_pathseg.errors import AnnotationError

_PER_NANOMETRE = {"nanometers": 1.0, "micrometers": 1e3, "millimeters": 1e6}
_STATE = """<ndpviewstate id="{number}">
<title>{title}</title><details/><coordformat>nanometers</coordformat><lens>20</lens><x>{x}</x><y>{y}</y><z>0</z>
<showtitle>0</showtitle><showhistogram>0</showhistogram><showlineprofile>0</showlineprofile>
<annotation type="freehand" displayname="AnnotateFreehand" color="{color}"{marks}>
<measuretype>0</measuretype><closed>1</closed>
<pointlist>
{points}</pointlist></annotation>
</ndpviewstate>
"""


class _Glass(NamedTuple):
    """The position of the slide on the glass."""

    centre: Points  # nanometres from the centre of the glass
    half: Points  # pixels from the corner to the centre of the slide
    pixel: float  # nanometres

    def from_pixels(self, points: Points) -> Points:
        """Return ``(x, y)`` on the glass of ``(row, column)`` in level-0 pixels."""
        return (points[:, ::-1] + 0.5 - self.half) * self.pixel + self.centre

    def to_pixels(self, points: Points) -> Points:
        """Return ``(row, column)`` in level-0 pixels of ``(x, y)`` on the glass."""
        return np.ascontiguousarray(((points - self.centre) / self.pixel + self.half - 0.5)[:, ::-1])


def is_ndpa(root: Element) -> bool:
    """Return whether a tree is in the format of NDP.view."""
    return root.tag == "annotations" and all(child.tag == "ndpviewstate" for child in root)


@gc_paused()
def read_ndpa(root: Element, source: DocumentSource) -> list[Contour]:
    """Return the closed outlines of an NDPA file.

    Raises
    ------
    AnnotationError
        If the slide's geometry is incomplete; otherwise naming the file and the annotation, counted
        from 1.
    """
    states = list(root)
    if not states:
        return []
    glass = _glass(source.geometry, source.name)
    budget = PointBudget(source.name)
    return [
        contour
        for number, state in enumerate(states, 1)
        for contour in _contours(state, glass, f"{source.name}, annotation {number}", budget.consume)
    ]


def write_ndpa(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write closed freehand lines; AnnotationError if the slide's geometry is incomplete."""
    glass = _glass(geometry, geometry.name or path.name, ", or choose another format")
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8" standalone="yes"?>\n<annotations>\n')
        file.writelines(_state(number, contour, glass) for number, contour in enumerate(contours, 1))
        file.write("</annotations>\n")


def _glass(geometry: SlideGeometry, name: str, otherwise: str = "") -> _Glass:
    """Return the position of the slide on the glass; AnnotationError, with another way out, if it is not known."""
    if geometry.shape is not None and geometry.mpp is not None and geometry.centre_offset_um is not None:
        half = np.array(geometry.shape[::-1]) / 2
        return _Glass(np.array(geometry.centre_offset_um) * 1000, half, geometry.mpp * 1000)
    needed = {
        "its size": geometry.shape,
        "its pixel size": geometry.mpp,
        "the offset of its centre from the middle of the glass": geometry.centre_offset_um,
    }
    missing = ", ".join(what for what, value in needed.items() if value is None)
    raise AnnotationError(
        f"{name}: NDPA files count nanometres from the middle of the glass, so they need what is not known "
        f"of this slide: {missing}. Give the .ndpi slide with it{otherwise}."
    )


def _contours(state: Element, glass: _Glass, place: str, consume: Consume) -> Iterator[Contour]:
    """Yield the contours of one entry of a file."""
    unit = (state.findtext("coordformat") or "nanometers").strip().lower()
    if unit not in _PER_NANOMETRE:
        known = ", ".join(_PER_NANOMETRE)
        raise AnnotationError(f'{place}: its coordformat is "{unit[:20]}"; only {known} can be read. Export it again.')
    title = (state.findtext("title") or "").strip()
    layer = "" if title else specific_name(state.findtext("details"))
    for annotation in state.iterfind("annotation"):
        points = _points(annotation, place, glass.pixel / _PER_NANOMETRE[unit], consume)
        if points is None:
            continue
        line = glass.to_pixels(points * _PER_NANOMETRE[unit])
        exterior, *holes = (without_repeat(ring) for ring in split_bridged(line, annotation.get("parts", "")))
        for ring in (exterior, *holes):
            check_ring(ring, place)
        color = annotation.get("color", "")
        shade = color.lower() if HEX_COLOR.fullmatch(color) else None
        yield Contour(exterior, tuple(holes), title, color=shade, layer=layer)


def _points(annotation: Element, place: str, pixel: float, consume: Consume) -> Points | None:
    """Return the line of an annotation in units of the file, or None if it has no area."""
    kind = annotation.get("type", "").lower()
    if kind == "circle":
        x, y, radius = (_number(annotation, name, place) for name in ("x", "y", "radius"))
        if radius <= 0:
            raise AnnotationError(f"{place}: its radius is {radius:g}; it must be above 0. Correct or delete it.")
        return ellipse((x, y), (radius, radius), (0, 2 * math.pi), FLATNESS * pixel, consume)[:-1]
    if kind != "freehand" or (annotation.findtext("closed") or "1").strip() == "0":
        return None
    return with_fractions(points_of(annotation.find("pointlist")), annotation.get("fractions", ""))


def _number(annotation: Element, name: str, place: str) -> float:
    text = annotation.findtext(name) or ""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise AnnotationError(f'{place}: its {name} is "{text[:20]}", not a number. Correct or delete it.')
    return number


def _state(number: int, contour: Contour, glass: _Glass) -> str:
    """Return the entry of a contour."""
    line, parts = bridge_holes(contour.rings)
    points, fractions = whole_numbers(glass.from_pixels(line))
    marks = f' parts="{parts}"' if contour.holes else ""
    marks += f' fractions="{fractions}"' if fractions else ""
    x, y = (points.min(axis=0) + points.max(axis=0)) // 2
    return _STATE.format(
        number=number,
        title=content(contour.class_name),
        x=x,
        y=y,
        color=contour.color or "#000000",
        marks=marks,
        points="".join(f"<point><x>{x}</x><y>{y}</y></point>\n" for x, y in points.tolist()),
    )
