"""Masks of single objects inside contour files: their limits and their outlines.

COCO, CVAT and LabelMe files contain such masks.  COCO's run-length encoding goes down the columns;
runs outside and inside alternate, starting outside.  As text each count is a number in base 32,
from the third count on as the difference from the count two before it [1]_.

.. [1] ``rleEncode``, ``rleToString`` and ``rleFrString`` in ``common/maskApi.c`` of
   https://github.com/cocodataset/cocoapi
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.contours.contour import Contour
from napari_pathseg.contours.formats.json_tree import describe
from napari_pathseg.contours.formats.limits import PointBudget
from napari_pathseg.contours.vectorize import vectorize
from napari_pathseg.errors import AnnotationError

Runs = npt.NDArray[np.int64]
MAX_IMAGE_PIXELS = 16_384**2  # as many as the mask of a slide has
_MAX_BOX_PIXELS = 8_192**2  # of one object; vectorizing it needs about 15 bytes per pixel
_POINTS_PER_RUN = 4
_POINTS_PER_PATCH = 40
_MAX_NUMBER_LENGTH = 7  # characters of 5 bits: enough for a run of the largest image


class MaskBudget:
    """The pixels and outline points that the masks of one file may still have."""

    def __init__(self, file_name: str, points: PointBudget) -> None:
        self._name = file_name
        self._points = points
        self._left = MAX_IMAGE_PIXELS

    def consume_box(self, rows: int, columns: int, place: str) -> None:
        """Take the box of an object off the budget before it is allocated; AnnotationError if it is exhausted."""
        if rows * columns > _MAX_BOX_PIXELS:
            raise AnnotationError(
                f"{place}: its mask covers {rows:,} x {columns:,} pixels; at most {_MAX_BOX_PIXELS:,} can be read. "
                "Export it as polygons, or the whole slide as a label image."
            )
        self._left -= rows * columns
        if self._left < 0:
            raise AnnotationError(
                f"{self._name}: its masks cover more than {MAX_IMAGE_PIXELS:,} pixels. Split it into several files."
            )

    def consume_runs(self, runs: int) -> None:
        """Take the outline points of that number of runs off the budget."""
        self._points.consume(_POINTS_PER_RUN * runs)

    def consume_patches(self, inside: npt.NDArray[np.generic]) -> None:
        """Take the patches and holes of a mask off the budget, each as the number of points that cost as much time.

        They are counted by the Euler number: runs minus contacts of runs in adjacent columns.
        """
        mask = inside != 0
        euler = _runs_in(mask) - _runs_in(mask[:, 1:] & mask[:, :-1])
        self._points.consume(_POINTS_PER_PATCH * abs(euler))


def run_length_contours(segmentation: dict[str, Any], place: str, budget: MaskBudget) -> list[Contour]:
    """Return the outlines of a run-length encoded mask, one for each patch.

    Raises
    ------
    AnnotationError
        If its size or counts are missing, inconsistent or too large; `place` begins the message.
    """
    rows, columns = _size(segmentation.get("size"), place)
    counts = _counts(segmentation.get("counts"), place, budget)
    if counts.min(initial=0) < 0 or counts.max(initial=0) > rows * columns or counts.sum() != rows * columns:
        raise AnnotationError(
            f"{place}: the runs of its mask do not add up to its {rows} x {columns} pixels. Export it again."
        )
    ends = np.cumsum(counts)
    stops = ends[1::2]
    starts = stops - counts[1::2]
    starts, stops = starts[stops > starts], stops[stops > starts]
    if not len(starts):
        return []
    left, right = int(starts[0] // rows), int((stops[-1] - 1) // rows) + 1
    within = starts // rows == (stops - 1) // rows  # the other runs end in a later column
    top = int((starts % rows).min()) if within.all() else 0
    bottom = int(((stops - 1) % rows).max()) + 1 if within.all() else rows
    budget.consume_box(bottom - top, right - left, place)
    flips = np.zeros((bottom - top) * (right - left) + 1, np.int8)
    begin = (starts // rows - left) * (bottom - top) + starts % rows - top
    flips[begin] += 1
    flips[begin + stops - starts] -= 1
    inside = np.cumsum(flips[:-1], dtype=np.int8).reshape(right - left, bottom - top).T
    budget.consume_patches(inside)
    return mask_contours(inside != 0, (top, left))


def mask_contours(inside: npt.NDArray[np.bool_], corner: tuple[int, int]) -> list[Contour]:
    """Return the outlines of an object's mask; `corner` is the row and column of its first pixel."""
    label = Contour.label
    return vectorize(inside * np.uint8(label), label, offset=corner)


def _runs_in(mask: npt.NDArray[np.bool_]) -> int:
    """Return the number of runs in the columns of a mask."""
    return int(np.count_nonzero(mask[1:] & ~mask[:-1])) + int(np.count_nonzero(mask[:1]))


def _size(size: Any, place: str) -> tuple[int, int]:
    """Return the rows and columns of the image that a mask belongs to."""
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
        raise AnnotationError(
            f"{place}: the size of its mask is {describe(size)}, not [rows, columns]. Export it again."
        )
    rows, columns = size
    if rows * columns > MAX_IMAGE_PIXELS:
        raise AnnotationError(
            f"{place}: its mask has {describe(rows)} x {describe(columns)} pixels; at most {MAX_IMAGE_PIXELS:,} can be "
            "read. Export it as polygons."
        )
    return rows, columns


def _counts(counts: Any, place: str, budget: MaskBudget) -> Runs:
    """Return the run lengths, given as a list or as text."""
    try:
        if isinstance(counts, str):
            return _runs_of_text(counts.encode("ascii"), budget)
        if not isinstance(counts, list) or set(map(type, counts)) - {int}:
            raise TypeError
        budget.consume_runs(len(counts) // 2)
        return np.array(counts, np.int64)
    except AnnotationError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise AnnotationError(f"{place}: the runs of its mask cannot be read. Export it again.") from error


def _runs_of_text(text: bytes, budget: MaskBudget) -> Runs:
    """Return the runs of COCO's compressed text; ValueError if it is malformed."""
    letters = np.frombuffer(text, np.uint8) - np.uint8(48)
    last = np.flatnonzero((letters & 32) == 0)  # other characters are continued by the next one
    budget.consume_runs(len(last) // 2)
    first = np.concatenate([[0], last + 1])[:-1]
    length = last - first + 1
    if letters.max(initial=0) > 63 or length.sum() != len(letters) or length.max(initial=0) > _MAX_NUMBER_LENGTH:
        raise ValueError
    shift = 5 * (np.arange(len(letters)) - np.repeat(first, length))
    values = np.add.reduceat((letters & 31).astype(np.int64) << shift, first) if len(first) else first
    values -= ((letters[last] & 16) != 0) * (np.int64(1) << 5 * length)  # a sign
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
