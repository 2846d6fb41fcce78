"""A model's opinion of a complete slide, compared with the mask.

On a complete slide every pixel is a person's, so a prediction does not fill the mask: it is compared with it.  A
person accepts the model's outline or keeps the own one; pixels that were accepted or corrected are decided, and no
longer count as a difference.  Here are the comparison, as a pure function, and the two operations.
"""

from collections.abc import Callable, Iterator
from enum import IntEnum

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked, training_labels
from napari_pathseg.masks.operations import Editable, MaskOperation, OperationStep
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.shapes import InRegion
from napari_pathseg.masks.zarr_store import CHUNK

_MAX_ANSWERS = 3  # what is on screen, its thumbnail, and what is counted


Counting = Callable[[Region, UInt8Array], BoolArray]


class Agreement(IntEnum):
    """Who found something other than Background at a pixel."""

    NOBODY = 0
    BOTH = 1
    ONLY_PERSON = 2
    ONLY_MODEL = 3


class Opinion:
    """What a model finds on a slide: its stored prediction, under the last preview of a running training.

    Parameters
    ----------
    shape
        Of the mask.
    prediction
        What is stored; None for nothing yet.
    counts
        Returns which of the classes found in a box of the mask count; None for all.  Else coarser levels have none.
    """

    def __init__(
        self, shape: tuple[int, int], prediction: Prediction | None = None, counts: Counting | None = None
    ) -> None:
        self.shape = shape
        self._prediction, self._counts = prediction, counts
        self._preview: tuple[Region, UInt8Array] | None = None
        self._answers: dict[tuple[Region, int], UInt8Array] = {}  # the last ones: the window asks again as one paints

    def show_preview(self, region: Region, classes: UInt8Array) -> None:
        """Replace the preview by another one, `classes` of a region of the mask's grid."""
        self._preview = region, classes
        self._answers.clear()

    def reload(self, region: Region) -> None:
        """Take over what the model has found meanwhile in a box of the mask's grid."""
        for (box, level), classes in self._answers.items():
            step = 2**level
            top, left, bottom, right = (
                -(-edge // step) for edge in (region.top, region.left, region.bottom, region.right)
            )
            part = Region(top, left, bottom - top, right - left).intersect(box)
            if not part.empty:
                classes[part.shift(-box.top, -box.left).slices] = self._find(part, level)

    def read(self, region: Region, level: int = 0) -> UInt8Array:
        """Return the class of each pixel of a box of a level, 0 where the model was not asked."""
        if (region, level) in self._answers:
            return self._answers[region, level]
        classes = self._find(region, level)
        while len(self._answers) >= _MAX_ANSWERS:
            del self._answers[next(iter(self._answers))]
        self._answers[region, level] = classes
        return classes

    def _find(self, region: Region, level: int) -> UInt8Array:
        step = 2**level
        fine = region.finer(step).clip(self.shape)
        classes = np.zeros((region.height, region.width), np.uint8)
        if self._prediction is not None:
            rows, columns = fine.slices
            every = slice(rows.start, rows.stop, step), slice(columns.start, columns.stop, step)
            classes[:] = np.asarray(self._prediction.classes[every])
        if self._preview is not None:
            shown, values = self._preview
            at = [np.arange(first, last, step) for first, last in _sides(fine)]
            inside = [
                (places >= first) & (places < last) for places, (first, last) in zip(at, _sides(shown), strict=True)
            ]
            rows_there, columns_there = (places[known] for places, known in zip(at, inside, strict=True))
            classes[np.ix_(*inside)] = values[np.ix_(rows_there - shown.top, columns_there - shown.left)]
        if self._counts is not None:
            classes = (
                np.where(self._counts(fine, classes), classes, np.uint8(UNLABELLED)) if level == 0 else 0 * classes
            )
        return classes


def agreement(pixels: UInt8Array, found: UInt8Array) -> UInt8Array:
    """Return the `Agreement` of each pixel of a complete slide, given its labels and provenance and a model's classes.

    A pixel at which both find something, but not the same class, is the model's find until it is decided.
    """
    mine, differs = differences(pixels, found)
    both = (found == mine) & (mine > BACKGROUND)
    shown = np.where(both, np.uint8(Agreement.BOTH), np.uint8(Agreement.NOBODY))
    shown[differs] = np.where(found[differs] > BACKGROUND, Agreement.ONLY_MODEL, Agreement.ONLY_PERSON)
    return shown


def count_undecided(pixels: UInt8Array, found: UInt8Array) -> int:
    """Return the number of pixels at which a model differs from the person and nobody has decided yet."""
    return int(np.count_nonzero(differences(pixels, found)[1]))


def adopt(
    region: Region, opinion: Opinion, locked: Locked = NONE_LOCKED, inside: InRegion | None = None
) -> MaskOperation:
    """Take over the model's class where it differs, in `region` or in the part of it given by `inside`."""

    def decide(mine: UInt8Array, found: UInt8Array) -> tuple[UInt8Array, Provenance]:
        return found, Provenance.ACCEPTED

    return _decision("Accepting", region, opinion, decide, locked, inside)


def keep(
    region: Region, opinion: Opinion, locked: Locked = NONE_LOCKED, inside: InRegion | None = None
) -> MaskOperation:
    """Keep the own class where the model differs, and mark it as a correction: a training learns from it."""

    def decide(mine: UInt8Array, found: UInt8Array) -> tuple[UInt8Array, Provenance]:
        return mine, Provenance.CORRECTED

    return _decision("Rejecting", region, opinion, decide, locked, inside)


def differences(pixels: UInt8Array, found: UInt8Array) -> tuple[UInt8Array, BoolArray]:
    """Return the person's class of each pixel, and where the model differs from it and nobody has decided yet."""
    labels, provenance = pixels
    mine = training_labels(labels, provenance, True)
    decided = (provenance == Provenance.ACCEPTED) | (provenance == Provenance.CORRECTED)
    return mine, (found != UNLABELLED) & (mine != UNLABELLED) & (found != mine) & ~decided


def _decision(
    name: str,
    region: Region,
    opinion: Opinion,
    decide: Callable[[UInt8Array, UInt8Array], tuple[UInt8Array, Provenance]],
    locked: Locked,
    inside: InRegion | None,
) -> MaskOperation:
    def steps(mask: Editable) -> Iterator[OperationStep]:
        boxes = list(layout(region.clip(mask.shape), CHUNK))
        for number, box in enumerate(boxes, 1):
            before, found = np.stack(mask.read(box)), opinion.read(box)
            mine, wanted = differences(before, found)
            if inside is not None:
                wanted &= inside(box)
            wanted &= ~np.isin(mine, list(locked))
            labels, provenance = decide(mine, found)
            after = np.where(wanted, np.stack([labels, np.full_like(labels, provenance)]), before)
            yield OperationStep(mask.edit(box, *after), number / len(boxes))

    return MaskOperation(name, steps)


def _sides(region: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    return (region.top, region.bottom), (region.left, region.right)
