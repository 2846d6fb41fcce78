"""A layer between slide and mask with what the live model finds where nothing is labelled; it is never saved.

It is hatched, in the colours of the classes: what a person draws or accepts is solid.
"""

from typing import Any

import numpy as np
from napari.layers._multiscale_data import MultiScaleData

from napari_pathseg.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.ui.layers.class_labels import class_colors
from napari_pathseg.ui.layers.computed_labels import ComputedLabels, levels
from napari_pathseg.ui.layers.live_tiles import LiveTiles, above_threshold
from napari_pathseg.ui.layers.mask_data import UNREVIEWED_OFFSET

DEFAULT_OPACITY = 0.35
_BETWEEN = 0.25  # opacity between the stripes, relative to that of the stripes
_STRIPE = np.uint8(4)  # pixels of the level shown, one or two on screen; a power of 2, half of a stripe and its gap
_AS_BETWEEN = np.uint8(UNREVIEWED_OFFSET // 4)


class LiveLayer(ComputedLabels):
    """The live model's classes other than Background."""

    def __init__(self, mask: Mask, tiles: LiveTiles, **settings: Any) -> None:
        self._tiles, self._threshold = tiles, 0.5
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
        found = above_threshold(self._tiles.read(region, level), self._threshold)
        shown = (found > BACKGROUND) & (mask.preview(region, level)[0] == UNLABELLED)
        rows, columns = ((np.arange(part.start, part.stop) % 8).astype(np.uint8) for part in region.slices)
        between = ((rows[:, None] + columns) & _STRIPE) * _AS_BETWEEN
        hatched: UInt8Array = np.where(shown, found | between, np.uint8(UNLABELLED))
        return hatched
