"""How a cleaning goes over a mask of any size: tile by tile, as one undo step.

What a tile becomes may depend on the pixels around it as they were, so a sweep can hold its
edits back until no later tile looks at them.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import edits
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.morphology import Sides
from napari_pathseg.masks.shapes import InRegion

_BLOCK = 32  # changed pixels no farther apart are edited together
_CELL = 512  # rows and columns of the squares that are known to be empty or not


@dataclass(frozen=True, kw_only=True)
class CleanupOptions:
    """What is the same for all ways of cleaning.

    Parameters
    ----------
    locked
        Classes whose pixels never change.
    progress
        Told how far the work is, 0 to 1; ends it by returning True.  What was changed until then
        stays, as one undo step: whoever stops a cleaning takes it back where its box is not empty.
    inside
        Gives which pixels of a box may change, for what is not a box itself; None for all.
    touched
        Gives boxes that cover all pixels with a label within a region; the others are not read.
    tile
        Rows and columns worked on at once.
    """

    locked: frozenset[int] = frozenset()
    progress: Callable[[float], bool] | None = None
    inside: InRegion | None = None
    touched: Callable[[Region], Iterable[Region]] | None = None
    tile: int = 2048


class TiledEdit:
    """One cleaning of a region; entering and leaving it bounds the undo step."""

    def __init__(self, mask: Mask, region: Region, options: CleanupOptions) -> None:
        self.region = region.clip(mask.shape)
        self.changed = EMPTY_REGION
        self.stopped = False
        self._mask, self._options = mask, options
        self._locked = np.zeros(256, bool)
        self._locked[list(options.locked)] = True
        self._cells = None if options.touched is None else _cells(mask.shape, options.touched)

    def __enter__(self) -> Self:
        self._mask.end_undo_group()
        return self

    def __exit__(self, *_: object) -> None:
        self._mask.end_undo_group()

    def tiles(self, begin: float = 0, end: float = 1, *, at_least: int = 1) -> Iterator[Region]:
        """Yield the tiles, row by row, telling progress from `begin` to `end`; none after a stop."""
        size, region = max(self._options.tile, at_least), self.region
        tops, lefts = (range(low // size * size, high, size) for low, high in _spans(region))
        count = len(tops) * len(lefts)
        for done in range(0 if region.empty else count):
            if self.stopped:
                return
            yield Region(tops[done // len(lefts)], lefts[done % len(lefts)], size, size).intersect(region)
            if self._options.progress is not None:
                self.stopped = self._options.progress(begin + (end - begin) * (done + 1) / count)

    def labels(self, region: Region) -> UInt8Array | None:
        """Return the labels of a box, or None where it is known to hold none."""
        if self._cells is not None and not self._cells[region.coarser(_CELL).slices].any():
            return None
        return self._mask.read(region)[0]

    def free(self, labels: UInt8Array) -> npt.NDArray[np.bool_]:
        """Return which pixels may change."""
        return ~self._locked[labels] if self._options.locked else np.ones(labels.shape, bool)

    def paint(self, tile: Region, old: UInt8Array, new: UInt8Array) -> None:
        """Paint what differs between the `old` and `new` labels of a tile."""
        for box in _changed_boxes(old != new):
            self._paint_box(box.shift(tile.top, tile.left), new[box.slices])

    def _paint_box(self, box: Region, labels: UInt8Array) -> None:
        if self._options.inside is not None:
            labels = np.where(self._options.inside(box), labels, self._mask.read(box)[0])
        self.changed = self.changed.unite(edits.paint(self._mask, box, labels))

    def reshape(self, margin: int, change: Callable[[UInt8Array, Sides], UInt8Array]) -> None:
        """Replace each tile by what `change` makes of the labels around it as they were before the sweep.

        Parameters
        ----------
        margin
            How many pixels around a tile are looked at.
        change
            Gets the labels of a tile with its margin, and how much of that margin is missing on each
            side because the mask ends there; returns the labels of the tile.
        """
        waiting: deque[tuple[int, Region, bytes]] = deque()
        columns = 0
        for index, tile in enumerate(self.tiles(at_least=margin)):
            columns += tile.top == self.region.top
            around = grown(tile, margin)
            window = around.clip(self._mask.shape)
            labels = self.labels(window)
            if labels is not None:
                old = labels[tile.shift(-window.top, -window.left).slices]
                new = change(labels, missing(around, self._mask.shape))
                for box in _changed_boxes(old != new):
                    packed = zlib.compress(new[box.slices].tobytes(), 1)
                    waiting.append((index, box.shift(tile.top, tile.left), packed))
            while waiting and waiting[0][0] < index - columns:
                self._paint_waiting(waiting.popleft())
        while waiting and not self.stopped:
            self._paint_waiting(waiting.popleft())

    def _paint_waiting(self, edit: tuple[int, Region, bytes]) -> None:
        _, box, packed = edit
        labels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(box.height, box.width)
        self._paint_box(box, labels)


def _cells(shape: tuple[int, int], touched: Callable[[Region], Iterable[Region]]) -> npt.NDArray[np.bool_]:
    """Return in which squares of a mask there may be labels."""
    whole = Region(0, 0, *shape)
    cells = np.zeros((whole.coarser(_CELL).height, whole.coarser(_CELL).width), bool)
    for box in touched(whole):
        cells[box.coarser(_CELL).slices] = True
    return cells


def grown(region: Region, margin: int) -> Region:
    """Return a box with so many pixels more on each side."""
    return Region(region.top - margin, region.left - margin, region.height + 2 * margin, region.width + 2 * margin)


def missing(region: Region, shape: tuple[int, int]) -> Sides:
    """Return how far a box reaches beyond each side of an array of `shape`."""
    inside = region.clip(shape)
    rows = (inside.top - region.top, region.bottom - inside.bottom)
    return rows, (inside.left - region.left, region.right - inside.right)


def _spans(region: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    return (region.top, region.bottom), (region.left, region.right)


def _changed_boxes(changed: npt.NDArray[np.bool_]) -> Iterator[Region]:
    """Yield boxes that cover what changed: an edit costs as much as its box is large."""
    strips = [changed[row : row + _BLOCK].any(axis=0) for row in range(0, len(changed), _BLOCK)]
    blocks = np.logical_or.reduceat(np.stack(strips), np.arange(0, changed.shape[1], _BLOCK), axis=1)
    groups, _ = ndimage.label(blocks, np.ones((3, 3)))
    for box in ndimage.find_objects(groups):
        top, left = box[0].start * _BLOCK, box[1].start * _BLOCK
        yield Region(top, left, box[0].stop * _BLOCK - top, box[1].stop * _BLOCK - left).clip(changed.shape)
