"""How a mask is shown: the tile of a level that is on screen, redrawn box by box.

The model's pixels that nobody reviewed are lighter than a person's.  This leans on napari's
private API; see `mask_layer`.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers.labels.labels import _LabelsSlicingState

from napari_pathseg.classes import ClassTable
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.stroke_queue import Stroke, paint_all
from napari_pathseg.ui.layers.class_labels import ClassLabels
from napari_pathseg.ui.layers.mask_data import UNREVIEWED_OFFSET, DisplayLevel, MaskData, decode_display, encode_display


class _Slicing(_LabelsSlicingState):  # type: ignore[misc]
    """Gives napari the levels as they are shown."""

    def _make_slice_request_internal(self, **parts: Any) -> Any:
        request = super()._make_slice_request_internal(**parts)
        mask = self.layer.mask
        shown, small = DisplayLevel(mask, request.data_level), DisplayLevel(mask, request.thumbnail_level)
        return replace(request, data_at_data_level=shown, data_at_thumbnail_level=small)


class MaskView(ClassLabels):
    """A labels layer that shows a mask.

    Attributes
    ----------
    in_view
        The box of the mask that is on screen, as far as is known.
    """

    def __init__(self, mask: Mask, classes: ClassTable, **settings: Any) -> None:
        self.in_view = Region(0, 0, *mask.shape)
        super().__init__(MaskData(mask), multiscale=True, **settings)
        self._take(mask)
        self.set_classes(classes)

    @property
    def mask(self) -> Mask:
        """The mask that is shown."""
        mask: Mask = self._data[0].mask
        return mask

    def set_mask(self, mask: Mask) -> None:
        """Show another mask."""
        self.data = MaskData(mask)
        self._take(mask)
        self._reset_history()

    def _take(self, mask: Mask) -> None:
        self._data = MaskData(mask)
        self._level_materializer = None  # it would keep the coarsest level as it was
        self.in_view = Region(0, 0, *mask.shape)
        self.editable = mask.writable

    def show(self, region: Region) -> None:
        """Bring a box of the mask that was changed to the screen."""
        tile, level = self._tile(), self.data_level
        box = region.coarser(2**level).intersect(tile)
        if not box.empty:
            self._draw_box(box, encode_display(self.mask.preview(box, level)))

    def _preview(self, stroke: Stroke) -> None:
        """Paint a stroke on the screen alone."""
        tile, step = self._tile(), 2**self.data_level
        box = stroke.shape.box.coarser(step).intersect(tile)
        if box.empty:
            return
        here = box.shift(-tile.top, -tile.left).slices
        after = paint_all([stroke], box, decode_display(self._slice.image.raw[here]), step)
        self._draw_box(box, encode_display(after))

    def _tile(self) -> Region:
        """Return the box of the level shown that is in napari's hands."""
        rows, columns = self._slice.image.raw.shape
        if self._slice.empty:
            return EMPTY_REGION
        top, left = np.round(self._slice.tile_to_data.translate[-2:] / 2**self.data_level).astype(int)
        return Region(int(top), int(left), rows, columns)

    def _draw_box(self, box: Region, shown: UInt8Array) -> None:
        """Put what is shown into a box of the tile, and that alone on the graphics card."""
        tile, image = self._tile(), self._slice.image
        here = box.shift(-tile.top, -tile.left)
        if not image.raw.flags.writeable:
            self.refresh(extent=False, thumbnail=False)
            return
        image.raw[here.slices] = shown
        reach = self.contour + 1 if self.contour else 0
        wide = Region(here.top - reach, here.left - reach, here.height + 2 * reach, here.width + 2 * reach)
        wide = wide.clip(image.raw.shape)
        image.view[wide.slices] = self._raw_to_displayed(image.raw, wide.slices)
        if self._slicing_state.loaded:
            self.events.labels_update(data=image.view[wide.slices], offset=[wide.top, wide.left])

    def _raw_to_displayed(self, raw: Any, data_slice: Any = None) -> Any:
        part = raw if data_slice is None else raw[data_slice]
        if not self.contour:
            return part.copy()
        labels = super()._raw_to_displayed(raw % np.uint8(UNREVIEWED_OFFSET), data_slice)
        return np.where(labels > 0, part, np.uint8(0))

    def _update_level_and_corners(self, data_bbox_int: Any, shape_threshold: Any, displayed_axes: Any) -> None:
        (top, left), (bottom, right) = np.asarray(data_bbox_int)
        self.in_view = Region(int(top), int(left), int(bottom - top) + 1, int(right - left) + 1).clip(self.mask.shape)
        super()._update_level_and_corners(data_bbox_int, shape_threshold, displayed_axes)

    def _get_layer_slicing_state(self, data: Any, cache: bool) -> _Slicing:
        return _Slicing(self, data, cache)

    def _get_value(self, position: Any) -> tuple[int, int | None]:
        """Return the level shown and the class at a position."""
        level, shown = super()._get_value(position)
        return level, None if shown is None else int(shown) % UNREVIEWED_OFFSET

    def _ensure_int_labels(self, data: Any) -> Any:
        return data

    def _reset_editable(self) -> None:
        self.editable = self.mask.writable
