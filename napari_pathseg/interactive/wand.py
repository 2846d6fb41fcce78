"""The wand: the region of like stain and texture around the cursor, which grows while one drags.

It works like QuPath's [1]_: a square around the cursor is smoothed; what differs
from the pixel under the cursor by less than the spread within the square, divided by the
sensitivity, and is connected to it within a circle, is taken, and its small holes are closed.
It differs in what is compared: amounts of haematoxylin and eosin instead of red, green and
blue, and how much haematoxylin varies around a pixel, which tells crowded nuclei from a haze
of the same mean.  In drags over hand-drawn glands that took as much as QuPath's way would,
2.2 % lay outside against 3.7 %.

References
----------
.. [1] QuPath, ``qupath.lib.gui.viewer.tools.handlers.WandToolEventHandler``: a square of 149
   screen pixels, Gaussian of deviation 4, flood fill by 4 neighbours, closing by 5 x 5.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import BoolArray, Float32Array, UInt8Array
from napari_pathseg.interactive.optical_density import stains
from napari_pathseg.settings import Settings, setting

_TILE = 128  # pixels: features are computed in squares of this side when a cursor first comes near
_TRUNCATE = 3.0  # deviations after which a Gaussian is cut off
_LEAST_SPREAD = 0.01  # optical density: what a scanner's noise leaves after smoothing
_CLOSING = 2  # pixels to each side: QuPath's 5 x 5
_FURTHEST = 150  # pixels: what is answered in time on a busy machine
_REGROWN = 1.5  # smoothings: an edge is a texture, too, so the wand would stop that far from it
_LARGEST_HOLE = 0.05  # share of the circle around the cursor


@dataclass(frozen=True, kw_only=True)
class WandConfig(Settings):
    """How alike pixels must be for the wand to take them together."""

    sensitivity: float = setting(
        1.5, "How picky the wand is: a higher value takes less at once.", minimum=0.2, maximum=10.0, step=0.1
    )
    smoothing: float = setting(
        4.0, "Detail that the wand does not see.", unit="screen px", minimum=0.5, maximum=16.0, step=0.5
    )


class Wand:
    """The wand on one picture window; it holds what has been taken since `begin`.

    Parameters
    ----------
    picture
        What is seen, RGB (rows, columns, 3) or grey (rows, columns), one pixel for each of the screen.
    config
        Its sensitivity and smoothing.

    Attributes
    ----------
    grown
        What has been taken so far, of the shape of the window.
    """

    def __init__(self, picture: UInt8Array, config: WandConfig | None = None) -> None:
        self.config = config or WandConfig()
        self._picture = picture
        rows, columns = self._shape = picture.shape[0], picture.shape[1]
        self._features = np.empty((3 if picture.ndim == 3 else 2, rows, columns), np.float32)
        self._ready = np.zeros((-(-rows // _TILE), -(-columns // _TILE)), bool)
        self.grown = np.zeros((rows, columns), bool)

    def begin(self) -> None:
        """Clear the selection: another drag begins."""
        self.grown[:] = False

    def grow(self, row: float, column: float, reach: int) -> tuple[Region, BoolArray]:
        """Take what is like the pixel under the cursor and connected to it, no further than `reach` away.

        Parameters
        ----------
        row, column
            The cursor.  Outside the window nothing is taken.
        reach
            Radius in pixels of the circle that bounds what one position takes; 75 in QuPath, at most 150.

        Returns
        -------
        region, flags
            A box around the cursor, and its pixels selected so far, by earlier positions too.
        """
        at_row, at_column, reach = round(row), round(column), min(reach, _FURTHEST)
        box = Region(at_row - reach, at_column - reach, 2 * reach + 1, 2 * reach + 1).clip(self._shape)
        if not (0 <= at_row < self._shape[0] and 0 <= at_column < self._shape[1]):
            return EMPTY_REGION, np.zeros((0, 0), bool)
        self._prepare(box)
        seed = at_row - box.top, at_column - box.left
        *stain, texture = self._alike(box, seed)
        stained = np.logical_and.reduce(stain) & _disc((box.height, box.width), seed, reach)
        pieces, _ = ndimage.label(stained & texture)
        grown = self.grown[box.slices]
        grown |= _regrown(pieces == pieces[seed], stained, _REGROWN * self.config.smoothing)
        grown |= _without_holes(_closed(grown), _LARGEST_HOLE * np.pi * reach**2)
        return box, grown.copy()

    def _alike(self, box: Region, seed: tuple[int, int]) -> Iterator[BoolArray]:
        """Yield for each feature where in a box it differs little from the one under the cursor."""
        for feature in self._features[:, *box.slices]:
            limit = max(float(feature.std()), _LEAST_SPREAD) / self.config.sensitivity
            yield np.abs(feature - feature[seed]) <= limit

    def _prepare(self, box: Region) -> None:
        """Compute the features that a box needs and that are not there yet."""
        deviation = self.config.smoothing
        halo = int(_TRUNCATE * deviation + 0.5)
        for tile in self._missing(box):
            wide = Region(tile.top - halo, tile.left - halo, tile.height + 2 * halo, tile.width + 2 * halo)
            wide = wide.clip(self._shape)
            inner = tile.shift(-wide.top, -wide.left).slices
            features = _features(self._picture[wide.slices], deviation)
            for own, feature in zip(self._features, features, strict=True):
                own[tile.slices] = feature[inner]

    def _missing(self, box: Region) -> Iterator[Region]:
        """Yield the tiles of a box whose features have not been computed, and mark them as done."""
        for row in range(box.top // _TILE, -(-box.bottom // _TILE)):
            for column in range(box.left // _TILE, -(-box.right // _TILE)):
                if not self._ready[row, column]:
                    self._ready[row, column] = True
                    yield Region(row * _TILE, column * _TILE, _TILE, _TILE).clip(self._shape)


def _features(picture: UInt8Array, deviation: float) -> list[Float32Array]:
    """Return the local mean of each stain, and the local deviation of the first."""
    amounts = stains(picture)
    means = [ndimage.gaussian_filter(amount, deviation, truncate=_TRUNCATE) for amount in amounts]
    square = ndimage.gaussian_filter(amounts[0] ** 2, deviation, truncate=_TRUNCATE)
    return [*means, np.sqrt(np.maximum(square - means[0] ** 2, 0))]


def _disc(shape: tuple[int, int], centre: tuple[int, int], radius: int) -> BoolArray:
    """Return where in an array a circle lies."""
    down, across = (np.arange(size) - middle for size, middle in zip(shape, centre, strict=True))
    return np.asarray((down**2)[:, None] + across**2 <= radius**2)


def _regrown(flags: BoolArray, within: BoolArray, distance: float) -> BoolArray:
    """Return flags grown by about `distance`, step by step, where `within` allows."""
    for _ in range(round(distance / _CLOSING)):
        flags = _dilated(flags.copy()) & within
    return flags


def _closed(flags: BoolArray) -> BoolArray:
    """Return flags with gaps narrower than the closing filled; a morphological closing by a square."""
    wide = _dilated(np.pad(flags, 2 * _CLOSING))
    inner = slice(2 * _CLOSING, -2 * _CLOSING)
    return ~_dilated(~wide)[inner, inner]


def _dilated(flags: BoolArray) -> BoolArray:
    """Grow flags by the closing to each side, and return them; by shifted views, a tenth of ndimage's time."""
    for _ in range(2):
        flags = flags.T
        before = flags.copy(order="K")
        for step in range(1, _CLOSING + 1):
            flags[step:] |= before[:-step]
            flags[:-step] |= before[step:]
    return flags


def _without_holes(flags: BoolArray, largest: float) -> BoolArray:
    """Return flags with the holes filled that lie inside the box and have at most `largest` pixels."""
    holes, count = ndimage.label(~flags)
    small = np.bincount(holes.ravel(), minlength=count + 1) <= largest
    small[0] = False
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        small[edge] = False
    return np.asarray(flags | small[holes])
