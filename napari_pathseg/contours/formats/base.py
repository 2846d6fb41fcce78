"""What a contour format must provide, and what it may ask about the slide.

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
    """What is known about the slide that contours belong to; a format that needs more says so.

    Attributes
    ----------
    name
        The slide's file name or stem: selects the image in a file of several.
    shape
        Rows and columns of level 0.
    mpp
        Micrometres per level-0 pixel.
    centre_offset_um
        The slide's centre relative to the middle of the glass, ``(x, y)`` in micrometres, as
        Hamamatsu's files give it.
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
    """Where a document comes from: the file's name, for messages, and the slide's geometry."""

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
        Suffixes of the files to which this format is written unless another one is named, where
        no earlier row claims them.
    parse
        Parses a file into a document.  Formats that share a parser may stand in one another's files.
    matches
        Whether a document is in this format.
    read
        Returns a document's contours, ``(row, column)`` in level-0 pixels with centres on whole numbers.
    write
        Writes contours to a file.
    has_multiple_images
        Whether a document holds the contours of several images, each under its name.
    """

    key: str
    title: str
    suffixes: tuple[str, ...]
    parse: Callable[[Path], Any]
    matches: Callable[[Any], bool]
    read: Callable[[Any, DocumentSource], list[Contour]]
    write: Callable[[Path, Sequence[Contour], SlideGeometry], None]
    has_multiple_images: Callable[[Any], bool]


def is_single_image(document: Any) -> bool:
    """Return False: `has_multiple_images` of formats with one image per file."""
    return False
