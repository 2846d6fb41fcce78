"""The table of contour formats.  A new format is a module with its functions and a row here."""

from pathlib import Path
from typing import Any

from napari_pathseg.contours.formats.asap import is_asap, read_asap, write_asap
from napari_pathseg.contours.formats.base import ContourFormat, is_single_image, no_image_shape
from napari_pathseg.contours.formats.coco import (
    coco_image_shape,
    has_multiple_coco_images,
    is_coco,
    read_coco,
    write_coco,
)
from napari_pathseg.contours.formats.cvat import (
    cvat_image_shape,
    has_multiple_cvat_images,
    is_cvat,
    read_cvat,
    write_cvat,
)
from napari_pathseg.contours.formats.geojson import is_geojson, read_geojson, write_geojson
from napari_pathseg.contours.formats.imagescope import is_imagescope, read_imagescope, write_halo, write_imagescope
from napari_pathseg.contours.formats.json_tree import read_json
from napari_pathseg.contours.formats.labelme import is_labelme, labelme_image_shape, read_labelme, write_labelme
from napari_pathseg.contours.formats.ndpa import is_ndpa, read_ndpa, write_ndpa
from napari_pathseg.contours.formats.svg.svg import is_svg, read_svg, svg_image_shape, write_svg
from napari_pathseg.contours.formats.xml_tree import read_tree
from napari_pathseg.errors import AnnotationError

_ROWS = (
    ContourFormat(
        key="svg",
        title="SVG",
        suffixes=(".svg",),
        parse=read_tree,
        matches=is_svg,
        read=read_svg,
        write=write_svg,
        has_multiple_images=is_single_image,
        image_shape=svg_image_shape,
    ),
    ContourFormat(
        key="asap",
        title="ASAP",
        suffixes=(".xml",),
        parse=read_tree,
        matches=is_asap,
        read=read_asap,
        write=write_asap,
        has_multiple_images=is_single_image,
        image_shape=no_image_shape,
    ),
    ContourFormat(
        key="aperio",
        title="Aperio ImageScope",
        suffixes=(".xml",),
        parse=read_tree,
        matches=is_imagescope,
        read=read_imagescope,
        write=write_imagescope,
        has_multiple_images=is_single_image,
        image_shape=no_image_shape,
    ),
    ContourFormat(
        key="halo",
        title="HALO",
        suffixes=(".annotations",),
        parse=read_tree,
        matches=is_imagescope,  # a dialect of ImageScope's format
        read=read_imagescope,
        write=write_halo,
        has_multiple_images=is_single_image,
        image_shape=no_image_shape,
    ),
    ContourFormat(
        key="cvat",
        title="CVAT for images 1.1",
        suffixes=(".xml",),
        parse=read_tree,
        matches=is_cvat,
        read=read_cvat,
        write=write_cvat,
        has_multiple_images=has_multiple_cvat_images,
        image_shape=cvat_image_shape,
    ),
    ContourFormat(
        key="ndpa",
        title="Hamamatsu NDPA",
        suffixes=(".ndpa",),
        parse=read_tree,
        matches=is_ndpa,
        read=read_ndpa,
        write=write_ndpa,
        has_multiple_images=is_single_image,
        image_shape=no_image_shape,
    ),
    ContourFormat(
        key="geojson",
        title="QuPath GeoJSON",
        suffixes=(".geojson", ".json"),
        parse=read_json,
        matches=is_geojson,
        read=read_geojson,
        write=write_geojson,
        has_multiple_images=is_single_image,
        image_shape=no_image_shape,
    ),
    ContourFormat(
        key="coco",
        title="COCO",
        suffixes=(".json",),
        parse=read_json,
        matches=is_coco,
        read=read_coco,
        write=write_coco,
        has_multiple_images=has_multiple_coco_images,
        image_shape=coco_image_shape,
    ),
    ContourFormat(
        key="labelme",
        title="LabelMe",
        suffixes=(".json",),
        parse=read_json,
        matches=is_labelme,
        read=read_labelme,
        write=write_labelme,
        has_multiple_images=is_single_image,
        image_shape=labelme_image_shape,
    ),
)
FORMATS = {row.key: row for row in _ROWS}
CONTOUR_SUFFIXES = tuple(dict.fromkeys(suffix for row in _ROWS for suffix in row.suffixes))


def formats_of(path: Path) -> tuple[ContourFormat, ...]:
    """Return the formats that a file of this suffix may have, in the order in which they are tried.

    Raises
    ------
    AnnotationError
        If no contour format uses the suffix.
    """
    suffix = path.suffix.lower()
    parse = next((row.parse for row in _ROWS if suffix in row.suffixes), None)
    if parse is None:
        raise AnnotationError(
            f'{path.name}: "{path.suffix}" is not the suffix of a contour file; known are '
            f"{', '.join(CONTOUR_SUFFIXES)}. Export the contours in one of these formats, or a label image as "
            "PNG or TIFF (JPEG changes its values)."
        )
    return tuple(row for row in _ROWS if row.parse is parse)


def parse_document(path: Path) -> tuple[ContourFormat, Any]:
    """Return the format of a file and its parsed document.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, or the file cannot be parsed or is in no known format.
    """
    formats = formats_of(path)
    document = formats[0].parse(path)
    known = next((row for row in formats if row.matches(document)), None)
    if known is None:
        titles = ", ".join(row.title for row in formats)
        raise AnnotationError(
            f"{path.name} is in none of the formats that {path.suffix} files can have ({titles}). "
            "Export it in one of these."
        )
    return known, document


def writable_format(path: Path, key: str | None) -> ContourFormat:
    """Return the format named `key`, or without `key` the default format of the file's suffix.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, or is not one of the named format.
    """
    formats = {row.key: row for row in formats_of(path)}
    if key is None:
        return next(row for row in formats.values() if path.suffix.lower() in row.suffixes)
    if key not in formats:
        raise AnnotationError(
            f"{path.name}: {key} files have another suffix. {path.suffix} files can be {', '.join(formats)}: "
            "change the suffix or the format."
        )
    return formats[key]
