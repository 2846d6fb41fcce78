"""Limits on XML files, checked by counting bytes before parsing, so that excess is refused quickly.

Parsing takes a microsecond per element and, in long values, about 30 ns per byte: minutes for the
largest file.  Counting takes a tenth of a second.  It is exact for ASCII and UTF-8; in UTF-16 it
sees the tags but not their names, so vertices count as elements.
"""

from collections.abc import Iterable

import numpy as np

from napari_pathseg.contours.formats.limits import MAX_POINTS
from napari_pathseg.contours.formats.xml_vertices import VERTEX_TAGS
from napari_pathseg.errors import AnnotationError

MAX_ELEMENTS = 750_000  # 100,000 contours of NDP.view take 600,000
MAX_SKIPPED = 2_000_000
SKIPPED_TAGS = {  # elements of NDP.view that are not read, by their parent
    "ndpviewstate": frozenset(("lens", "x", "y", "z", "showtitle", "showhistogram", "showlineprofile")),
    "annotation": frozenset(("measuretype",)),
}
MAX_TAG_BYTES = 48 << 20  # bytes; a contour with a million vertices takes about 36 MB in an SVG
MAX_TEXT_LENGTH = 16 << 20  # characters
_SKIPPED_START_TAGS = tuple(
    f"<{tag}".encode() for tags in SKIPPED_TAGS.values() for tag in sorted(tags) if tag not in "xy"
)
_MAX_ATTRIBUTES = 100_000  # of one element
_TEXT_BYTES_PER_TAG = 512  # bytes
_LONG = 256  # mean bytes per tag: blocks above it are searched for text that is not numbers
_MAX_NUMBER_LENGTH = 64  # characters
_OF_NUMBERS = b"0123456789.,;eE+- \t\r\nMmLlHhVvCcSsQqTtAaZz"
_DIGIT = np.isin(np.arange(256), np.frombuffer(b"0123456789", np.uint8))


def check_bytes(blocks: Iterable[bytes], name: str) -> bool:
    """Raise AnnotationError before parsing a file with too many elements or vertices, or too much other text.

    Returns
    -------
    plain : bool
        Whether the file has only tags and text: no comments, CDATA or the like that could hide tags.
    """
    count = _ByteCounter(name)
    rest = b""
    for block in blocks:
        block = rest + block
        rest = b"<" if block.endswith(b"<") else b""  # the next byte decides what kind of tag it is
        count.add(block[: len(block) - len(rest)])
    return count.hiding == 0


def too_many_elements(name: str) -> AnnotationError:
    """Return the error for a file with too many elements."""
    return AnnotationError(f"{name}: has more than {MAX_ELEMENTS:,} elements. Split it into several files.")


def too_long(name: str) -> AnnotationError:
    """Return the error for a file with too long a tag."""
    return AnnotationError(
        f"{name}: one of its tags or texts is longer than {MAX_TAG_BYTES >> 20} MiB. "
        "Remove embedded images, or split it into several files."
    )


def too_much_text(name: str) -> AnnotationError:
    """Return the error for a file that is mostly text other than outlines."""
    return AnnotationError(
        f"{name}: has more than {MAX_TEXT_LENGTH >> 20} MiB of text. Remove its text and embedded images."
    )


class _ByteCounter:
    """Running counts over the blocks of one file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tags = self._points = self._passed = self._length = self._signs = self._text = 0
        self._begun = False
        self.hiding = 0

    def add(self, block: bytes) -> None:
        """Count a block; refuse the file if it exceeds a limit."""
        letters = np.frombuffer(block, np.uint8)
        tags = np.flatnonzero(letters == ord("<"))
        self._extend_last_tag(block if not len(tags) else block[int(tags[-1]) + 1 :], begun=len(tags) > 0)
        if len(tags):
            self._add_tags(block, letters[tags[tags + 1 < len(letters)] + 1])
        if len(block) > _LONG * len(tags):
            self._text += _non_numeric_bytes(block, letters)
            if self._text > MAX_TEXT_LENGTH + _TEXT_BYTES_PER_TAG * self._tags:
                raise too_much_text(self._name)

    def _extend_last_tag(self, part: bytes, *, begun: bool) -> None:
        """Update the length of the last tag or text, which may span several blocks."""
        self._length = len(part) + (0 if begun else self._length)
        self._signs = part.count(b"=") + (0 if begun else self._signs)
        if self._length > MAX_TAG_BYTES:
            raise too_long(self._name)
        if self._signs > _MAX_ATTRIBUTES:
            raise AnnotationError(
                f"{self._name}: one of its tags has more than {_MAX_ATTRIBUTES:,} attributes. Export it again."
            )

    def _add_tags(self, block: bytes, following: np.typing.NDArray[np.uint8]) -> None:
        kinds = dict(enumerate(np.bincount(following, minlength=128).tolist()))
        self.hiding += kinds[ord("!")] + kinds[ord("?")] - (not self._begun and block.startswith(b"<?xml "))
        self._begun = True
        self._tags += len(following) - kinds[ord("/")]
        self._points += sum(block.count(vertex) for vertex in VERTEX_TAGS if kinds[vertex[1]])
        self._passed += sum(block.count(tag) for tag in (b"<x>", b"<y>") if kinds[tag[1]])
        if b"<ndpviewstate" in block:
            self._passed += sum(block.count(tag) for tag in _SKIPPED_START_TAGS)
        if self._points > MAX_POINTS:
            raise AnnotationError(f"{self._name}: has more than {MAX_POINTS:,} points. Split it into several files.")
        passed = min(self._passed, 2 * self._points + MAX_SKIPPED)
        if self._tags - self._points - passed > MAX_ELEMENTS:
            raise too_many_elements(self._name)


def _non_numeric_bytes(block: bytes, letters: np.typing.NDArray[np.uint8]) -> int:
    """Return the number of bytes in a block that do not belong to lists of numbers of normal length."""
    digits = _DIGIT[letters]
    numbers = 1 + int(np.count_nonzero(digits[1:] & ~digits[:-1]))
    others = len(block.translate(None, _OF_NUMBERS))
    return max(others, len(block) - _MAX_NUMBER_LENGTH * numbers)
