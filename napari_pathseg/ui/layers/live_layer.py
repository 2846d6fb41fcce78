"""A layer between slide and mask with what the live model finds where nothing is labelled; it is never saved.

It is hatched, in the colours of the classes: what a person draws or accepts is solid.
"""

import math
from typing import Any

import numpy as np
from napari.layers._multiscale_data import MultiScaleData

from napari_pathseg.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.ui.layers.class_labels import class_colors
from napari_pathseg.ui.layers.computed_labels import ComputedLabels, levels
from napari_pathseg.ui.layers.live_tiles import LiveTiles, least_probability
from napari_pathseg.ui.layers.mask_data import UNREVIEWED_OFFSET

DEFAULT_OPACITY = 0.35
_BETWEEN = 0.25  # opacity between the stripes, relative to that of the stripes
_STRIPE, _THINNEST = 4, 2  # pixels of the level shown, one or two on screen; one pixel makes a chequerboard


class LiveLayer(ComputedLabels):
    """The live model's classes other than Background."""

    def __init__(self, mask: Mask, tiles: LiveTiles, **settings: Any) -> None:
        self._tiles, self._threshold = tiles, 0.5
        self._stale = EMPTY_REGION
        self._drawn: tuple[ClassTable, frozenset[int]] | None = None  # the classes whose colours it has
        super().__init__(self._levels(mask), multiscale=True, opacity=DEFAULT_OPACITY, **settings)

    @property
    def threshold(self) -> float:
        """How probable a class must be to be shown, 0 to 1."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        if threshold != self._threshold:
            self._threshold = threshold
            self.redraw()

    def mark(self, region: Region) -> None:
        """Note a box of the mask's grid that :meth:`redraw_marked` is to compute again."""
        self._stale = self._stale.unite(region)

    def redraw_marked(self) -> None:
        """Compute what was marked again."""
        stale, self._stale = self._stale, EMPTY_REGION
        self.redraw_box(stale)

    def set_mask(self, mask: Mask) -> None:
        """Lie below another mask."""
        self.data = self._levels(mask)

    def set_classes(self, classes: ClassTable, hidden: frozenset[int]) -> None:
        """Set the colours of the classes, and which are hidden."""
        if (classes, hidden) != self._drawn:
            self._drawn = classes, hidden
            self.colormap = class_colors(classes, hidden, _BETWEEN)

    def _levels(self, mask: Mask) -> MultiScaleData:
        return levels(mask, self._find)

    def _find(self, mask: Mask, region: Region, level: int) -> UInt8Array:
        classes, probabilities = self._tiles.read(region, level)
        shown = (classes > BACKGROUND) & (probabilities >= least_probability(self._threshold))
        shown &= mask.preview(region, level)[0] == UNLABELLED
        hatched: UInt8Array = (classes | _stripes(region, self._stripe(level))) * shown
        return hatched

    def _stripe(self, level: int) -> int:
        """Return how wide a stripe is, in pixels of a level: narrower where a pixel is large on screen."""
        on_screen = float(self.scale[-1]) * 2**level / max(float(self.scale_factor), 1e-9)
        return max(_THINNEST, min(_STRIPE, 1 << round(math.log2(max(2 * _STRIPE / on_screen, 1)))))


def _stripes(region: Region, width: int) -> UInt8Array:
    """Return what is added to the classes of a box, 0 on a stripe; neighbouring boxes fit together."""
    period = 2 * width
    diagonal = np.add.outer(np.arange(period), np.arange(period)) // width % 2
    top, left = region.top % period, region.left % period
    times = (-(-(top + region.height) // period), -(-(left + region.width) // period))
    tiled = np.tile((diagonal * UNREVIEWED_OFFSET).astype(np.uint8), times)
    return tiled[top : top + region.height, left : left + region.width]
