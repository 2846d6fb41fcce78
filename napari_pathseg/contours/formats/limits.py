"""Limits on contour files: a hostile or mistaken file is refused before it takes all memory or time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from napari_pathseg.errors import AnnotationError
from napari_pathseg.storage.regular_files import open_regular

MAX_FILE_BYTES = 256 << 20
MAX_POINTS = 5_000_000


@contextmanager
def open_limited(path: Path) -> Iterator[BinaryIO]:
    """Open a contour file for reading.

    Raises
    ------
    AnnotationError
        If it cannot be opened or read, or has more than 256 MiB.
    """
    try:
        with open_regular(path) as file:
            size = path.stat().st_size
            if size > MAX_FILE_BYTES:
                raise AnnotationError(
                    f"{path.name} has {size >> 20} MiB; contour files of at most {MAX_FILE_BYTES >> 20} MiB "
                    "can be read. Split it into several."
                )
            yield file
    except OSError as error:
        raise AnnotationError(f"{path} could not be read: {error.strerror}. Check the path.") from error


class PointBudget:
    """The number of points that one file may still produce."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = MAX_POINTS

    def consume(self, points: float) -> None:
        """Take `points` off the budget before they are created; AnnotationError if it is exhausted."""
        if not points <= self._left:  # also where the number is not finite
            raise AnnotationError(f"{self._name}: has more than {MAX_POINTS:,} points. Split it into several files.")
        self._left -= int(points)
