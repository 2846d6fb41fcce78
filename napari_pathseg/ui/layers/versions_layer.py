"""A layer over the mask that shows what two models have predicted: one left of a column, the other right of it."""

from typing import Any

import numpy as np

from napari_pathseg.classes import BACKGROUND, ClassTable
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Opinion
from napari_pathseg.ui.layers.class_labels import class_colors
from napari_pathseg.ui.layers.computed_labels import ComputedLabels, levels

_OPACITY = 0.6


class TwoVersions:
    """What two models find on a slide.

    Attributes
    ----------
    split
        The column of the mask's grid where the second one begins: 0 for the second alone.
    """

    def __init__(self, first: Opinion, second: Opinion) -> None:
        self._first, self._second = first, second
        self.split = 0

    def read(self, _: Mask, region: Region, level: int) -> UInt8Array:
        """Return the classes other than Background in a box of a level."""
        edge = min(max(-(-self.split // 2**level) - region.left, 0), region.width)
        found = np.zeros((region.height, region.width), np.uint8)
        if edge > 0:
            found[:, :edge] = self._first.read(region, level)[:, :edge]
        if edge < region.width:
            found[:, edge:] = self._second.read(region, level)[:, edge:]
        found[found <= BACKGROUND] = 0
        return found


class VersionsLayer(ComputedLabels):
    """The classes of two models other than Background, in their colours."""

    def __init__(self, mask: Mask, versions: TwoVersions, classes: ClassTable, **settings: Any) -> None:
        colors = class_colors(classes)
        super().__init__(levels(mask, versions.read), multiscale=True, colormap=colors, opacity=_OPACITY, **settings)

    def show(self, mask: Mask, versions: TwoVersions, classes: ClassTable) -> None:
        """Show two others, or another slide."""
        self.colormap = class_colors(classes)
        self.data = levels(mask, versions.read)
