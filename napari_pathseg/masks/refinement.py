"""What a model's probability of a class becomes by a threshold, smoothing, a smallest object and a largest hole.

A box that is looked at is refined at once.  A whole slide is refined tile by tile, as an operation on its mask with the
result of doing it all at once; other classes stay as they are.  Lengths and areas are in mask pixels.
"""

import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry import EMPTY_REGION, Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.components import ComponentMerger, label_tile
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked, apply_model, reassign_provenance
from napari_pathseg.masks.morphology import majority_smooth, smoothing_reach
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.tiled_edit import overhang, with_margin
from napari_pathseg.storage.scratch import scratch_array

_TILE = 512  # rows and columns of a step, so that the window goes on between two
_LEAST_SMOOTHING = 0.5  # pixels; less changes nothing


@dataclass(frozen=True)
class Refinement:
    """How the probability of a class becomes its outline.

    Attributes
    ----------
    label
        The class.
    threshold
        The lowest probability, 0 to 1.
    smoothing_px
        Radius within which the majority decides.
    smallest_px, largest_hole_px
        The area of the smallest object to keep, and of the largest hole to fill.
    """

    label: int
    threshold: float = 0.5
    smoothing_px: float = 0.0
    smallest_px: float = 0.0
    largest_hole_px: float = 0.0

    def coarser(self, step: int) -> "Refinement":
        """Return the same for a grid `step` times as coarse."""
        return replace(
            self,
            smoothing_px=self.smoothing_px / step,
            smallest_px=self.smallest_px / step**2,
            largest_hole_px=self.largest_hole_px / step**2,
        )

    @property
    def reach(self) -> int:
        """How far smoothing sees."""
        return smoothing_reach(self.smoothing_px) if self.smoothing_px >= _LEAST_SMOOTHING else 0

    def above_threshold(self, probability: UInt8Array) -> BoolArray:
        """Return where a probability from 0 to 255 is enough; 0 never is, as nothing was predicted there."""
        enough: BoolArray = probability >= max(1, math.ceil(255 * self.threshold))
        return enough


def refine_box(probability: UInt8Array, wanted: Refinement) -> BoolArray:
    """Return the pixels of a class in a box; objects and holes that its border cuts stay as they are."""
    inside = wanted.above_threshold(probability)
    if wanted.reach:
        inside = majority_smooth(np.pad(inside, wanted.reach, mode="edge"), wanted.reach)
    inside = inside & ~_within(inside, wanted.smallest_px, diagonal=True, smaller=True)
    found: BoolArray = inside | _within(~inside, wanted.largest_hole_px, diagonal=False, smaller=False)
    return found


def _within(parts: BoolArray, area: float, *, diagonal: bool, smaller: bool) -> BoolArray:
    """Return the components up to an area, or below it if `smaller`, that do not touch the border."""
    box = Region(0, 0, *parts.shape)
    merger = ComponentMerger(box, box, diagonal=diagonal)
    tile = label_tile(parts, diagonal=diagonal)
    merger.add(box, tile)
    found = merger.merge()
    small = found.sizes < area if smaller else found.sizes <= area
    chosen: BoolArray = found.values_in(box, small & ~found.touches_border)[tile.numbers]
    return chosen


def refine(
    prediction: Prediction,
    wanted: Refinement,
    complete_in: Callable[[Region], bool | BoolArray],
    locked: Locked = NONE_LOCKED,
    settled: Collection[int] = (),
) -> MaskOperation:
    """Give a class of the model's pixels its refined outline; a mask without any of them gets the other classes, too.

    What loses the class gets the next most likely one that is not `settled`, such as those that were refined before:
    otherwise it becomes Background, or loses its label if Background itself is refined.  A person's pixels, `locked`
    classes, and the boxes that `complete_in` returns stay as they are.
    """

    def steps(mask: Editable) -> Iterator[OperationStep]:
        whole = Region(0, 0, *mask.shape)
        tiles = list(layout(whole, _TILE))
        inside = scratch_array(mask.shape)  # 1 where the class is
        beyond = Region(-1, -1, mask.shape[0] + 2, mask.shape[1] + 2)  # nothing continues beyond a slide
        objects, only_class = ComponentMerger(whole, beyond, diagonal=True), False
        for number, tile in enumerate(tiles, 1):
            there = _smoothed(prediction, wanted, tile, mask.shape)
            if there.any():  # what is not written takes no space
                inside[tile.slices] = there
            objects.add(tile, label_tile(there, diagonal=True))
            only_class = only_class or bool((mask.read(tile)[1] == Provenance.MODEL).any())
            yield OperationStep(EMPTY_REGION, 0.4 * number / len(tiles))
        small, holes = objects.merge(), ComponentMerger(whole, whole, diagonal=False)
        for number, tile in enumerate(tiles, 1):
            there = inside[tile.slices] > 0
            if there.any():
                removed = small.values_in(tile, small.sizes < wanted.smallest_px)
                there &= ~removed[label_tile(there, diagonal=True).numbers]
                inside[tile.slices] = there
            holes.add(tile, label_tile(~there, diagonal=False))
            yield OperationStep(EMPTY_REGION, 0.4 + 0.2 * number / len(tiles))
        open_parts = holes.merge()
        filled = ~open_parts.touches_border & (open_parts.sizes <= wanted.largest_hole_px)
        for number, tile in enumerate(tiles, 1):
            there = inside[tile.slices] > 0
            there |= open_parts.values_in(tile, filled)[label_tile(~there, diagonal=False).numbers]
            changed = EMPTY_REGION
            if (predicted := prediction.read(tile)).any():
                before = np.stack(mask.read(tile))
                now = before[0] if only_class else predicted
                lost = (now == wanted.label) & ~there & (predicted != UNLABELLED)
                classes = np.zeros_like(predicted) if only_class else predicted.copy()
                classes[lost] = _next_likely(prediction, tile, lost, {wanted.label, *settled})
                classes[there & (predicted != UNLABELLED)] = wanted.label
                changed = mask.edit(tile, *_changed(before, classes, lost, complete_in(tile), locked))
            yield OperationStep(changed, 0.6 + 0.4 * number / len(tiles))

    return MaskOperation("Applying", steps)


def _smoothed(prediction: Prediction, wanted: Refinement, tile: Region, shape: tuple[int, int]) -> BoolArray:
    around = with_margin(tile, wanted.reach)
    inside = wanted.above_threshold(prediction.sample(wanted.label, around.clip(shape)))
    if wanted.reach and inside.any():
        return majority_smooth(np.pad(inside, overhang(around, shape), mode="edge"), wanted.reach)
    here = tile.shift(-around.clip(shape).top, -around.clip(shape).left)
    return inside[here.slices]


def _next_likely(prediction: Prediction, tile: Region, lost: BoolArray, excluded: Collection[int]) -> UInt8Array:
    """Return the most likely class of the lost pixels of a tile among those left; without any, Background or none."""
    if not lost.any():
        return np.zeros(0, np.uint8)
    probabilities = np.asarray(prediction.probabilities[(slice(None), *tile.slices)])[:, lost]
    probabilities[[label - 1 for label in excluded if label <= len(probabilities)]] = 0
    rest = UNLABELLED if BACKGROUND in excluded else BACKGROUND
    return np.where(probabilities.any(axis=0), probabilities.argmax(axis=0) + 1, rest).astype(np.uint8)


def _changed(
    before: UInt8Array, classes: UInt8Array, lost: BoolArray, complete: bool | BoolArray, locked: Locked
) -> UInt8Array:
    """Return a box filled with a model's `classes`; what it has lost to none loses its label."""
    cleared = lost & (classes == UNLABELLED) & ~np.asarray(complete)
    emptied = reassign_provenance(before, Provenance.MODEL, Provenance.NONE, locked)
    return np.where(cleared, emptied, apply_model(before, classes, complete, locked))
