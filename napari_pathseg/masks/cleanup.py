"""Clean up a class: fill holes, remove small objects, smooth, grow or shrink its outline.

A cleanup is a human edit: the pixels that it changes get human provenance, and a model's unreviewed
pixels that it does not change stay the model's.  It works tile by tile on masks of any size, and the result is
that of processing the whole mask at once.  Each cleanup is an operation, which is applied step by step while the window
goes on, and undone as one.  Lengths and areas are in mask pixels.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.components import ComponentMerger, Components, TileComponents, label_tile, uniform_tile
from napari_pathseg.masks.morphology import (
    Sides,
    dilate,
    majority_smooth,
    nearest_labels,
    smoothing_reach,
    squared_radius,
)
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.tiled_edit import CleanupOptions, TiledEdit, overhang, with_margin

__all__ = ["CleanupOptions", "fill_holes", "grow", "remove_small_objects", "smooth"]
_Votes = npt.NDArray[np.int64]  # three rows: a part, a label, and the number of pixel edges along which they touch
_DEFAULTS = CleanupOptions()


def fill_holes(
    label: int, region: Region, largest_px: float | None = None, options: CleanupOptions = _DEFAULTS
) -> MaskOperation:
    """Fill the holes of a class.

    A hole is a 4-connected component of other pixels that does not touch the border of `region`.
    All of it is filled, except for locked classes.

    Parameters
    ----------
    label
        The class, not *unlabelled*.
    largest_px
        The largest area to fill; None for any.
    """

    def steps(mask: Editable) -> Iterator[OperationStep]:
        edit = TiledEdit(mask, region, options)
        merger = ComponentMerger(edit.region, edit.region, diagonal=False)
        for tile in edit.tiles(0, 0.5):
            merger.add(tile, _parts_outside(edit.labels(tile), label, tile))
            yield edit.step()
        found = merger.merge()
        holes = ~found.touches_border & (found.sizes <= (math.inf if largest_px is None else largest_px))
        for tile in edit.tiles(0.5, 1):
            filled = found.values_in(tile, holes)
            if filled.any():
                labels, _ = mask.read(tile)
                here = filled[_parts_outside(labels, label, tile).numbers]
                edit.paint(tile, labels, np.where(here & edit.may_change(labels), np.uint8(label), labels))
            yield edit.step()

    return MaskOperation("Filling holes", steps)


def remove_small_objects(
    label: int, region: Region, smallest_px: float, options: CleanupOptions = _DEFAULTS
) -> MaskOperation:
    """Remove small objects of a class.

    An object is an 8-connected component.  A removed one takes the label along most of its outline,
    which may be unlabelled; ties go to the largest label.  An object that continues outside `region`
    is kept.

    Parameters
    ----------
    label
        The class, not *unlabelled*.
    smallest_px
        The smallest area to keep.
    """

    def steps(mask: Editable) -> Iterator[OperationStep]:
        edit = TiledEdit(mask, region, options)
        if label in options.locked:
            return
        merger = ComponentMerger(edit.region, _inner_border(edit.region, mask.shape), diagonal=True)
        votes = [np.empty((3, 0), np.int64)]
        for tile in edit.tiles(0, 0.5):
            labels = edit.labels(with_margin(tile, 1).clip(mask.shape))
            if labels is None:
                merger.add(tile, uniform_tile((tile.height, tile.width), inside=False))
            else:
                window = np.pad(labels, overhang(with_margin(tile, 1), mask.shape), constant_values=label)
                parts = label_tile(window[1:-1, 1:-1] == label, diagonal=True)
                votes.append(_votes(window, label, parts, smallest_px) + np.array([[merger.count], [0], [0]]))
                merger.add(tile, parts)
            yield edit.step()
        found = merger.merge()
        removed = ~found.touches_border & (found.sizes < smallest_px)
        around = _winners(found, np.concatenate(votes, axis=1))
        for tile in edit.tiles(0.5, 1):
            removed_parts = found.values_in(tile, removed)
            if removed_parts.any():
                labels, _ = mask.read(tile)
                numbers = label_tile(labels == label, diagonal=True).numbers
                new, here = labels.copy(), removed_parts[numbers]
                new[here] = found.values_in(tile, around)[numbers[here]]
                edit.paint(tile, labels, new)
            yield edit.step()

    return MaskOperation("Removing specks", steps)


def smooth(label: int, region: Region, radius_px: float, options: CleanupOptions = _DEFAULTS) -> MaskOperation:
    """Smooth the outline of a class.

    A pixel gets the class if most pixels around it have it, weighted about as by a disc of the
    radius.  Pixels that lose the class get the nearest other label, which may be unlabelled; any
    class that is not locked may be replaced.  Pixels outside `region` are read but not changed.
    """
    reach = smoothing_reach(radius_px)

    def target(inside: BoolArray, beyond: Sides) -> BoolArray:
        return majority_smooth(np.pad(inside, beyond, mode="edge"), reach)

    def steps(mask: Editable) -> Iterator[OperationStep]:
        if radius_px > 0:
            yield from _reshape(TiledEdit(mask, region, options), label, reach, target)

    return MaskOperation("Smoothing", steps)


def grow(label: int, region: Region, by_px: float, options: CleanupOptions = _DEFAULTS) -> MaskOperation:
    """Move the outline of a class outwards, or inwards where `by_px` is negative.

    Distances are Euclidean, from pixel centre to pixel centre.  A growing class covers all classes
    that are not locked.  A shrinking one leaves its pixels to the nearest other label, which may be
    unlabelled, and keeps its outline along the edge of the slide.  Pixels outside `region` are read
    but not changed.
    """
    limit = squared_radius(by_px)

    def grows(inside: BoolArray, beyond: Sides) -> BoolArray:
        return dilate(np.pad(inside, beyond), limit)

    def shrinks(inside: BoolArray, beyond: Sides) -> BoolArray:
        return ~dilate(np.pad(~inside, beyond), limit)

    def steps(mask: Editable) -> Iterator[OperationStep]:
        if limit:
            target = grows if by_px > 0 else shrinks
            yield from _reshape(TiledEdit(mask, region, options), label, math.isqrt(limit), target)

    return MaskOperation("Growing" if by_px > 0 else "Shrinking", steps)


def _reshape(
    edit: TiledEdit, label: int, margin: int, target: Callable[[BoolArray, Sides], BoolArray]
) -> Iterator[OperationStep]:
    """Give a class the shape that `target` returns for it and its surroundings."""

    def change(labels: UInt8Array, beyond: Sides) -> UInt8Array:
        inside = labels == label
        tile = tuple(
            slice(margin - before, size - margin + after)
            for size, (before, after) in zip(labels.shape, beyond, strict=True)
        )
        new = labels[tile].copy()
        if not inside.any() or inside.all():
            return new
        now = target(inside, beyond)
        may_change = edit.may_change(new)
        lost = np.zeros_like(inside)
        lost[tile] = inside[tile] & ~now & may_change
        new[now & may_change] = label
        if lost.any():
            new[lost[tile]] = nearest_labels(labels, ~inside, lost)
        return new

    return edit.reshape(margin, change)


def _parts_outside(labels: UInt8Array | None, label: int, tile: Region) -> TileComponents:
    """Return the parts of a tile that do not have a class."""
    if labels is None:
        return uniform_tile((tile.height, tile.width), inside=True)
    return label_tile(labels != label, diagonal=False)


def _votes(window: UInt8Array, label: int, parts: TileComponents, smallest_px: float) -> _Votes:
    """Count the labels around the small parts of a tile; `window` has one more pixel on each side."""
    height, width = parts.numbers.shape
    small = np.concatenate([[False], parts.sizes < smallest_px])[parts.numbers]
    keys = []
    for row, column in ((0, 1), (1, 0), (1, 2), (2, 1)):
        beside = window[row : row + height, column : column + width]
        at = small & (beside != label)
        keys.append((parts.numbers[at].astype(np.int64) - 1) << 8 | beside[at])
    borders, shared_edges = np.unique(np.concatenate(keys), return_counts=True)
    return np.stack([borders >> 8, borders & 255, shared_edges])


def _winners(found: Components, votes: _Votes) -> UInt8Array:
    """Return the label along most of each component's outline; ties go to the largest, 0 if it has no outline."""
    borders, vote = np.unique(found.component_of[votes[0]] << 8 | votes[1], return_inverse=True)
    shared_edges = np.bincount(vote, votes[2])
    order = borders[np.lexsort((borders, shared_edges, borders >> 8))]
    winners = np.full(len(found.sizes), UNLABELLED, np.uint8)
    winners[order >> 8] = order & 255  # the last one of a component wins
    return winners


def _inner_border(region: Region, shape: tuple[int, int]) -> Region:
    """Return a region whose sides at the edge of the mask are moved out of reach, as nothing continues there."""
    before, after = zip(*overhang(with_margin(region, 1), shape), strict=True)
    top, left = region.top - before[0], region.left - before[1]
    return Region(top, left, region.bottom + after[0] - top, region.right + after[1] - left)
