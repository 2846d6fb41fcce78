"""Read and write contour files, and find the file that belongs to a slide.

A file on its way into a project is read once, into a `ContourFile`; inspection, preview and
import all take that value.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_pathseg.contours.contour import Contour, check_contours
from napari_pathseg.contours.formats.base import ContourFormat, DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.label_images.reader import LabelImage, read_label_image
from napari_pathseg.contours.formats.registry import CONTOUR_SUFFIXES, parse_document, writable_format
from napari_pathseg.errors import AnnotationError
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.storage.atomic import replace_file

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_KNOWN_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", *CONTOUR_SUFFIXES, *MASK_SUFFIXES, *SLIDE_SUFFIXES)


@dataclass(frozen=True)
class ContourFile:
    """A contour file or label image, read once.

    Attributes
    ----------
    path
        The file.
    geometry
        The slide's geometry with which it was read.
    contours
        ``(row, column)`` in level-0 pixels, in the order of the file; empty for a label image.
    label_image
        The pixels of a label image; None for a contour file.
    format
        The contour format; None for a label image.
    has_multiple_images
        Whether the file holds the contours of several images, each under its name.
    version
        Size in bytes and modification time in nanoseconds, from before the file was read.
    """

    path: Path
    geometry: SlideGeometry
    contours: list[Contour]
    label_image: LabelImage | None
    format: ContourFormat | None
    has_multiple_images: bool
    version: tuple[int, int]

    def is_current(self) -> bool:
        """Return whether the file is still as it was read."""
        try:
            return _version(self.path) == self.version
        except AnnotationError:
            return False


def read_contour_file(
    path: Path,
    geometry: SlideGeometry | None = None,
    *,
    colors: Mapping[str, int] | None = None,
    page: int | None = None,
    mask_shape: tuple[int, int] | None = None,
) -> ContourFile:
    """Read a contour file or label image.

    Parameters
    ----------
    path
        The file.  A suffix of `MASK_SUFFIXES` means a label image; the content of any other file
        decides how it is read.
    geometry
        What is known about the slide; label images and some formats cannot do without.
    colors, page, mask_shape
        For label images: see `read_label_image`.

    Raises
    ------
    AnnotationError
        If the file cannot be read, holds a contour that is not valid, or needs more geometry.
    """
    geometry = geometry or SlideGeometry()
    version = _version(path)
    if path.suffix.lower() in MASK_SUFFIXES:
        if geometry.shape is None:
            raise AnnotationError(f"{path.name} is a label image, which has the size of its slide. Name the slide.")
        image = read_label_image(path, geometry.shape, colors, page, mask_shape)
        return ContourFile(path, geometry, [], image, None, has_multiple_images=False, version=version)
    known, document = parse_document(path)
    contours = known.read(document, DocumentSource(path.name, geometry))
    several = known.has_multiple_images(document)
    return ContourFile(path, geometry, contours, None, known, has_multiple_images=several, version=version)


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
    path = Path(path)
    known, document = parse_document(path)
    return known.read(document, DocumentSource(path.name, frame or SlideGeometry()))


def has_multiple_images(path: Path) -> bool:
    """Return whether a file holds the contours of several images; False if it cannot be read."""
    try:
        known, document = parse_document(path)
    except AnnotationError:
        return False
    return known.has_multiple_images(document)


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
