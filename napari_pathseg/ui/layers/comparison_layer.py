"""A layer over the mask of a complete slide that shows where a model differs from it; it cannot be painted.

Like `mask_layer` it relies on napari's private API, and is used only where `can_paint_pyramids` is True.
"""

from typing import Any

import numpy as np
from napari.layers import Labels
from napari.layers._multiscale_data import MultiScaleData

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Agreement, Opinion, agreement
from napari_pathseg.ui.layers.class_labels import TableColormap
from napari_pathseg.ui.layers.mask_data import MaskLevel

DIFFERENCE_COLORS = {  # of Okabe and Ito, which colour-blind people can tell apart
    Agreement.ONLY_PERSON: "#0072b2",
    Agreement.ONLY_MODEL: "#f0e442",
}
_OPACITY = 0.75


class ComparisonLayer(Labels):  # type: ignore[misc]
    """Where a model's opinion agrees with a mask and where it does not, computed for the tile on screen."""

    def __init__(self, mask: Mask, opinion: Opinion | None, **settings: Any) -> None:
        colors: dict[int | None, Any] = {None: (0, 0, 0, 0), 0: (0, 0, 0, 0)}  # where both agree, the mask shows
        for value, color in DIFFERENCE_COLORS.items():
            red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
            colors[int(value)] = red, green, blue, _OPACITY
        super().__init__(_levels(mask, opinion), multiscale=True, colormap=TableColormap(color_dict=colors), **settings)

    def compare(self, mask: Mask, opinion: Opinion | None) -> None:
        """Compare another mask, or another opinion."""
        self.data = _levels(mask, opinion)

    def update(self) -> None:
        """Compare again what is on screen, after the mask changed."""
        if self.visible:
            self.refresh(extent=False, thumbnail=False)

    @property
    def _type_string(self) -> str:
        return "labels"

    def _reset_thumbnail_level_data(self) -> None:
        super()._reset_thumbnail_level_data()
        self._level_materializer = None  # it would cache the coarsest level

    def _ensure_int_labels(self, data: Any) -> Any:
        return data

    def _reset_editable(self) -> None:
        self.editable = False


def _levels(mask: Mask, opinion: Opinion | None) -> MultiScaleData:
    def read(mask: Mask, region: Region, level: int) -> UInt8Array:
        if opinion is None:
            return np.zeros((region.height, region.width), np.uint8)
        return agreement(mask.preview(region, level), opinion.read(region, level))

    return MultiScaleData([MaskLevel(mask, level, read) for level in range(len(mask.shapes))])
