"""How well predicted classes agree with a person's: counts, and the scores made of them.

Counts add up over tiles and slides, so that pooled scores weigh each pixel alike.  Where a
class neither occurs nor is predicted its scores are 1; where only one of the two, 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.classes import UNLABELLED

SCORE_NAMES = ("dice", "iou", "precision", "recall", "f1")


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

    def scores(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return Dice, IoU, precision, recall and F1 by class name."""
        hits = np.diag(self.matrix)
        true, predicted = self.matrix.sum(axis=1), self.matrix.sum(axis=0)
        return {
            name: _scores(int(h), int(t), int(p)) for name, h, t, p in zip(names, hits, true, predicted, strict=True)
        }

    @property
    def present(self) -> list[bool]:
        """Whether a person labelled pixels of each class."""
        return [bool(count) for count in self.matrix.sum(axis=1)]


def _scores(hits: int, true: int, predicted: int) -> dict[str, float]:
    dice = _ratio(2 * hits, true + predicted)
    return {
        "dice": dice,
        "iou": _ratio(hits, true + predicted - hits),
        "precision": _ratio(hits, predicted) if predicted else float(not true),
        "recall": _ratio(hits, true) if true else float(not predicted),
        "f1": dice,
    }


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def mean_dice(confusion: Confusion) -> float:
    """Return the mean Dice of the classes to find that occur; of Background where none does."""
    names = [str(index) for index in range(len(confusion.matrix))]
    dice = [scores["dice"] for scores in confusion.scores(names).values()]
    wanted = [value for value, present in zip(dice[1:], confusion.present[1:], strict=True) if present]
    return float(np.mean(wanted)) if wanted else dice[0]


def pool(parts: Iterable[Confusion], classes: int) -> Confusion:
    """Return the counts of all parts together."""
    return Confusion(sum((part.matrix for part in parts), np.zeros((classes, classes), np.int64)))
