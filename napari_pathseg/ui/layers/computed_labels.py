"""Labels that are computed for what is on screen, over the mask of the slide in view; they cannot be painted.

Like `mask_layer` this relies on napari's private API, and is used only where `can_paint_pyramids` is True.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.layers._multiscale_data import MultiScaleData
from napari.layers.labels.labels import _LabelsSlicingState

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.ui.layers.loaded_tile import draw_box, loaded_tile
from napari_pathseg.ui.layers.mask_data import MaskLevel
from napari_pathseg.ui.layers.read_on_screen import ReadOnScreen


class _Slicing(_LabelsSlicingState):  # type: ignore[misc]
    """Computes nothing for the thumbnail, which would take as long as the screen."""

    def _make_slice_request_internal(self, **parts: Any) -> Any:
        request = super()._make_slice_request_internal(**parts)
        level: MaskLevel = self.layer.data[request.thumbnail_level]
        return replace(request, data_at_thumbnail_level=MaskLevel(level.mask, level.level, _nothing))


class ComputedLabels(ReadOnScreen, Labels):  # type: ignore[misc]
    """A pyramid of labels with the shapes of a mask's levels, read box by box when it is drawn."""

    slicing = _Slicing

    def redraw(self) -> None:
        """Compute again what is on screen."""
        if self.visible:
            self.refresh(extent=False, thumbnail=False)

    def redraw_box(self, region: Region) -> None:
        """Compute a box of the mask's grid again, as far as it is on screen."""
        level = self.data_level
        box = region.coarser(2**level).intersect(loaded_tile(self))
        if self.visible and not box.empty:
            draw_box(self, box, self.data[level][box.slices])

    @property
    def _type_string(self) -> str:
        return "labels"

    def _ensure_int_labels(self, data: Any) -> Any:
        return data

    def _reset_editable(self) -> None:
        self.editable = False


def _nothing(_: Mask, region: Region, __: int) -> UInt8Array:
    return np.zeros((region.height, region.width), np.uint8)


def levels(mask: Mask, read: Callable[[Mask, Region, int], UInt8Array]) -> MultiScaleData:
    """Return the data of a layer over a mask; `read` returns a box of a level."""
    return MultiScaleData([MaskLevel(mask, level, read) for level in range(len(mask.shapes))])
