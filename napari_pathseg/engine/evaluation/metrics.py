"""Pixel metrics: confusion matrices and the scores computed from them.

Confusion matrices are summed over tiles and slides, so that pooled scores weight all pixels equally.
A class without a labelled pixel has no scores, whether it is predicted or not.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED

SCORE_NAMES = ("dice", "iou", "precision", "recall", "f1")
_FOUND = 0.02  # of a class's pixels; with fewer it is not found
_EVERYTHING = 0.98  # of the predicted pixels


@dataclass(frozen=True)
class ClassCounts:
    """Labelled pixels of one class against all others."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    def scores(self) -> dict[str, float | None]:
        """Return Dice, IoU, precision, recall and F1, which equals Dice; None if the class does not occur."""
        hits, extra, missed = self.true_positives, self.false_positives, self.false_negatives
        if not hits + missed:
            return dict.fromkeys(SCORE_NAMES)
        dice = _ratio(2 * hits, 2 * hits + extra + missed)
        return {
            "dice": dice,
            "iou": _ratio(hits, hits + extra + missed),
            "precision": _ratio(hits, hits + extra) if hits + extra else 0.0,
            "recall": _ratio(hits, hits + missed),
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
        """Count pixels; both arrays contain class indices from 1, and `truth` is 0 where unlabelled."""
        labelled = truth != UNLABELLED
        size = len(self.matrix)
        pairs = (truth[labelled].astype(np.intp) - 1) * size + predicted[labelled] - 1
        self.matrix += np.bincount(pairs, minlength=size * size).reshape(size, size)

    def counts(self) -> list[ClassCounts]:
        """Return the true and false positives and negatives of each class."""
        hits = np.diag(self.matrix)
        extra, missed = self.matrix.sum(axis=0) - hits, self.matrix.sum(axis=1) - hits
        rest = self.matrix.sum() - hits - extra - missed
        return [ClassCounts(*map(int, counts)) for counts in zip(hits, extra, missed, rest, strict=True)]

    def scores(self, names: Sequence[str]) -> dict[str, dict[str, float | None]]:
        """Return Dice, IoU, precision, recall and F1 by class name; None for a class that does not occur."""
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
        """Whether each class has labelled pixels."""
        return [bool(count) for count in self.matrix.sum(axis=1)]

    def to_lists(self) -> list[list[int]]:
        """Return the matrix as nested lists, one row for each true class."""
        rows: list[list[int]] = self.matrix.tolist()
        return rows


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def mean_dice(confusion: Confusion) -> float:
    """Return the mean Dice of the classes that occur; 1 if none does."""
    dice = [counts.scores()["dice"] for counts in confusion.counts()]
    occurring = [value for value in dice if value is not None]
    return float(np.mean(occurring)) if occurring else 1.0


def collapsed_class(confusion: Confusion, names: Sequence[str]) -> str:
    """Return the name of the class that is predicted nearly everywhere although others occur, too, or ""."""
    predicted, occurring = confusion.matrix.sum(axis=0), confusion.matrix.sum(axis=1)
    label = int(predicted.argmax())
    others = [number for number in np.flatnonzero(occurring) if number != label]
    found = [confusion.matrix[number, number] / occurring[number] >= _FOUND for number in others]
    collapsed = bool(others) and not any(found) and predicted[label] >= _EVERYTHING * predicted.sum()
    return names[label] if collapsed else ""


def pool(confusions: Iterable[Confusion], classes: int) -> Confusion:
    """Return the sum of confusion matrices."""
    return Confusion(sum((confusion.matrix for confusion in confusions), np.zeros((classes, classes), np.int64)))
