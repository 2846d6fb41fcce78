"""Where a model contradicts a person's labels: what of that is worth a question, and the edit that answers it.

Outlines always differ along borders; only areas count whose core remains if they are eroded.  What a person has
corrected is decided.  Arrays are boxes of a mask.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.edits import set_class
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked, training_labels
from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.masks.provenance import Provenance

Pairs = npt.NDArray[np.uint16]  # the person's class times 256, plus the model's; 0 where they agree, or one has none
BORDER = 4  # working pixels on each side of an outline within which it may lie


@dataclass(frozen=True)
class Question:
    """A contradiction: the number of the class that is labelled, and that of the class that a model found there."""

    labelled: int
    found: int

    @property
    def code(self) -> int:
        """Its value in `Pairs`."""
        return self.labelled * 256 + self.found


def border_reach(factor: float) -> int:
    """Return how many mask pixels an outline may be off, given the mask pixels along a working pixel."""
    return max(1, round(BORDER * factor))


def contradictions(truth: UInt8Array, corrected: BoolArray, found: UInt8Array) -> Pairs:
    """Return the pairs of classes where a model found another class than is labelled and not corrected."""
    differs = (truth != UNLABELLED) & (found != UNLABELLED) & (found != truth) & ~corrected
    return np.where(differs, truth.astype(np.uint16) * np.uint16(256) + found, np.uint16(0))


def cores(pairs: Pairs, reach: int) -> BoolArray:
    """Return the pixels around which all within `reach` is of one pair."""
    side = 2 * reach + 1
    lowest, highest = (
        extreme(pairs, side, mode="nearest") for extreme in (ndimage.minimum_filter, ndimage.maximum_filter)
    )
    core: BoolArray = (lowest == highest) & (pairs > 0)
    return core


def asked_in(
    pixels: UInt8Array, found: UInt8Array, complete: bool | BoolArray, question: Question, reach: int
) -> BoolArray:
    """Return the pixels that a question is about.

    Parameters
    ----------
    pixels
        Labels and provenance of a box, shape (2, rows, columns).
    found
        The model's classes there.
    complete
        Where the annotation is complete, and unlabelled pixels are Background.
    question
        The pair of classes.
    reach
        How many pixels an outline may be off: parts without a core are borders.
    """
    truth = training_labels(pixels[0], pixels[1], complete)
    pairs = contradictions(truth, pixels[1] == Provenance.CORRECTED, found)
    pairs[pairs != question.code] = 0
    parts, number = ndimage.label(pairs > 0)
    kept = np.zeros(number + 1, bool)
    kept[parts[cores(pairs, reach)]] = True
    asked: BoolArray = kept[parts]
    return asked


def take_models_class(
    region: Region, asked: BoolArray, question: Question, locked: Locked = NONE_LOCKED
) -> MaskOperation:
    """Give the `asked` pixels of a box the class that the model found, as accepted."""
    return set_class("Accepting", region, _unlocked(asked, question, locked), (question.found, Provenance.ACCEPTED))


def keep_own_class(region: Region, asked: BoolArray, question: Question, locked: Locked = NONE_LOCKED) -> MaskOperation:
    """Let the `asked` pixels of a box keep their class, as corrected: they are decided."""
    wanted = question.labelled, Provenance.CORRECTED
    return set_class("Keeping", region, _unlocked(asked, question, locked), wanted)


def _unlocked(asked: BoolArray, question: Question, locked: Locked) -> BoolArray:
    return np.zeros_like(asked) if question.labelled in locked else asked
