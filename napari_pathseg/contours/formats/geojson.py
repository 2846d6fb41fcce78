"""GeoJSON as QuPath writes and reads it.

QuPath measures ``(x, y)`` from the corner of the first pixel: an annotation of that pixel alone
is the square from (0, 0) to (1, 1) [1]_; we measure from the centre, hence the half pixel.
Annotations, detections, tiles and cells (by their outer ring) are read, with their child
objects.  What other programs write as ``class``, ``label`` or ``category`` is read as the class; the name of an object
without a class tells it apart.  Cores of tissue arrays and QuPath's root are regions of interest, not contours, and are
skipped [2]_, as are objects without area.

GeoJSON is a format for maps, and many programs declare longitudes and latitudes (WGS84) for
any numbers.  A file counts as a map, and is refused, only if all its points are possible
degrees, nothing in it is specific to QuPath, and either it names WGS84 and has fractions, or most points
have more than four decimals and are outside any image or within less than one pixel.

.. [1] P. Bankhead, "A note on contours", 2018,
   https://petebankhead.github.io/qupath/technical/2018/03/13/note-on-contours.html
.. [2] QuPath, ``qupath/lib/io/QuPathTypeAdapters.java``, ``PathObjectTypeAdapter``.
"""

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.contours.class_names import specific_name
from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.base import DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.json_tree import (
    clean_name,
    describe,
    from_corner,
    gc_paused,
    read_pairs,
    to_corner,
)
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.errors import AnnotationError

_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")
_TYPES = (*_WITHOUT_AREA, "Polygon", "MultiPolygon", "GeometryCollection", "Feature", "FeatureCollection")
_CORES_AND_ROOT = ("tmaCore", "tma_core", "TMACoreObject", "root", "PathRootObject")
_QUPATH_KEYS = ("objectType", "object_type", "classification", "isLocked", "measurements")
_CLASS_KEYS = ("classification", "class", "className", "class_name", "label", "category")
_MAX_NUMBER_LENGTH = 20  # characters
_WGS84 = re.compile(r"CRS:?84|WGS ?84|^(.*EPSG:.*)?4326$", re.IGNORECASE)


def is_geojson(document: Any) -> bool:
    """Return whether a document is a list, as of features, or has a GeoJSON type."""
    return isinstance(document, list) or (isinstance(document, dict) and document.get("type") in _TYPES)


@gc_paused()
def read_geojson(document: Any, source: DocumentSource) -> list[Contour]:
    """Return the polygons of GeoJSON; points and lines are skipped.

    Feature collections, lists of features, single features and bare geometries are read.

    Raises
    ------
    AnnotationError
        Naming the file and the feature, counted from 1.
    """
    budget = PointBudget(source.name)
    contours = []
    marked = False
    for number, feature in enumerate(_features(document, source.name), 1):
        place = f"{source.name}, feature {number}"
        properties = _properties(feature)
        marked = marked or any(key in properties for key in _QUPATH_KEYS)
        if _is_core_or_root(feature, properties):
            continue
        name, color = _classification(properties)
        layer = "" if name else _other_name(properties)
        has_geometry = "geometry" in feature or feature.get("type") == "Feature"
        for rings in _polygons(feature.get("geometry") if has_geometry else feature, place):
            ring, *holes = (from_corner(read_pairs(points, place, budget), place) for points in rings)
            contours.append(Contour(ring, tuple(holes), name, color=color, layer=layer))
    if not marked and _in_degrees(contours, _names_wgs84(document)):
        raise AnnotationError(
            f"{source.name}: its coordinates are longitudes and latitudes, not pixels. Export the contours in pixels "
            'of the slide; if they are, give a feature the property "objectType": "annotation".'
        )
    return contours


def write_geojson(path: Path, contours: Sequence[Contour], geometry: SlideGeometry) -> None:
    """Write a feature collection of annotations that QuPath imports by dropping it on a slide."""
    features = ",\n".join(json.dumps(_feature(contour), ensure_ascii=False) for contour in contours)
    path.write_text(f'{{"type": "FeatureCollection", "features": [\n{features}\n]}}\n', encoding="utf-8")


def _features(document: Any, name: str) -> Iterator[dict[str, Any]]:
    """Yield the features of a document of any structure, each before its children."""
    pending = document[::-1] if isinstance(document, list) else [document]
    number = 1
    while pending:
        feature = pending.pop()
        if not isinstance(feature, dict):
            raise AnnotationError(
                f"{name}, feature {number}: is {describe(feature)}; a feature is an object. Export it again."
            )
        if feature.get("type") == "FeatureCollection":
            features = feature.get("features")
            if not isinstance(features, list):
                raise AnnotationError(f"{name}: its features are {describe(features)}, not a list. Export it again.")
            pending += features[::-1]
            continue
        yield feature
        number += 1
        children = _properties(feature).get("childObjects")
        pending += children[::-1] if isinstance(children, list) else []


def _properties(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _is_core_or_root(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> bool:
    """Return whether a feature is a tissue core or the root; old files mark them by id."""
    kind = properties.get("objectType", properties.get("object_type", feature.get("id")))
    return (isinstance(kind, str) and kind in _CORES_AND_ROOT) or properties.get("isMissing") is True


def _polygons(geometry: Any, place: str) -> Iterator[list[Any]]:
    """Yield the polygons of a geometry, each a list of rings, the outer one first."""
    pending = [geometry]
    while pending:
        geometry = pending.pop()
        kind = geometry.get("type") if isinstance(geometry, dict) else None
        if geometry is None or kind in _WITHOUT_AREA:
            continue
        parts = geometry.get("geometries") if kind == "GeometryCollection" else None
        if isinstance(parts, list):
            pending += parts[::-1]
            continue
        if kind not in ("Polygon", "MultiPolygon"):
            raise AnnotationError(
                f"{place}: its geometry is {describe(kind)}; only Polygon and MultiPolygon can be read. "
                "Convert or delete it."
            )
        coordinates = geometry.get("coordinates")
        polygons = [coordinates] if kind == "Polygon" else coordinates
        if not isinstance(polygons, list) or not all(isinstance(rings, list) and rings for rings in polygons):
            raise AnnotationError(f"{place}: its {kind} has no coordinates. Export it again or delete it.")
        yield from polygons


def _classification(properties: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return a feature's class name and colour, as QuPath's versions and other programs write them."""
    fields = (properties.get(key) for key in _CLASS_KEYS)
    found = next((value for value in fields if value and isinstance(value, str | dict)), None)
    if not isinstance(found, dict):  # a number is a colour of QuPath's
        return clean_name(found), _color({"color": properties.get("classification")}) or _color(properties)
    name, names = found.get("name"), found.get("names")
    if not isinstance(name, str) and isinstance(names, list):
        name = ": ".join(part for part in names if isinstance(part, str))
    return clean_name(name), _color(found) or _color(properties)


def _other_name(properties: Mapping[str, Any]) -> str:
    """Return what else may tell a feature without a class from others: its number of a class, its name or type."""
    number = next((properties[key] for key in _CLASS_KEYS[1:] if type(properties.get(key)) is int), None)
    if number is not None:
        return f"class {str(number)[:_MAX_NUMBER_LENGTH]}"
    return specific_name(clean_name(properties.get("name")), clean_name(properties.get("type")))


def _color(values: Mapping[str, Any]) -> str | None:
    """Return a colour given as three bytes, or as one of Java's signed ARGB integers."""
    color = values.get("color")
    if isinstance(color, list) and len(color) >= 3 and all(_is_byte(value) for value in color[:3]):
        return "#{:02x}{:02x}{:02x}".format(*color[:3])
    packed = next((value for value in (color, values.get("colorRGB")) if type(value) is int), None)
    return None if packed is None else f"#{packed & 0xFFFFFF:06x}"


def _is_byte(value: Any) -> bool:
    return type(value) is int and 0 <= value <= 255


def _names_wgs84(document: Any) -> bool:
    """Return whether a file declares longitudes and latitudes."""
    crs = document.get("crs") if isinstance(document, dict) else None
    properties = _properties(crs) if isinstance(crs, dict) else {}
    names = (crs, properties.get("name"), properties.get("code"))
    texts = (name if isinstance(name, str) else describe(name) for name in names)
    return any(_WGS84.search(text[:200]) for text in texts)


def _in_degrees(contours: Sequence[Contour], named: bool) -> bool:
    """Return whether contours of an unknown program are in degrees; `named` if the file declares it."""
    for contour in contours:  # in most files the first contour decides
        rows, columns = np.abs(contour.exterior + 0.5).max(axis=0)
        if rows > 90 or columns > 180:
            return False
    if not contours:
        return False
    points = np.concatenate([contour.exterior for contour in contours]) + 0.5
    if named:
        return bool((points != np.round(points)).any())
    scaled = points * 1e4
    fine = (np.abs(scaled - np.round(scaled)) > 1e-6).any(axis=1)
    widest = max(np.ptp(contour.exterior, axis=0).max() for contour in contours)
    return bool(fine.mean() > 0.5 and (points.min() < -1 or widest < 1))


def _feature(contour: Contour) -> dict[str, Any]:
    rings = [to_corner(np.vstack([ring, ring[:1]])) for ring in contour.rings]
    properties: dict[str, Any] = {"objectType": "annotation", "isLocked": False}
    color = {"color": list(bytes.fromhex(contour.color[1:]))} if contour.color else {}
    if contour.class_name:
        properties["classification"] = {"name": contour.class_name, **color}
    else:
        properties |= color
    return {
        "type": "Feature",
        "id": str(uuid.uuid4()),
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]},
        "properties": properties,
    }
