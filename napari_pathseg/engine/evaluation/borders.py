"""How far the borders of two labellings of a slide are apart: normalised surface distance and 95 % Hausdorff distance.

A border pixel of a class is a labelled pixel of it beside a labelled pixel of another class, up, down, left or right.
The slide's edge, and the edge of what is labelled, are no borders: nobody knows what lies beyond.  Only border pixels
are kept, so memory does not grow with the slide.  Arrays only: no torch, no files.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array

MOST_PIXELS = 1 << 20  # of a border; a longer one is kept on a grid of twice the spacing, again and again
_PERCENTILE = 95
_ROUNDING = 1e-9  # of distances

_Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BorderDistance:
    """How well two borders agree.

    Attributes
    ----------
    within, pixels
        Border pixels of both that lie within the tolerance of the other, and all of both.
    hausdorff
        The larger of both 95th percentiles of the distance to the other border; None if one of them is empty.
    grid
        Mask pixels along the grid that the borders were kept on; 1 if they are exact.
    """

    within: int = 0
    pixels: int = 0
    hausdorff: float | None = None
    grid: int = 1


class BorderPixels:
    """Collects the border pixels of a class, tile by tile.

    Parameters
    ----------
    columns
        The width of the mask.
    most
        The most pixels that are kept, before the grid gets coarser.
    """

    def __init__(self, columns: int, most: int = MOST_PIXELS) -> None:
        self._columns, self._most = columns, most
        self.grid = 1
        self._kept = [np.empty(0, np.int64)]  # row * columns + column, on the grid
        self._count = 0

    def add(self, border: BoolArray, top: int, left: int) -> None:
        """Add the border pixels of a tile whose corner lies at `top` and `left`."""
        rows, columns = np.nonzero(border)
        found = _coarse((rows + top) * np.int64(self._columns) + columns + left, self._columns, self.grid)
        self._kept.append(found)
        self._count += len(found)
        while self._count > self._most:
            self.coarsen(2 * self.grid)

    def coarsen(self, grid: int) -> None:
        """Keep the border on a grid of this spacing, a power of two."""
        self.grid = grid
        self._kept = [np.unique(_coarse(np.concatenate(self._kept), self._columns, grid))]
        self._count = len(self._kept[0])

    def places(self) -> npt.NDArray[np.float64]:
        """Return the row and column of each border pixel, or of the centres of their cells of the grid."""
        corners = np.stack(np.divmod(np.concatenate(self._kept), self._columns), axis=1)
        return corners + (self.grid - 1) / 2


def border_distance(truth: BorderPixels, found: BorderPixels, mpp: float, tolerance: float) -> BorderDistance:
    """Compare two borders.

    Parameters
    ----------
    truth, found
        Borders of the same class; the coarser grid of both is used.
    mpp
        The side of a mask pixel, in the unit of `tolerance` and of the result.
    tolerance
        The distance up to which borders agree.

    Notes
    -----
    The normalised surface distance is ``within / pixels`` [1]_.

    References
    ----------
    .. [1] Nikolov et al., Clinically applicable segmentation of head and neck anatomy for radiotherapy, J Med Internet
       Res 23(7):e26151, 2021.
    """
    grid = max(truth.grid, found.grid)
    for border in (truth, found):
        if border.grid < grid:
            border.coarsen(grid)
    first, second = truth.places() * mpp, found.places() * mpp
    if not len(first) or not len(second):
        return BorderDistance(0, len(first) + len(second), None, grid)
    distances = KDTree(second).query(first)[0], KDTree(first).query(second)[0]
    within = sum(int(np.count_nonzero(each <= tolerance + _ROUNDING)) for each in distances)
    hausdorff = max(float(np.percentile(each, _PERCENTILE)) for each in distances)
    return BorderDistance(within, len(first) + len(second), hausdorff, grid)


def border_of(labels: UInt8Array) -> BoolArray:
    """Return which pixels lie on a border.

    >>> border_of(np.array([[1, 1, 2, 0]], np.uint8))
    array([[False,  True,  True, False]])
    """
    border = np.zeros(labels.shape, bool)
    known = labels != UNLABELLED
    for axis in (0, 1):
        first = (slice(None, -1), slice(None))[:: 1 if axis == 0 else -1]
        second = (slice(1, None), slice(None))[:: 1 if axis == 0 else -1]
        differ = (labels[first] != labels[second]) & known[first] & known[second]
        border[first] |= differ
        border[second] |= differ
    return border


def _coarse(places: _Places, columns: int, grid: int) -> _Places:
    """Return the corners of the cells of a grid that places lie in."""
    if grid == 1:
        return places
    rows, at = np.divmod(places, columns)
    corners: _Places = rows // grid * grid * columns + at // grid * grid
    return corners
