"""Read untrusted JSON with limits, and convert the outlines in it.

All JSON formats measure ``(x, y)`` from the corner of the first pixel; here points become
``(row, column)`` measured from its centre.
"""

import gc
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import MAX_COORDINATE, Points, check_ring, without_repeat
from napari_pathseg.contours.formats.limits import PointBudget, open_limited
from napari_pathseg.errors import AnnotationError

_MAX_LISTS = 8_000_000  # up to 5,000,000 points, and the structure around them
_MAX_VALUES = 16_000_000
_IMAGE_KEY = b'"imageData"'
_STRING_START = re.compile(rb'\s*+:\s*+"')


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; a repeated key must repeat its value.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is not JSON, is nested too deep, repeats a key with another
        value, or is larger than 256 MiB.
    """
    with open_limited(path) as file:
        raw = _without_image(file.read())
    _check_value_count(raw, path.name)
    try:
        text = raw.decode(json.detect_encoding(raw))
        del raw  # frees memory before parsing
        with gc_paused():
            return json.loads(text, object_pairs_hook=partial(_unique_keys, path.name))
    except AnnotationError:
        raise
    except RecursionError as error:
        raise AnnotationError(f"{path.name} is nested too deeply for a contour file. Export it again.") from error
    except ValueError as error:
        raise AnnotationError(f"{path.name} is not JSON: {error}. Export it again.") from error


def _without_image(raw: bytes) -> bytes:
    """Return the text without the image that LabelMe embeds in its files, which is never used."""
    begin = raw.find(_IMAGE_KEY)
    if begin < 0 or not (start := _STRING_START.match(raw, begin + len(_IMAGE_KEY))):
        return raw
    end = raw.find(b'"', start.end())
    if end < 0 or raw.find(b"\\", start.end(), end) >= 0:
        return raw
    return raw[: start.end()] + raw[end:]


def _check_value_count(raw: bytes, name: str) -> None:
    """Raise AnnotationError before parsing a file with too many values; each takes about 60 bytes of memory."""
    if raw.count(b"[") + raw.count(b"{") > _MAX_LISTS or raw.count(b",") > _MAX_VALUES:
        raise AnnotationError(
            f"{name}: has more than {_MAX_LISTS:,} points and objects, or {_MAX_VALUES:,} values. "
            "Split it into several files."
        )


@contextmanager
def gc_paused() -> Iterator[None]:
    """Pause garbage collection: parsed files have no cycles, and the collector would rescan millions of lists."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


def _unique_keys(file_name: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict; QuPath repeats some keys, with the same value."""
    found = dict(pairs)
    if len(found) != len(pairs) and any(found[key] is not value and found[key] != value for key, value in pairs):
        key = next(key for key, value in pairs if found[key] is not value and found[key] != value)
        raise AnnotationError(
            f"{file_name}: an object has the key {describe(key)} twice, with different values. Delete one."
        )
    return found


def describe(value: Any) -> str:
    """Return a short description of a value, for messages.

    >>> describe("Curve"), describe(None), describe([1, 2]), describe({})
    ('"Curve"', 'null', 'a list of 2', 'an object')
    """
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = json.dumps(value[:40] if isinstance(value, str) else value)
    return text if len(text) <= 42 else text[:39] + "..."


def clean_name(text: Any) -> str:
    """Return a name that can be encoded as UTF-8; empty for anything but text."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else ""


def read_pairs(points: Any, place: str, budget: PointBudget) -> npt.NDArray[np.float64]:
    """Return a list of ``[x, y]`` (or ``[x, y, z]``) as (n, 2) numbers in the coordinates of the file."""
    budget.consume(len(points) if isinstance(points, list) else 0)
    try:
        _check_numbers(chain.from_iterable(points))
        values = np.array(points, np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnnotationError(f"{place}: its coordinates are not pairs of numbers. Export it again.") from error
    if values.ndim != 2 or values.shape[1] < 2:
        raise AnnotationError(f"{place}: its coordinates are not pairs of x and y. Export it again.")
    return values[:, :2]


def read_flat_pairs(numbers: Any, place: str, budget: PointBudget) -> npt.NDArray[np.float64]:
    """Return a list of ``x, y, x, y ...`` as (n, 2) numbers in the coordinates of the file."""
    budget.consume(len(numbers) / 2 if isinstance(numbers, list) else 0)
    try:
        _check_numbers(numbers)
        return np.array(numbers, np.float64).reshape(-1, 2)
    except (ValueError, TypeError, OverflowError) as error:
        raise AnnotationError(f"{place}: its outline is not a list of x, y, x, y ... Export it again.") from error


def from_corner(points: npt.NDArray[np.float64], place: str) -> Points:
    """Return a ring from (x, y) measured from the corner of the first pixel; raise AnnotationError if invalid."""
    ring = without_repeat(points[:, ::-1] - 0.5)
    check_ring(ring, place)
    return ring


def to_corner(ring: Points) -> npt.NDArray[np.float64]:
    """Return a ring as (x, y) measured from the corner of the first pixel."""
    corner: npt.NDArray[np.float64] = ring[:, ::-1] + 0.5
    return corner


def stated_shape(rows: Any, columns: Any) -> tuple[int, int] | None:
    """Return the size of an image as a file states it, or None if it is not two numbers above 0."""
    try:
        sides = int(rows), int(columns)
    except (TypeError, ValueError, OverflowError):
        return None
    return sides if min(sides) > 0 and max(sides) < MAX_COORDINATE else None


def image_size(rings: Sequence[Points], source_shape: tuple[int, int] | None) -> tuple[int, int]:
    """Return the rows and columns of the slide, or else of an image that contains the rings."""
    if source_shape is not None:
        return source_shape
    ends = np.max([ring.max(axis=0) for ring in rings], axis=0, initial=0)
    rows, columns = (int(end) for end in np.ceil(np.broadcast_to(ends, 2) + 0.5))
    return max(1, rows), max(1, columns)


def _check_numbers(values: Any) -> None:
    """Raise TypeError unless all values are numbers; numpy would convert text and ``true``."""
    if not set(map(type, values)) <= {int, float}:
        raise TypeError
