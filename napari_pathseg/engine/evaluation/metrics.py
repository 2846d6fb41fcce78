"""Pixel metrics: confusion matrices and the scores computed from them.

Confusion matrices add up over tiles and slides, so that pooled scores weight all pixels equally.  If
a class neither occurs nor is predicted, its scores are 1; if only one of the two, they are 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED

SCORE_NAMES = ("dice", "iou", "precision", "recall", "f1")


@dataclass(frozen=True)
class ClassCounts:
    """The labelled pixels counted for one class against all others."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    def scores(self) -> dict[str, float]:
        """Return Dice, IoU, precision, recall and F1, which equals Dice."""
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
    """A confusion matrix: pixels by (true class, predicted class), both counted from class 1.

    Attributes
    ----------
    matrix
        Shape (classes, classes); unlabelled pixels are not counted.
    """

    matrix: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, classes: int) -> "Confusion":
        """Return a matrix of zeros."""
        return cls(np.zeros((classes, classes), np.int64))

    def add(self, truth: npt.NDArray[np.uint8], predicted: npt.NDArray[np.uint8]) -> None:
        """Count pixels; both arrays hold class indices from 1, `truth` 0 where unlabelled."""
        labelled = truth != UNLABELLED
        size = len(self.matrix)
        pairs = (truth[labelled].astype(np.intp) - 1) * size + predicted[labelled] - 1
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
        """The fraction of labelled pixels that are classified correctly."""
        return _ratio(int(np.trace(self.matrix)), int(self.matrix.sum()))

    @property
    def pixel_error(self) -> float:
        """The fraction of labelled pixels that are misclassified."""
        return 1.0 - self.pixel_accuracy

    @property
    def present(self) -> list[bool]:
        """For each class, whether it has labelled pixels."""
        return [bool(count) for count in self.matrix.sum(axis=1)]

    def to_lists(self) -> list[list[int]]:
        """Return the matrix as plain values, one row for each true class."""
        rows: list[list[int]] = self.matrix.tolist()
        return rows


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def mean_dice(confusion: Confusion) -> float:
    """Return the mean Dice of the classes that occur, except Background; the Dice of Background if no other occurs."""
    dice = [counts.scores()["dice"] for counts in confusion.counts()]
    occurring = [value for value, present in zip(dice[1:], confusion.present[1:], strict=True) if present]
    return float(np.mean(occurring)) if occurring else dice[0]


def pool(parts: Iterable[Confusion], classes: int) -> Confusion:
    """Return the sum of confusion matrices."""
    return Confusion(sum((part.matrix for part in parts), np.zeros((classes, classes), np.int64)))
