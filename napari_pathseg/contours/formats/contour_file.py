"""Read and write contour files, and find the file that belongs to a slide.

A file is parsed once, into a `ContourFile`, however many slides it holds contours for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_pathseg.contours.contour import Contour, check_contours
from napari_pathseg.contours.formats.base import ContourFormat, DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.registry import CONTOUR_SUFFIXES, formats_of, parse_document, writable_format
from napari_pathseg.errors import AnnotationError
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.storage.atomic import replace_file

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_KNOWN_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", *CONTOUR_SUFFIXES, *MASK_SUFFIXES, *SLIDE_SUFFIXES)


@dataclass(frozen=True)
class ContourFile:
    """A contour file, parsed once; its contours can be read for several slides.

    Attributes
    ----------
    path
        The file.
    format
        The contour format, found by the file's content.
    document
        What the format's `parse` returned.
    version
        Size in bytes and modification time in nanoseconds, from before the file was parsed.
    """

    path: Path
    format: ContourFormat
    document: Any
    version: tuple[int, int]

    @classmethod
    def parse(cls, path: Path) -> "ContourFile":
        """Parse a file.

        Raises
        ------
        AnnotationError
            If the suffix is unknown, or the file cannot be parsed or is in no known format.
        """
        formats_of(path)  # a wrong suffix is reported before a missing file
        version = _version(path)
        return cls(path, *parse_document(path), version)

    @property
    def has_multiple_images(self) -> bool:
        """Whether the file holds the contours of several images, each under its name."""
        return self.format.has_multiple_images(self.document)

    def contours(self, geometry: SlideGeometry) -> list[Contour]:
        """Return the contours of a slide, ``(row, column)`` in level-0 pixels.

        Raises
        ------
        AnnotationError
            If a contour is not valid, or the format needs to know more about the slide.
        """
        return self.format.read(self.document, DocumentSource(self.path.name, geometry))

    def is_current(self) -> bool:
        """Return whether the file on disk is still the one that was parsed."""
        try:
            return _version(self.path) == self.version
        except AnnotationError:
            return False


def read_contours(path: str | Path, frame: SlideGeometry | None = None) -> list[Contour]:
    """Return the contours of a file, ``(row, column)`` in level-0 pixels.

    Parameters
    ----------
    path
        The file; its content decides how it is read.
    frame
        What is known about the slide; some formats cannot do without.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, the file cannot be read, a contour in it is not valid, or the
        format needs to know more about the slide.
    """
    return ContourFile.parse(Path(path)).contours(frame or SlideGeometry())


def write_contours(
    path: str | Path,
    contours: Iterable[Contour],
    colors: Mapping[str, str] | None = None,
    *,
    format: str | None = None,
    frame: SlideGeometry | None = None,
) -> None:
    """Write contours to a file.

    Parameters
    ----------
    path
        The file.
    contours
        What to write.
    colors
        ``#rrggbb`` by class name; other classes keep the contour's own colour.
    format
        A key of `FORMATS`; None for the usual format of the suffix.
    frame
        What is known about the slide; some formats cannot do without.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, or an outline has fewer than three vertices or one that is
        not finite.
    ProjectError
        If the file cannot be written.
    """
    path, colors = Path(path), colors or {}
    write = writable_format(path, format).write
    colored = [replace(contour, color=colors.get(contour.class_name, contour.color)) for contour in contours]
    check_contours(colored, path.name)
    with replace_file(path) as partial:
        write(partial, colored, frame or SlideGeometry())


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


def find_contour_file(slide_path: Path, folder_or_file: Path) -> Path | None:
    """Return the contour file or label image of a slide, or None.

    In a folder it is the file with the slide's stem (``a.svg``, ``a.geojson``, ``a.json``), else
    the image ``a_mask``, ``a`` or ``mask_a``; never the slide itself.

    Raises
    ------
    AnnotationError
        If the file or folder does not exist.
    """
    if folder_or_file.is_file():
        return folder_or_file
    if not folder_or_file.is_dir():
        raise AnnotationError(f"{folder_or_file} does not exist. Give a contour file or a folder of them.")
    stem = stem_of(slide_path)
    stems = dict.fromkeys([stem, slide_path.name])  # some tools append their suffix to the full name
    names = [(name, suffix) for name in stems for suffix in CONTOUR_SUFFIXES]
    names += [(name, suffix) for name in (f"{stem}_mask", stem, f"mask_{stem}") for suffix in MASK_SUFFIXES]
    for name, suffix in names:
        for spelled in (suffix, suffix.upper()):
            found = folder_or_file / f"{name}{spelled}"
            if found.is_file() and not (slide_path.exists() and found.samefile(slide_path)):
                return found
    return None


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise AnnotationError(f"{path} could not be read: {error.strerror}. Check the path.") from error
    return status.st_size, status.st_mtime_ns
