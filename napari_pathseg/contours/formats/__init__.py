"""Contours and label images as other programs write them; coordinates become ours here.

One table says what is read and written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_pathseg.contours.contour import Contour, check_contours
from napari_pathseg.contours.formats.asap import is_asap, read_asap, write_asap
from napari_pathseg.contours.formats.base import ContourFormat, Frame, Source
from napari_pathseg.contours.formats.coco import has_many_images, is_coco, read_coco, write_coco
from napari_pathseg.contours.formats.cvat import has_many_pictures, is_cvat, read_cvat, write_cvat
from napari_pathseg.contours.formats.geojson import is_geojson, read_geojson, write_geojson
from napari_pathseg.contours.formats.imagescope import is_imagescope, read_imagescope, write_halo, write_imagescope
from napari_pathseg.contours.formats.json_tree import read_json
from napari_pathseg.contours.formats.labelme import is_labelme, read_labelme, write_labelme
from napari_pathseg.contours.formats.ndpa import is_ndpa, read_ndpa, write_ndpa
from napari_pathseg.contours.formats.svg.svg import is_svg, read_svg, write_svg
from napari_pathseg.contours.formats.xml_tree import read_tree
from napari_pathseg.errors import AnnotationError
from napari_pathseg.storage.atomic import replace_file

_XML_FORMATS = (
    # where one suffix is shared, the first is written unless another is named
    ContourFormat("svg", "SVG", ".svg", is_svg, read_svg, write_svg),
    ContourFormat("asap", "ASAP", ".xml", is_asap, read_asap, write_asap),
    ContourFormat("aperio", "Aperio ImageScope", ".xml", is_imagescope, read_imagescope, write_imagescope),
    ContourFormat("halo", "HALO", ".annotations", is_imagescope, read_imagescope, write_halo),  # the same when read
    ContourFormat("cvat", "CVAT for images 1.1", ".xml", is_cvat, read_cvat, write_cvat, of_many=has_many_pictures),
    ContourFormat("ndpa", "Hamamatsu NDPA", ".ndpa", is_ndpa, read_ndpa, write_ndpa),
)
_GEOJSON = ContourFormat("geojson", "QuPath GeoJSON", ".geojson", is_geojson, read_geojson, write_geojson)
_JSON_FORMATS = (
    _GEOJSON,
    ContourFormat("coco", "COCO", ".json", is_coco, read_coco, write_coco, of_many=has_many_images),
    ContourFormat("labelme", "LabelMe", ".json", is_labelme, read_labelme, write_labelme),
)
FORMATS = {known.key: known for known in (*_XML_FORMATS, *_JSON_FORMATS)}
_FAMILIES: dict[str, tuple[Callable[[Path], Any], tuple[ContourFormat, ...]]] = {
    **dict.fromkeys((".svg", ".xml", ".annotations", ".ndpa"), (read_tree, _XML_FORMATS)),
    ".geojson": (read_json, _JSON_FORMATS),
    ".json": (read_json, (replace(_GEOJSON, suffix=".json"), *_JSON_FORMATS[1:])),  # GeoJSON unless another is named
}
CONTOUR_SUFFIXES = tuple(_FAMILIES)
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_SLIDE_SUFFIXES = (
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".qptiff", ".vms", ".vmu", ".svslide", ".czi", ".dcm"),
    *(".jpg", ".jpeg", ".jp2", ".btf", ".tf8", ".zarr"),
)
_KNOWN_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", *CONTOUR_SUFFIXES, *MASK_SUFFIXES, *_SLIDE_SUFFIXES)


def read_contours(path: str | Path, frame: Frame | None = None) -> list[Contour]:
    """Return the contours of a file, ``(row, column)`` in level-0 pixels.

    Parameters
    ----------
    path
        The file; what is in it decides how it is read.
    frame
        What is known of the slide; some formats cannot do without.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, the file cannot be read, a contour in it is none: which; or the
        format needs to know more of the slide.
    """
    path = Path(path)
    known, document = _recognised(path)
    return known.read(document, Source(path.name, frame or Frame()))


def holds_many(path: Path) -> bool:
    """Whether a file holds the contours of many slides, each under its name; False where it cannot be read."""
    try:
        known, document = _recognised(path)
        return known.of_many(document)
    except AnnotationError:
        return False


def _recognised(path: Path) -> tuple[ContourFormat, Any]:
    """Return the format of a file, and what is in it."""
    load, formats = _family(path)
    document = load(path)
    known = next((known for known in formats if known.knows(document)), None)
    if known is None:
        titles = ", ".join(format.title for format in formats)
        raise AnnotationError(
            f"{path.name} is none of the formats that are read from {path.suffix} files ({titles}). "
            "Export it in one of these."
        )
    return known, document


def write_contours(
    path: str | Path,
    contours: Iterable[Contour],
    colors: Mapping[str, str] | None = None,
    *,
    format: str | None = None,
    frame: Frame | None = None,
) -> None:
    """Write contours in a format, that of the suffix where none is named.

    `colors` maps class names to ``#rrggbb``; other classes keep the contour's own colour.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, or an outline has fewer than three vertices or one that is
        not finite.
    ProjectError
        If the file cannot be written.
    """
    path, colors = Path(path), colors or {}
    write = _writer(path, format)
    colored = [replace(contour, color=colors.get(contour.class_name, contour.color)) for contour in contours]
    check_contours(colored, path.name)
    with replace_file(path) as partial:
        write(partial, colored, frame or Frame())


def stem_of(path: str | Path) -> str:
    """Return a file's name without its suffix, if that is one of a slide, contour or mask file.

    >>> stem_of("2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048.tiff")
    '2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048'
    >>> stem_of("2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048")
    '2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048'
    """
    name = Path(path).name
    suffix = next((known for known in _KNOWN_SUFFIXES if name.lower().endswith(known)), "")
    return name[: len(name) - len(suffix)]


def find_contours(slide_path: Path, folder_or_file: Path) -> Path | None:
    """Return the contour file or label image of a slide, or None.

    Of a folder it is the file with the slide's stem (``a.svg``, ``a.geojson``, ``a.json``),
    else the picture ``a_mask``, ``a`` or ``mask_a``; never the slide itself.

    Raises
    ------
    AnnotationError
        If there is no such file or folder.
    """
    if folder_or_file.is_file():
        return folder_or_file
    if not folder_or_file.is_dir():
        raise AnnotationError(f"{folder_or_file} does not exist. Give a contour file or a folder of them.")
    stem = stem_of(slide_path)
    stems = dict.fromkeys([stem, slide_path.name])  # some tools only add their suffix
    names = [(name, suffix) for name in stems for suffix in CONTOUR_SUFFIXES]
    names += [(name, suffix) for name in (f"{stem}_mask", stem, f"mask_{stem}") for suffix in MASK_SUFFIXES]
    for name, suffix in names:
        for spelled in (suffix, suffix.upper()):
            found = folder_or_file / f"{name}{spelled}"
            if found.is_file() and not (slide_path.exists() and found.samefile(slide_path)):
                return found
    return None


def _family(path: Path) -> tuple[Callable[[Path], Any], tuple[ContourFormat, ...]]:
    """Return how files of that suffix are loaded, and what may be in them."""
    found = _FAMILIES.get(path.suffix.lower())
    if found is None:
        raise AnnotationError(
            f'{path.name}: contours in "{path.suffix}" files are not known; known are '
            f"{', '.join(CONTOUR_SUFFIXES)}. Export them in one of these."
        )
    return found


def _writer(path: Path, key: str | None) -> Callable[[Path, Sequence[Contour], Frame], None]:
    """Return what writes the format that is named, or the first of the suffix."""
    _, formats = _family(path)
    writable = {known.key: known.write for known in formats if known.write is not None}
    if key is not None and key not in writable:
        raise AnnotationError(f"{path.name}: {key} is not written in such a file; {', '.join(writable)} are.")
    named = [known.key for known in formats if known.suffix == path.suffix.lower() and known.key in writable]
    return writable[key or next(iter([*named, *writable]))]
