"""The interface of a contour format, and the slide's geometry that a format may need.

A file is parsed once into a document, XML or JSON; the first format whose `matches` accepts the
document reads it, whatever the file is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.contours.contour import Contour

if TYPE_CHECKING:
    from napari_pathseg.slides.slide import Slide


@dataclass(frozen=True)
class SlideGeometry:
    """What is known about the slide that contours belong to; a format that needs more raises AnnotationError.

    Attributes
    ----------
    name
        The slide's file name or stem: selects the image in a file of several.
    shape
        Rows and columns of level 0.
    mpp
        Micrometres per level-0 pixel.
    centre_offset_um
        The slide's centre relative to the centre of the glass, ``(x, y)`` in micrometres, as in
        Hamamatsu's files.
    """

    name: str = ""
    shape: tuple[int, int] | None = None
    mpp: float | None = None
    centre_offset_um: tuple[float, float] | None = None

    @classmethod
    def from_slide(cls, slide: "Slide", mpp: float | None = None) -> "SlideGeometry":
        """Return the geometry of an open slide; `mpp` overrides the file's pixel size."""
        return cls(slide.path.name, slide.shape, mpp or slide.mpp, slide.centre_offset_um)


@dataclass(frozen=True)
class DocumentSource:
    """The source of a document: the file's name, for messages, and the slide's geometry."""

    name: str
    geometry: SlideGeometry = SlideGeometry()


@dataclass(frozen=True, kw_only=True)
class ContourFormat:
    """One row of the table of contour formats.  Every field is required.

    Attributes
    ----------
    key
        The name in commands and options.
    title
        The name shown to users.
    suffixes
        File suffixes for which this is the default format, unless an earlier row has the suffix.
    parse
        Parses a file into a document.  Formats with the same parser share their suffixes.
    matches
        Whether a document is in this format.
    read
        Returns a document's contours, ``(row, column)`` in level-0 pixels with centres on whole numbers.
    write
        Writes contours to a file.
    has_multiple_images
        Whether a document holds the contours of several images, each under its name.
    image_shape
        Returns the rows and columns of the image that the contours, as they were read, were drawn on, or None if the
        document does not say.
    """

    key: str
    title: str
    suffixes: tuple[str, ...]
    parse: Callable[[Path], Any]
    matches: Callable[[Any], bool]
    read: Callable[[Any, DocumentSource], list[Contour]]
    write: Callable[[Path, Sequence[Contour], SlideGeometry], None]
    has_multiple_images: Callable[[Any], bool]
    image_shape: Callable[[Any, DocumentSource, Sequence[Contour]], tuple[int, int] | None]


def no_image_shape(document: Any, source: DocumentSource, contours: Sequence[Contour]) -> None:
    """Return None: `image_shape` of formats that do not state it."""


def is_single_image(document: Any) -> bool:
    """Return False: `has_multiple_images` of formats with one image per file."""
    return False
