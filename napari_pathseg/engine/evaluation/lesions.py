"""Which lesions were found: connected regions of a class, matched one to one by how much they overlap.

Overlap is intersection over union.  Pairs are matched from the largest overlap down, and a lesion has one partner at
most.  Tiles are labelled one by one, so memory grows with the number of regions, not of pixels.  No torch, no files.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.masks.components import ComponentMerger, label_tile

OVERLAPS = (0.1, 0.5)

_Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LesionCounts:
    """Lesions of a class: those that are labelled, those that were predicted, and the pairs at each of `OVERLAPS`."""

    truth: int = 0
    predicted: int = 0
    matched: tuple[int, ...] = (0,) * len(OVERLAPS)

    def __add__(self, other: "LesionCounts") -> "LesionCounts":
        pairs = zip(self.matched, other.matched, strict=True)
        return LesionCounts(
            self.truth + other.truth, self.predicted + other.predicted, tuple(one + more for one, more in pairs)
        )

    def f1(self, number: int) -> float | None:
        """Return the F1 at one of `OVERLAPS`; None if no lesion is labelled."""
        return 2 * self.matched[number] / (self.truth + self.predicted) if self.truth else None


class LesionTally:
    """Finds the lesions of one class in a box; add its tiles row by row from the top left.

    Parameters
    ----------
    box
        What the tiles cover.  A lesion that its edge cuts counts with what lies inside.
    """

    def __init__(self, box: Region) -> None:
        self._truth, self._found = (ComponentMerger(box, box, diagonal=True) for _ in range(2))
        self._pairs = [np.empty((3, 0), np.int64)]  # parts of the truth, parts of the prediction, common pixels

    def add(self, tile: Region, truth: BoolArray, found: BoolArray) -> None:
        """Add a tile: where the class is labelled, and where it was predicted on labelled pixels."""
        parts = label_tile(truth, diagonal=True), label_tile(found, diagonal=True)
        common = truth & found
        if common.any():
            first, second = (each.numbers[common].astype(np.int64) - 1 for each in parts)
            width = len(parts[1].sizes)
            pairs, pixels = np.unique(first * width + second, return_counts=True)
            first, second = np.divmod(pairs, width)
            self._pairs.append(np.stack([first + self._truth.count, second + self._found.count, pixels]))
        self._truth.add(tile, parts[0])
        self._found.add(tile, parts[1])

    def counts(self) -> LesionCounts:
        """Return the lesions, once all tiles have been added."""
        truth, found = self._truth.merge(), self._found.merge()
        first, second, pixels = np.concatenate(self._pairs, axis=1)
        shape = len(truth.sizes), len(found.sizes)
        both = coo_array((pixels, (truth.component_of[first], found.component_of[second])), shape=shape)
        both.sum_duplicates()
        rows, columns = both.coords
        overlap = both.data / (truth.sizes[rows] + found.sizes[columns] - both.data)
        order = np.argsort(-overlap, kind="stable")
        matched = _match(rows[order], columns[order], overlap[order])
        return LesionCounts(*shape, tuple(int(np.count_nonzero(matched >= least)) for least in OVERLAPS))


def _match(rows: _Numbers, columns: _Numbers, overlap: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the overlap of the pairs that are matched, given all pairs from the largest overlap down."""
    taken_rows, taken_columns, matched = set[int](), set[int](), list[float]()
    for row, column, share in zip(rows.tolist(), columns.tolist(), overlap.tolist(), strict=True):
        if share < OVERLAPS[0]:
            break
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            matched.append(share)
    return np.array(matched)
