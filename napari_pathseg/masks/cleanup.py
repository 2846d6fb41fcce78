"""Cleaning a class: fill its holes, remove its specks, smooth, grow or shrink its outline.

A cleaning is a person's act, but only the pixels that change become that person's: what a model
made and nobody looked at stays the model's.  Works tile by tile on masks of any size; the answer
is that of the whole mask at once.  Lengths and areas are in mask pixels.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.components import ComponentMerger, Components, TileComponents, label_tile, uniform_tile
from napari_pathseg.masks.mask import Mask
from napari_pathseg.masks.morphology import (
    Sides,
    nearest_labels,
    smoothed,
    smoothing_reach,
    squared_limit,
    within,
)
from napari_pathseg.masks.tiled_edit import CleanupOptions, TiledEdit, grown, missing

__all__ = ["CleanupOptions", "fill_holes", "grow", "remove_small_objects", "smooth"]
_Votes = npt.NDArray[np.int64]  # a part, a label, and how many sides of pixels they share: three rows
_DEFAULTS = CleanupOptions()


def fill_holes(
    mask: Mask, label: int, region: Region, largest_px: float | None = None, options: CleanupOptions = _DEFAULTS
) -> Region:
    """Give a class what it encloses; return the box that changed, maybe empty.

    A hole is what is connected by sides, is not of the class and does not reach the border of
    `region`.  All that lies in it is filled, but for locked classes.

    Parameters
    ----------
    label
        The class, not *unlabelled*.
    largest_px
        The largest area that is filled; None for any.
    """
    with TiledEdit(mask, region, options) as edit:
        merger = ComponentMerger(edit.region, edit.region, diagonal=False)
        for tile in edit.tiles(0, 0.5):
            merger.add(tile, _parts_of_the_rest(edit.labels(tile), label, tile))
        if edit.stopped:
            return edit.changed
        found = merger.merge()
        holes = ~found.leaves & (found.sizes <= (math.inf if largest_px is None else largest_px))
        for tile in edit.tiles(0.5, 1):
            filled = found.spread(tile, holes)
            if filled.any():
                labels, _ = mask.read(tile)
                here = filled[_parts_of_the_rest(labels, label, tile).numbers]
                edit.paint(tile, labels, np.where(here & edit.free(labels), np.uint8(label), labels))
        return edit.changed


def remove_small_objects(
    mask: Mask, label: int, region: Region, smallest_px: float, options: CleanupOptions = _DEFAULTS
) -> Region:
    """Take the parts of a class that are too small away; return the box that changed, maybe empty.

    A speck is what is connected by sides or corners.  It becomes what most of its outline borders
    on, unlabelled included, and of equals the largest label.  What goes on outside `region` stays.

    Parameters
    ----------
    label
        The class, not *unlabelled*.
    smallest_px
        The smallest area that stays.
    """
    with TiledEdit(mask, region, options) as edit:
        if label in options.locked:
            return edit.changed
        merger = ComponentMerger(edit.region, _inner_border(edit.region, mask.shape), diagonal=True)
        votes = [np.empty((3, 0), np.int64)]
        for tile in edit.tiles(0, 0.5):
            labels = edit.labels(grown(tile, 1).clip(mask.shape))
            if labels is None:
                merger.add(tile, uniform_tile((tile.height, tile.width), inside=False))
                continue
            window = np.pad(labels, missing(grown(tile, 1), mask.shape), constant_values=label)
            parts = label_tile(window[1:-1, 1:-1] == label, diagonal=True)
            votes.append(_votes(window, label, parts, smallest_px) + np.array([[merger.count], [0], [0]]))
            merger.add(tile, parts)
        if edit.stopped:
            return edit.changed
        found = merger.merge()
        removed, around = ~found.leaves & (found.sizes < smallest_px), _winners(found, np.concatenate(votes, axis=1))
        for tile in edit.tiles(0.5, 1):
            specks = found.spread(tile, removed)
            if specks.any():
                labels, _ = mask.read(tile)
                numbers = label_tile(labels == label, diagonal=True).numbers
                new, here = labels.copy(), specks[numbers]
                new[here] = found.spread(tile, around)[numbers[here]]
                edit.paint(tile, labels, new)
        return edit.changed


def smooth(mask: Mask, label: int, region: Region, radius_px: float, options: CleanupOptions = _DEFAULTS) -> Region:
    """Smooth the outline of a class; return the box that changed, maybe empty.

    A pixel is of the class afterwards where most of what lies around it was, about as in a disc of
    the radius.  What the class loses goes to the nearest other label, unlabelled included; what it
    gains it takes from any class that is not locked.  Pixels outside `region` count, and stay.
    """
    reach = smoothing_reach(radius_px)

    def target(inside: BoolArray, beyond: Sides) -> BoolArray:
        return smoothed(np.pad(inside, beyond, mode="edge"), reach)

    with TiledEdit(mask, region, options) as edit:
        if radius_px > 0:
            _reshape(edit, label, reach, target)
        return edit.changed


def grow(mask: Mask, label: int, region: Region, by_px: float, options: CleanupOptions = _DEFAULTS) -> Region:
    """Move the outline of a class outwards, or inwards where `by_px` is negative; return the box that changed.

    Distances are Euclidean, from pixel centre to pixel centre.  A growing class covers all classes
    that are not locked; a shrinking one leaves its pixels to the nearest other label, unlabelled
    included, and does not draw back from the edge of the slide.  Pixels outside `region` count, and stay.
    """
    limit = squared_limit(by_px)

    def grows(inside: BoolArray, beyond: Sides) -> BoolArray:
        return within(np.pad(inside, beyond), limit)

    def shrinks(inside: BoolArray, beyond: Sides) -> BoolArray:
        return ~within(np.pad(~inside, beyond), limit)

    with TiledEdit(mask, region, options) as edit:
        if limit:
            _reshape(edit, label, math.isqrt(limit), grows if by_px > 0 else shrinks)
        return edit.changed


def _reshape(edit: TiledEdit, label: int, margin: int, target: Callable[[BoolArray, Sides], BoolArray]) -> None:
    """Give a class the shape that `target` makes of it and its surroundings."""

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
        free = edit.free(new)
        lost = np.zeros_like(inside)
        lost[tile] = inside[tile] & ~now & free
        new[now & free] = label
        if lost.any():
            new[lost[tile]] = nearest_labels(labels, ~inside, lost)
        return new

    edit.reshape(margin, change)


def _parts_of_the_rest(labels: UInt8Array | None, label: int, tile: Region) -> TileComponents:
    """Return the parts of a tile that are not of a class."""
    if labels is None:
        return uniform_tile((tile.height, tile.width), inside=True)
    return label_tile(labels != label, diagonal=False)


def _votes(window: UInt8Array, label: int, parts: TileComponents, smallest_px: float) -> _Votes:
    """Return what the small parts of a tile border on; `window` has one pixel more on each side."""
    height, width = parts.numbers.shape
    small = np.concatenate([[False], parts.sizes < smallest_px])[parts.numbers]
    keys = []
    for row, column in ((0, 1), (1, 0), (1, 2), (2, 1)):
        beside = window[row : row + height, column : column + width]
        at = small & (beside != label)
        keys.append((parts.numbers[at].astype(np.int64) - 1) << 8 | beside[at])
    borders, sides = np.unique(np.concatenate(keys), return_counts=True)
    return np.stack([borders >> 8, borders & 255, sides])


def _winners(found: Components, votes: _Votes) -> UInt8Array:
    """Return the label that each component borders on most, of equals the largest; 0 where it has no border."""
    borders, vote = np.unique(found.of_part[votes[0]] << 8 | votes[1], return_inverse=True)
    sides = np.bincount(vote, votes[2])
    order = borders[np.lexsort((borders, sides, borders >> 8))]
    winners = np.full(len(found.sizes), UNLABELLED, np.uint8)
    winners[order >> 8] = order & 255  # the last of a component stays
    return winners


def _inner_border(region: Region, shape: tuple[int, int]) -> Region:
    """Return a region whose sides are out of reach where they are the edge of the mask: nothing goes on there."""
    before, after = zip(*missing(grown(region, 1), shape), strict=True)
    top, left = region.top - before[0], region.left - before[1]
    return Region(top, left, region.bottom + after[0] - top, region.right + after[1] - left)
