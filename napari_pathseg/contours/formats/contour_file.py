"""Read and write annotation files (contours and label images), and find the file that belongs to a slide.

An `AnnotationReader` parses a file once, however many slides it holds contours for.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path
from typing import Any, NamedTuple

from napari_pathseg.contours.alignment import (
    IDENTITY,
    AxisScaleTransform,
    fits_stated_size,
    transform_for_stated_size,
)
from napari_pathseg.contours.contour import Contour, check_contours
from napari_pathseg.contours.formats.base import ContourFormat, DocumentSource, SlideGeometry
from napari_pathseg.contours.formats.registry import CONTOUR_SUFFIXES, formats_of, parse_document, writable_format
from napari_pathseg.errors import AnnotationError
from napari_pathseg.slides.folders import paired_folders
from napari_pathseg.slides.registry import SLIDE_SUFFIXES
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.names import mask_stems

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
_KNOWN_SUFFIXES = (".ome.tif", ".ome.tiff", ".ome.zarr", *CONTOUR_SUFFIXES, *MASK_SUFFIXES, *SLIDE_SUFFIXES)


@dataclass(frozen=True)
class AnnotationFile:
    """A contour file or label image as it was read for one slide.

    Attributes
    ----------
    path
        The file.
    contours
        Its contours in level-0 pixels of the slide, with the class names of the file; None for a label image,
        whose pixels are read on import, since those of many files would fill the memory.
    version
        Size in bytes and modification time in nanoseconds, from before the file was read.
    has_multiple_images
        Whether it is a contour file with the contours of several images, each under its name.
    image_shape
        The rows and columns of the image that the contours were drawn on, where the file states them.
    """

    path: Path
    contours: Sequence[Contour] | None
    version: tuple[int, int]
    has_multiple_images: bool = False
    image_shape: tuple[int, int] | None = None

    def check_unchanged(self) -> None:
        """Raise if the file on disk is no longer the one that was read.

        Raises
        ------
        AnnotationError
            If it was written or deleted since.
        """
        if not _is_version(self.path, self.version):
            raise AnnotationError(f"{self.path} changed after it was read; nothing was imported. Import it again.")


class AnnotationReader:
    """Reads annotation files for one slide after another.

    A file with the contours of several images stays parsed until another file is read, so that it is parsed once for
    all its slides.
    """

    def __init__(self) -> None:
        self._last: _ParsedFile | None = None

    def read(self, path: Path, geometry: SlideGeometry) -> AnnotationFile:
        """Read a contour file for a slide; record only the version of a label image.

        Raises
        ------
        AnnotationError
            If the file does not exist or its suffix is unknown, it cannot be parsed or is in no known format, a
            contour is not valid, or the format needs to know more about the slide.
        """
        if is_label_image(path):
            return AnnotationFile(path, None, _version(path))
        file = self._last
        if file is None or file.path != path or not _is_version(path, file.version):
            file = _ParsedFile.parse(path)
        several = file.format.has_multiple_images(file.document)
        self._last = file if several else None
        contours = file.contours(geometry)
        shape = file.image_shape(geometry, contours)
        return AnnotationFile(path, contours, file.version, several, shape)


class _ParsedFile(NamedTuple):
    """A contour file that was parsed; its contours can be read for several slides."""

    path: Path
    version: tuple[int, int]
    format: ContourFormat
    document: Any

    @classmethod
    def parse(cls, path: Path) -> "_ParsedFile":
        formats_of(path)  # a wrong suffix is reported before a missing file
        version = _version(path)
        return cls(path, version, *parse_document(path))

    def image_shape(self, geometry: SlideGeometry, contours: Sequence[Contour]) -> tuple[int, int] | None:
        return self.format.image_shape(self.document, DocumentSource(self.path.name, geometry), contours)

    def contours(self, geometry: SlideGeometry) -> list[Contour]:
        return self.format.read(self.document, DocumentSource(self.path.name, geometry))


def is_label_image(path: Path) -> bool:
    """Return whether an annotation file is a label image, by its suffix."""
    return path.suffix.lower() in MASK_SUFFIXES


def read_contours(
    path: str | Path, frame: SlideGeometry | None = None, transform: AxisScaleTransform | None = None
) -> list[Contour]:
    """Return the contours of a file, ``(row, column)`` in level-0 pixels, in the order of the file.

    Parameters
    ----------
    path
        The file; its content decides how it is read.
    frame
        What is known about the slide; some formats cannot do without.
    transform
        What aligns the contours with the slide; None if nothing, so that the image size that the file states must be
        the slide's.

    Raises
    ------
    AnnotationError
        If the suffix is unknown, the file cannot be read, a contour in it is not valid, the format needs to know
        more about the slide, or the file was drawn on an image of another size.
    """
    file = _ParsedFile.parse(Path(path))
    frame = frame or SlideGeometry()
    contours = file.contours(frame)
    check_stated_size(path, file.image_shape(frame, contours), frame.shape, transform)
    return (transform or IDENTITY).apply(contours)


def check_stated_size(
    path: str | Path,
    stated: tuple[int, int] | None,
    slide_shape: tuple[int, int] | None,
    transform: AxisScaleTransform | None = None,
) -> None:
    """Raise AnnotationError if the image that a file states is not as large as its slide after `transform`.

    Parameters
    ----------
    path
        The file.
    stated, slide_shape
        Rows and columns; None if not known.
    transform
        What the user chose; None if nothing.  Chosen to be left as in the file, contours are not checked.

    Raises
    ------
    AnnotationError
        With both sizes and the options that align them.
    """
    if stated is None or slide_shape is None or transform == IDENTITY:
        return
    rows, columns = slide_shape
    if fits_stated_size(stated, (rows, columns), transform or IDENTITY):
        return
    remedy = transform_for_stated_size(stated, (rows, columns))
    advice = "Give" if remedy is None else f"Add it with {remedy.options}, or give"
    raise AnnotationError(
        f"{Path(path).name} was drawn on an image of {stated[0]} x {stated[1]} pixels, its slide has {rows} x "
        f"{columns} (rows x columns). {advice} the file that belongs to this slide; if its contours are in pixels of "
        "the slide nevertheless, add it with --scale 1."
    )


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

    Letters with accents are composed (NFC), as macOS and its archives decompose them (NFD): the same name to the eye.

    >>> stem_of("2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048.tiff")
    '2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048'
    >>> stem_of("2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048")
    '2017-06-09_18.08.16.ndpi.16.14788_15256.2048x2048'
    """
    name = unicodedata.normalize("NFC", Path(path).name)
    suffix = next((known for known in _KNOWN_SUFFIXES if name.lower().endswith(known)), "")
    return name[: len(name) - len(suffix)]


def find_contour_file(slide_path: Path, folder_or_file: Path) -> Path | None:
    """Return the contour file or label image of a slide, or None.

    In a folder it is the file with the slide's stem (``a.svg``, ``a.geojson``, ``a.json``), else
    the image ``a_mask``, ``a`` or ``mask_a``; never the slide itself.  A folder that holds no slide can have its
    annotations in sub-folders, see `slides.folders.paired_folders`.

    Raises
    ------
    AnnotationError
        If the file or folder does not exist.
    """
    if folder_or_file.is_file():
        return folder_or_file
    if folder_or_file.exists() and not folder_or_file.is_dir():
        raise AnnotationError(f"{folder_or_file} is a pipe or a device, not a file. Copy the contours into a file.")
    if not folder_or_file.is_dir():
        raise AnnotationError(f"{folder_or_file} does not exist. Give a contour file or a folder of them.")
    stem = stem_of(slide_path)
    stems = dict.fromkeys([stem, slide_path.name])  # some tools append their suffix to the full name
    names = [(name, suffix) for name in stems for suffix in CONTOUR_SUFFIXES]
    after, before = mask_stems(stem)
    names += [(name, suffix) for name in (after, stem, before) for suffix in MASK_SUFFIXES]
    for folder in (folder_or_file, *paired_folders(folder_or_file)[1]):
        for name, suffix in names:
            for file_name in _file_names(name, suffix):
                found = folder / file_name
                if isfile(found) and not (slide_path.exists() and found.samefile(slide_path)):  # False for long names
                    return found
    return None


def _file_names(name: str, suffix: str) -> Iterator[str]:
    """Yield a name with its accents as they are, composed and decomposed; its suffix in small and capital letters."""
    for spelled in dict.fromkeys((name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name))):
        yield from (f"{spelled}{suffix}", f"{spelled}{suffix.upper()}")


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise AnnotationError(f"{path} could not be read: {error.strerror}. Check the path.") from error
    return status.st_size, status.st_mtime_ns


def _is_version(path: Path, version: tuple[int, int]) -> bool:
    """Return whether the file on disk still has a version; False if it cannot be read."""
    try:
        return _version(path) == version
    except AnnotationError:
        return False
