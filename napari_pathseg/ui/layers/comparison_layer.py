"""A layer over the mask of a complete slide that shows where a model differs from it."""

from typing import Any

import numpy as np
from napari.layers._multiscale_data import MultiScaleData

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Agreement, Opinion, agreement
from napari_pathseg.ui.layers.class_labels import TableColormap
from napari_pathseg.ui.layers.computed_labels import ComputedLabels, levels

DIFFERENCE_COLORS = {  # of Okabe and Ito, which colour-blind people can tell apart
    Agreement.ONLY_PERSON: "#0072b2",
    Agreement.ONLY_MODEL: "#f0e442",
}
_OPACITY = 0.75


class ComparisonLayer(ComputedLabels):
    """Where a model's opinion agrees with a mask and where it does not."""

    def __init__(self, mask: Mask, opinion: Opinion | None, **settings: Any) -> None:
        colors: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}  # where both agree, the mask shows
        for value, color in DIFFERENCE_COLORS.items():
            red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
            colors[int(value)] = red, green, blue, _OPACITY
        colormap = TableColormap(color_dict=colors)
        super().__init__(_differences(mask, opinion), multiscale=True, colormap=colormap, **settings)

    def compare(self, mask: Mask, opinion: Opinion | None) -> None:
        """Compare another mask, or another opinion."""
        self.data = _differences(mask, opinion)


def _differences(mask: Mask, opinion: Opinion | None) -> MultiScaleData:
    def read(mask: Mask, region: Region, level: int) -> UInt8Array:
        if opinion is None:
            return np.zeros((region.height, region.width), np.uint8)
        return agreement(mask.preview(region, level), opinion.read(region, level))

    return levels(mask, read)
