"""GeoJSON as QuPath writes and reads it.

QuPath counts ``(x, y)`` from the corner of the first pixel: an annotation that covers just
that pixel is the square from (0, 0) to (1, 1) [1]_; ours is the centre, hence the half pixel.

.. [1] P. Bankhead, "A note on contours", 2018,
   https://petebankhead.github.io/qupath/technical/2018/03/13/note-on-contours.html
"""

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.data.annotation import Contour, Points, check_ring, without_repeat
from napari_pathseg.data.formats.limits import PointBudget
from napari_pathseg.data.formats.table import Frame, Source
from napari_pathseg.errors import AnnotationError

_WITHOUT_AREA = ("Point", "MultiPoint", "LineString", "MultiLineString")


def is_geojson(document: Any) -> bool:
    """Whether a document is a list of features or says a type, as all GeoJSON does."""
    return isinstance(document, list) or (isinstance(document, dict) and isinstance(document.get("type"), str))


def read_geojson(document: Any, source: Source) -> list[Contour]:
    """Return the polygons of GeoJSON; points and lines are left out.

    Read are feature collections, lists of features, single features and bare geometries.

    Raises
    ------
    AnnotationError
        Naming the file and the feature, counted from 1.
    """
    budget = PointBudget(source.name)
    contours = []
    for number, feature in enumerate(_features(document, source.name), 1):
        place = f"{source.name}, feature {number}"
        if not isinstance(feature, dict):
            raise AnnotationError(f"{place}: is {_shown(feature)}; a feature is an object. Export it again.")
        has_geometry = "geometry" in feature
        properties = feature.get("properties") if has_geometry else None
        name, color = _classification(properties if isinstance(properties, dict) else {})
        for exterior, *holes in _polygons(feature["geometry"] if has_geometry else feature, place):
            ring, *inner = (_ring(points, place, budget) for points in (exterior, *holes))
            contours.append(Contour(ring, tuple(inner), name, color=color))
    return contours


def write_geojson(path: Path, contours: Sequence[Contour], frame: Frame) -> None:
    """Write a feature collection of annotations that QuPath imports by dropping it on a slide."""
    features = ",\n".join(json.dumps(_feature(contour), ensure_ascii=False) for contour in contours)
    path.write_text(f'{{"type": "FeatureCollection", "features": [\n{features}\n]}}\n', encoding="utf-8")


def _features(content: Any, name: str) -> list[Any]:
    """Return the features of a file, whichever way it holds them."""
    if isinstance(content, list):
        return content
    if content["type"] != "FeatureCollection":
        return [content]
    features = content.get("features")
    if not isinstance(features, list):
        raise AnnotationError(f"{name}: its features are {_shown(features)}, not a list. Export it again.")
    return features


def _polygons(geometry: Any, place: str) -> Iterator[list[Any]]:
    """Yield the polygons of a geometry, each a list of rings, the outer one first."""
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if geometry is None or kind in _WITHOUT_AREA:
        return
    if kind not in ("Polygon", "MultiPolygon"):
        raise AnnotationError(
            f"{place}: its geometry is {_shown(kind)}; Polygon and MultiPolygon are read. Convert or delete it."
        )
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if kind == "Polygon" else coordinates
    if not isinstance(polygons, list) or not all(isinstance(rings, list) and rings for rings in polygons):
        raise AnnotationError(f"{place}: its {kind} has no coordinates. Export it again or delete it.")
    yield from polygons


def _ring(points: Any, place: str, budget: PointBudget) -> Points:
    """Return a ring of (x, y) or (x, y, z) from pixel corners as ours."""
    budget.spend(len(points) if isinstance(points, list) else 0)
    try:
        values = np.array(points, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnnotationError(f"{place}: its coordinates are not numbers in pairs. Export it again.") from error
    if values.ndim != 2 or values.shape[1] < 2:
        raise AnnotationError(f"{place}: its coordinates are not pairs of x and y. Export it again.")
    ring = without_repeat(values[:, 1::-1] - 0.5)
    check_ring(ring, place)
    return ring


def _classification(properties: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the class name and colour that QuPath, old or new, gives a feature."""
    found = properties.get("classification")
    if not isinstance(found, dict):
        return (found if isinstance(found, str) else ""), _color(properties)
    name, names = found.get("name"), found.get("names")
    if not isinstance(name, str):
        name = ": ".join(map(str, names)) if isinstance(names, list) else ""
    return name, _color(found) or _color(properties)


def _color(values: Mapping[str, Any]) -> str | None:
    """Return a colour given as three bytes, or as one of Java's signed ARGB integers."""
    color, packed = values.get("color"), values.get("colorRGB")
    if isinstance(color, list) and len(color) >= 3 and all(_is_byte(value) for value in color[:3]):
        return "#{:02x}{:02x}{:02x}".format(*color[:3])
    return f"#{packed & 0xFFFFFF:06x}" if isinstance(packed, int) else None


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value <= 255


def _shown(value: Any) -> str:
    """Return a value as a message shows it."""
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _feature(contour: Contour) -> dict[str, Any]:
    rings = [np.vstack([ring, ring[:1]])[:, ::-1] + 0.5 for ring in contour.rings]
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
