"""Contours and label images as other programs write them; coordinates become ours here.

One table says which suffix is whose.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from napari_pathseg.data.annotation import Contour, check_contours
from napari_pathseg.data.files import replace_file
from napari_pathseg.data.formats.geojson import read_geojson, write_geojson
from napari_pathseg.data.formats.svg import read_svg, write_svg
from napari_pathseg.errors import AnnotationError

_Reader = Callable[[Path], list[Contour]]
_Writer = Callable[[Path, Sequence[Contour]], None]
_FORMATS: dict[str, tuple[_Reader, _Writer]] = {
    ".svg": (read_svg, write_svg),
    ".geojson": (read_geojson, write_geojson),
    ".json": (read_geojson, write_geojson),
}
CONTOUR_SUFFIXES = tuple(_FORMATS)
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_SLIDE_SUFFIXES = (
    *(".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".qptiff", ".vms", ".vmu", ".svslide", ".czi", ".dcm"),
    *(".jpg", ".jpeg", ".jp2", ".btf", ".zarr"),
)
_KNOWN_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", *CONTOUR_SUFFIXES, *MASK_SUFFIXES, *_SLIDE_SUFFIXES)


def read_contours(path: str | Path) -> list[Contour]:
    """Return the contours of a file, ``(row, column)`` in level-0 pixels.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, the file cannot be read, or a contour in it is none: which.
    """
    path = Path(path)
    return _format(path)[0](path)


def write_contours(path: str | Path, contours: Iterable[Contour], colors: Mapping[str, str] | None = None) -> None:
    """Write contours in the format of the suffix.

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
    write = _format(path)[1]
    colored = [replace(contour, color=colors.get(contour.class_name, contour.color)) for contour in contours]
    check_contours(colored, path.name)
    with replace_file(path) as partial:
        write(partial, colored)


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


def _format(path: Path) -> tuple[_Reader, _Writer]:
    """Return how files of that suffix are read and written."""
    found = _FORMATS.get(path.suffix.lower())
    if found is None:
        raise AnnotationError(
            f'{path.name}: contours in "{path.suffix}" files are not known; known are '
            f"{', '.join(CONTOUR_SUFFIXES)}. Export them in one of these."
        )
    return found
