"""Edit a mask of any size tile by tile, as the steps of an operation.

The result of a tile may depend on the original pixels around it, so edits can be held back until
all tiles that read them are done.
"""

import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import edits
from napari_pathseg.masks.morphology import Sides
from napari_pathseg.masks.operations import Editable, OperationStep
from napari_pathseg.masks.shapes import InRegion

_BLOCK = 32  # pixels; changes closer together than this share an edit
_CELL = 512  # pixels; side of the squares of which it is known whether they hold labels


@dataclass(frozen=True, kw_only=True)
class CleanupOptions:
    """Options common to all cleanup functions.

    Parameters
    ----------
    locked
        Classes whose pixels never change.
    inside
        Returns which pixels of a box may change; None for all.
    nonempty
        Returns boxes that cover all labelled pixels of a region; the rest is not read.
    tile
        Rows and columns processed in one step.
    """

    locked: frozenset[int] = frozenset()
    inside: InRegion | None = None
    nonempty: Callable[[Region], Iterable[Region]] | None = None
    tile: int = 2048


class TiledEdit:
    """An edit of a region in tiles, each of which is a :meth:`step` of an operation."""

    def __init__(self, mask: Editable, region: Region, options: CleanupOptions) -> None:
        self.region = region.clip(mask.shape)
        self._changed, self._fraction = EMPTY_REGION, 0.0
        self._mask, self._options = mask, options
        self._locked = np.zeros(256, bool)
        self._locked[list(options.locked)] = True
        self._cells = None if options.nonempty is None else _cells(mask.shape, options.nonempty)

    def tiles(self, begin: float = 0, end: float = 1, *, at_least: int = 1) -> Iterator[Region]:
        """Yield the tiles, row by row, which take the operation from the fraction `begin` to `end`."""
        size, region = max(self._options.tile, at_least), self.region
        tops, lefts = (range(low // size * size, high, size) for low, high in _spans(region))
        count = len(tops) * len(lefts)
        for done in range(0 if region.empty else count):
            self._fraction = begin + (end - begin) * (done + 1) / count
            yield Region(tops[done // len(lefts)], lefts[done % len(lefts)], size, size).intersect(region)

    def step(self) -> OperationStep:
        """Return what was changed since the last step, and how much is done with the tile that was yielded last."""
        changed, self._changed = self._changed, EMPTY_REGION
        return OperationStep(changed, self._fraction)

    def labels(self, region: Region) -> UInt8Array | None:
        """Return the labels of a box, or None if it is known to hold none."""
        if self._cells is not None and not self._cells[region.coarser(_CELL).slices].any():
            return None
        return self._mask.read(region)[0]

    def may_change(self, labels: UInt8Array) -> npt.NDArray[np.bool_]:
        """Return which pixels may change."""
        return ~self._locked[labels] if self._options.locked else np.ones(labels.shape, bool)

    def paint(self, tile: Region, old: UInt8Array, new: UInt8Array) -> None:
        """Paint what differs between the `old` and `new` labels of a tile."""
        for box in _changed_boxes(old != new):
            self._paint_box(box.shift(tile.top, tile.left), new[box.slices])

    def _paint_box(self, box: Region, labels: UInt8Array) -> None:
        if self._options.inside is not None:
            labels = np.where(self._options.inside(box), labels, self._mask.read(box)[0])
        self._changed = self._changed.unite(edits.paint(self._mask, box, labels))

    def reshape(self, margin: int, change: Callable[[UInt8Array, Sides], UInt8Array]) -> Iterator[OperationStep]:
        """Replace each tile by the result of `change` on the original labels in and around it, step by step.

        Parameters
        ----------
        margin
            Pixels around a tile that `change` reads.
        change
            Takes the labels of a tile with its margin, and how many pixels of the margin are missing on
            each side because the mask ends there; returns the new labels of the tile.
        """
        held_back: deque[tuple[int, Region, bytes]] = deque()
        columns = 0
        for index, tile in enumerate(self.tiles(at_least=margin)):
            columns += tile.top == self.region.top
            around = with_margin(tile, margin)
            window = around.clip(self._mask.shape)
            labels = self.labels(window)
            if labels is not None:
                old = labels[tile.shift(-window.top, -window.left).slices]
                new = change(labels, overhang(around, self._mask.shape))
                for box in _changed_boxes(old != new):
                    packed = zlib.compress(new[box.slices].tobytes(), 1)
                    held_back.append((index, box.shift(tile.top, tile.left), packed))
            while held_back and held_back[0][0] < index - columns:
                self._paint_held_back(held_back.popleft())
            yield self.step()
        while held_back:
            self._paint_held_back(held_back.popleft())
        yield self.step()

    def _paint_held_back(self, edit: tuple[int, Region, bytes]) -> None:
        _, box, packed = edit
        labels = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(box.height, box.width)
        self._paint_box(box, labels)


def _cells(shape: tuple[int, int], nonempty: Callable[[Region], Iterable[Region]]) -> npt.NDArray[np.bool_]:
    """Return which squares of a mask may hold labels."""
    whole = Region(0, 0, *shape)
    cells = np.zeros((whole.coarser(_CELL).height, whole.coarser(_CELL).width), bool)
    for box in nonempty(whole):
        cells[box.coarser(_CELL).slices] = True
    return cells


def with_margin(region: Region, margin: int) -> Region:
    """Return a box with `margin` more pixels on each side."""
    return Region(region.top - margin, region.left - margin, region.height + 2 * margin, region.width + 2 * margin)


def overhang(region: Region, shape: tuple[int, int]) -> Sides:
    """Return how many pixels a box extends beyond each side of an array of `shape`."""
    inside = region.clip(shape)
    rows = (inside.top - region.top, region.bottom - inside.bottom)
    return rows, (inside.left - region.left, region.right - inside.right)


def _spans(region: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    return (region.top, region.bottom), (region.left, region.right)


def _changed_boxes(changed: npt.NDArray[np.bool_]) -> Iterator[Region]:
    """Yield boxes that cover the changes; small ones, because an edit costs in proportion to its box."""
    strips = [changed[row : row + _BLOCK].any(axis=0) for row in range(0, len(changed), _BLOCK)]
    blocks = np.logical_or.reduceat(np.stack(strips), np.arange(0, changed.shape[1], _BLOCK), axis=1)
    groups, _ = ndimage.label(blocks, np.ones((3, 3)))
    for box in ndimage.find_objects(groups):
        top, left = box[0].start * _BLOCK, box[1].start * _BLOCK
        yield Region(top, left, box[0].stop * _BLOCK - top, box[1].stop * _BLOCK - left).clip(changed.shape)
