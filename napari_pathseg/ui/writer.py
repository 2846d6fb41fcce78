"""Napari writer: masks with their pixel size, drawn shapes as contours for QuPath."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from napari_pathseg.contours.contour import Contour, Points
from napari_pathseg.contours.formats import write_contours
from napari_pathseg.contours.formats.label_images.writer import write_label_image
from napari_pathseg.errors import AnnotationError
from napari_pathseg.ui.layers.slide_layers import shape_outline

_OPEN_SHAPES = ("line", "path")


def write_mask(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer as a label image; a TIFF also stores the pixel size.

    Raises
    ------
    AnnotationError
        If the layer has more than two dimensions, or values that do not fit 8 bits.
    ProjectError
        If the file cannot be written.
    """
    finest = data[0] if isinstance(data, list | tuple) else data
    write_label_image(Path(path), _labels(np.asarray(finest), _name(meta)), _mpp(meta))
    return [path]


def write_shapes(path: str, data: list[npt.NDArray[np.float64]], meta: dict[str, Any]) -> list[str]:
    """Write the closed shapes of a layer as GeoJSON in pixels; a feature "class" names their classes.

    Raises
    ------
    AnnotationError
        If the layer has no closed shape.
    ProjectError
        If the file cannot be written.
    """
    contours = _contours(data, meta)
    if not contours:
        raise AnnotationError(f"{_name(meta)} has no closed shape. Draw a polygon or ellipse, then save again.")
    write_contours(path, contours)
    return [path]


def _labels(labels: npt.NDArray[Any], name: str) -> npt.NDArray[np.uint8]:
    if labels.ndim != 2:
        raise AnnotationError(f"{name} has {labels.ndim} dimensions; a mask has 2. Save one plane of it.")
    if labels.size and not 0 <= labels.min() <= labels.max() <= 255:
        raise AnnotationError(
            f"{name} holds the numbers {labels.min()} to {labels.max()}; a mask holds classes from 0 to 255. "
            "Save it with napari's own writer."
        )
    return labels.astype(np.uint8)


def _mpp(meta: dict[str, Any]) -> float | None:
    """Return micrometres per pixel of a layer, or None if its unit is not a length."""
    units = [str(unit) for unit in meta.get("units", ())]
    return float(meta["scale"][-1]) if units and units[-1] in ("um", "µm", "micrometer") else None


def _contours(data: list[npt.NDArray[np.float64]], meta: dict[str, Any]) -> list[Contour]:
    kinds = meta.get("shape_type", "polygon")
    kinds = [kinds] * len(data) if isinstance(kinds, str) else kinds
    classes, holes = _column(meta, "class", len(data)), _column(meta, "hole", len(data))
    rings: dict[str, list[Points]] = {}
    inner: dict[str, list[Points]] = {}
    for points, kind, name, hole in zip(data, kinds, classes, holes, strict=True):
        if kind not in _OPEN_SHAPES and len(points) > 2:
            group = inner if hole is True or hole == "True" else rings
            group.setdefault(name if isinstance(name, str) else "", []).append(
                shape_outline(np.asarray(points)[:, -2:], kind)
            )
    return [
        Contour(ring, tuple(holes), name)
        for name, outer in rings.items()
        for ring, holes in _with_holes(outer, inner.get(name, []))
    ]


def _with_holes(outer: list[Points], inner: list[Points]) -> list[tuple[Points, list[Points]]]:
    """Assign each hole to the smallest outline around it; drop holes outside all outlines."""
    polygons = [shapely.Polygon(ring) for ring in outer]
    assigned: list[list[Points]] = [[] for _ in outer]
    for hole in inner:
        around = [i for i, polygon in enumerate(polygons) if shapely.covers(polygon, shapely.MultiPoint(hole))]
        if around:
            assigned[min(around, key=lambda i: float(polygons[i].area))].append(hole)
    return list(zip(outer, assigned, strict=True))


def _column(meta: dict[str, Any], name: str, length: int) -> list[Any]:
    features = meta.get("features")
    return list(features[name]) if features is not None and name in features else [None] * length


def _name(meta: dict[str, Any]) -> str:
    return str(meta.get("name", "The layer"))
