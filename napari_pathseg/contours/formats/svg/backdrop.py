"""The slide that lies in an SVG document as an ``<image>``: its frame is the slide's, whatever the document's size.

Drawing programs scale a picture on import and draw the outlines over it.  The image is the one with the slide's name,
or the only one of the slide's proportions; images inside nested viewports, copies and hidden groups do not count.

napari's own SVG writer moves what it saves to the corner of the drawing, so that a shapes layer that is saved without
its slide begins at its first outline.  Undoing the move gives the coordinates of the layer back, which are measured
from the centres of pixels (napari-svg 0.2, ``xml_to_svg``).
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote
from xml.etree.ElementTree import Element

import numpy as np

from napari_pathseg.contours.formats.base import SlideGeometry
from napari_pathseg.contours.formats.svg.style import kind_of
from napari_pathseg.contours.formats.svg.units import LengthContext, Matrix, fit_viewbox, transform, translate

_HREFS = ("href", "{http://www.w3.org/1999/xlink}href")
_DEEPEST = 200
_MOST_IMAGES = 100
_PROPORTIONS = 0.01  # relative difference
_MOVED = re.compile(r"translate\((-?\d[\d.e+-]*) (-?\d[\d.e+-]*)\)")


def slide_frame(root: Element, lengths: LengthContext, geometry: SlideGeometry) -> Matrix | None:
    """Return the matrix from the root's user units to slide pixels by the slide's image or napari, or None without."""
    found = _image_frame(root, lengths, geometry)
    return _napari_frame(root) if found is None else found


def _image_frame(root: Element, lengths: LengthContext, geometry: SlideGeometry) -> Matrix | None:
    if geometry.shape is None:
        return None
    rows, columns = geometry.shape
    named, alike = [], []
    for image, matrix in _images(root, np.eye(3), 0):
        try:
            x, y, width, height = (lengths.length(image, side) for side in ("x", "y", "width", "height"))
        except ValueError:  # an image that cannot be placed shows nothing
            continue
        port = x, y, width, height
        if width <= 0 or height <= 0:
            continue
        to_user = matrix @ fit_viewbox(image, (0, 0, columns, rows), port)
        if not np.isfinite(to_user).all() or abs(np.linalg.det(to_user)) < 1e-12:
            continue
        if _stem(image) == PurePosixPath(geometry.name).stem != "":
            named.append(to_user)
        elif abs(width * rows / (height * columns) - 1) < _PROPORTIONS:
            alike.append(to_user)
        if len(named) + len(alike) > _MOST_IMAGES:
            return None
    for found in (named, alike):
        if len(found) == 1:
            return np.linalg.inv(found[0]).astype(np.float64)
    return None


def _napari_frame(root: Element) -> Matrix | None:
    """Return the matrix that undoes the move of napari's writer, or None in files of others."""
    children = [child for child in root if isinstance(child.tag, str)]
    if (
        set(root.attrib) != {"height", "width", "version"}
        or len(children) != 1
        or set(children[0].attrib) != {"transform"}
    ):
        return None
    found, layers = _MOVED.fullmatch(children[0].attrib["transform"]), list(children[0])
    if found is None or not layers or not all(layer.get("transform", "").startswith("matrix(") for layer in layers):
        return None
    try:
        x, y = float(found[1]), float(found[2])
    except ValueError:
        return None
    return translate(0.5 - x, 0.5 - y)


def _images(element: Element, matrix: Matrix, depth: int) -> Iterator[tuple[Element, Matrix]]:
    """Yield the images that are drawn directly, with their matrices to the root's user units."""
    for child in element:
        kind = kind_of(child) if isinstance(child.tag, str) else ""
        if kind not in ("image", "g", "a") or depth > _DEEPEST or child.get("display") == "none":
            continue
        own = child.get("transform", "").strip()
        moved = matrix @ transform(own) if own else matrix
        if kind == "image":
            yield child, moved
        else:
            yield from _images(child, moved, depth + 1)


def _stem(image: Element) -> str:
    href = next((image.attrib[name] for name in _HREFS if name in image.attrib), "")
    return "" if href.startswith("data:") else PurePosixPath(unquote(href[:2000]).replace("\\", "/")).stem
