"""How well predicted classes agree with a person's: counts, and the scores made of them.

Counts add up over tiles and slides, so that pooled scores weigh each pixel alike.  Where a
class neither occurs nor is predicted its scores are 1; where only one of the two, 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED

SCORE_NAMES = ("dice", "iou", "precision", "recall", "f1")


@dataclass(frozen=True)
class ClassCounts:
    """The labelled pixels as one class against all others sees them."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    def scores(self) -> dict[str, float]:
        """Return Dice, IoU, precision, recall and F1, which is Dice by another name."""
        hits, extra, missed = self.true_positives, self.false_positives, self.false_negatives
        dice = _ratio(2 * hits, 2 * hits + extra + missed)
        return {
            "dice": dice,
            "iou": _ratio(hits, hits + extra + missed),
            "precision": _ratio(hits, hits + extra) if hits + extra else float(not missed),
            "recall": _ratio(hits, hits + missed) if hits + missed else float(not extra),
            "f1": dice,
        }


@dataclass
class Confusion:
    """Pixels by (true class, predicted class), both counted from class 1.

    Attributes
    ----------
    matrix
        Shape (classes, classes); unlabelled pixels are in none.
    """

    matrix: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, classes: int) -> "Confusion":
        """Return counts of nothing."""
        return cls(np.zeros((classes, classes), np.int64))

    def add(self, truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]) -> None:
        """Count pixels; both arrays hold class indices from 1, `truth` 0 where unlabelled."""
        known = truth != UNLABELLED
        size = len(self.matrix)
        pairs = (truth[known].astype(np.intp) - 1) * size + predicted[known] - 1
        self.matrix += np.bincount(pairs, minlength=size * size).reshape(size, size)

    def counts(self) -> list[ClassCounts]:
        """Return true and false positives and negatives, class by class."""
        hits = np.diag(self.matrix)
        extra, missed = self.matrix.sum(axis=0) - hits, self.matrix.sum(axis=1) - hits
        rest = self.matrix.sum() - hits - extra - missed
        return [ClassCounts(*map(int, four)) for four in zip(hits, extra, missed, rest, strict=True)]

    def scores(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return Dice, IoU, precision, recall and F1 by class name."""
        return {name: counts.scores() for name, counts in zip(names, self.counts(), strict=True)}

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels that are told rightly."""
        return _ratio(int(np.trace(self.matrix)), int(self.matrix.sum()))

    @property
    def pixel_error(self) -> float:
        """Share of the labelled pixels that are told wrongly."""
        return 1.0 - self.pixel_accuracy

    @property
    def present(self) -> list[bool]:
        """Whether a person labelled pixels of each class."""
        return [bool(count) for count in self.matrix.sum(axis=1)]

    def to_lists(self) -> list[list[int]]:
        """Return the matrix as plain values: a row for each true class."""
        rows: list[list[int]] = self.matrix.tolist()
        return rows


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def mean_dice(confusion: Confusion) -> float:
    """Return the mean Dice of the classes to find that occur; of Background where none does."""
    dice = [counts.scores()["dice"] for counts in confusion.counts()]
    wanted = [value for value, present in zip(dice[1:], confusion.present[1:], strict=True) if present]
    return float(np.mean(wanted)) if wanted else dice[0]


def pool(parts: Iterable[Confusion], classes: int) -> Confusion:
    """Return the counts of all parts together."""
    return Confusion(sum((part.matrix for part in parts), np.zeros((classes, classes), np.int64)))
