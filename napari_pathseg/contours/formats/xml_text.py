"""Escaping of text and encoding of numbers for XML files."""

import re
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import Points

# https://www.w3.org/TR/xml/#charsets
HEX_COLOR = re.compile("#[0-9a-fA-F]{6}")
_PARTS = 10_000  # fractions of an integer that are stored
_MAX_PART_LENGTH = 8  # characters, including the space after it
_NO_LETTER = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def attribute(text: str) -> str:
    """Return a quoted attribute value; characters that XML cannot hold become U+FFFD.

    >>> print(attribute('"Immune" & cells'))
    '"Immune" &amp; cells'
    """
    return quoteattr(_NO_LETTER.sub("\ufffd", text))


def content(text: str) -> str:
    """Return the text of an element; characters that XML cannot hold become U+FFFD.

    >>> content("B < T")
    'B &lt; T'
    """
    return escape(_NO_LETTER.sub("\ufffd", text), {"\r": "&#13;"})


def from_corner(ring: Points) -> list[list[float]]:
    """Return ``[x, y]`` of each point, measured from the corner of the first pixel."""
    numbers: list[list[float]] = (ring[:, ::-1] + 0.5).tolist()
    return numbers


def whole_numbers(points: Points) -> tuple[npt.NDArray[np.int64], str]:
    """Return points as integers, and the remainders in 1/10,000 as text; empty if all are 0.

    For programs whose files hold only integers; the text goes into an extra attribute.
    """
    whole = np.rint(points)
    left = np.rint((points - whole) * _PARTS).astype(np.int64)
    return whole.astype(np.int64), " ".join(map(str, left.ravel().tolist())) if left.any() else ""


def with_fractions(points: Points, text: str) -> Points:
    """Return points plus their remainders, if the text has one for each number."""
    if len(text) > _MAX_PART_LENGTH * points.size:
        return points
    try:
        left = np.array([int(word) for word in text.split()])
    except (ValueError, OverflowError):
        return points
    fits = left.size == points.size and np.abs(left).max(initial=0) <= _PARTS // 2
    return points + left.reshape(points.shape) / _PARTS if fits else points
