"""What a contour format is, and what a contour file cannot say of its slide.

A file is read once into a document, by what it is made of (XML or JSON); the first format
that knows the document reads it, whatever the file is called.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.contours.contour import Contour

if TYPE_CHECKING:
    from napari_pathseg.slides.slide import Slide


@dataclass(frozen=True)
class Frame:
    """What is known of the slide that contours belong to; formats that need more say so.

    Attributes
    ----------
    name
        The slide's file name, or its stem: which picture's contours are meant in a file of many.
    shape
        Rows and columns of level 0.
    mpp
        Micrometres per level-0 pixel.
    centre_offset_um
        Where the slide's centre lies on the glass, ``(x, y)`` from the middle of the glass, as
        Hamamatsu's files say.
    """

    name: str = ""
    shape: tuple[int, int] | None = None
    mpp: float | None = None
    centre_offset_um: tuple[float, float] | None = None

    @classmethod
    def of(cls, slide: "Slide", mpp: float | None = None) -> "Frame":
        """Return that of an open slide; `mpp` is what a person told of it."""
        return cls(slide.path.name, slide.shape, mpp or slide.mpp, slide.centre_offset_um)


@dataclass(frozen=True)
class Source:
    """Where a document comes from: the file's name for messages, and the slide's frame."""

    name: str
    frame: Frame = Frame()


@dataclass(frozen=True)
class ContourFormat:
    """One row of the table of formats.

    Attributes
    ----------
    key, title
        What commands and people call it.
    suffix
        Of the files that are written.
    knows
        Whether a document is of this format.
    read
        Contours of a document, ``(row, column)`` in level-0 pixels with centres on whole numbers.
    write
        Contours to a file; None where the format is only read.
    of_many
        Whether a document holds the contours of many slides, each under its name.
    """

    key: str
    title: str
    suffix: str
    knows: Callable[[Any], bool]
    read: Callable[[Any, Source], list[Contour]]
    write: Callable[[Path, Sequence[Contour], Frame], None] | None = None
    of_many: Callable[[Any], bool] = lambda _: False
