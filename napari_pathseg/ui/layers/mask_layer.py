"""The mask as an ordinary napari labels layer: a pyramid that can be painted.

napari cannot paint a pyramid.  Here a stroke goes to `masks`, which writes it to the journal at once
and applies it in the background; on screen it is painted on the tile that is shown, redrawn region by
region.  So the cost of a stroke depends on the screen area it covers, not on the slide area.  Unreviewed
model pixels are lighter than human-confirmed ones.

This module relies on napari's private API.  `can_paint_pyramids` checks that it is the known one;
otherwise `plain_mask_layer` is used.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import napari
import numpy as np
from napari.layers import Labels
from napari.layers.labels._labels_constants import Mode
from napari.layers.labels.labels import _LabelsSlicingState
from psygnal import Signal
from scipy import ndimage

from napari_pathseg.classes import ClassTable
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.shapes import BitmapShape, BrushSegment, PolygonShape, Shape
from napari_pathseg.masks.stroke_queue import Brush, Stroke, paint_all
from napari_pathseg.ui.layers.class_labels import ClassLabels
from napari_pathseg.ui.layers.loaded_tile import draw_box, loaded_tile
from napari_pathseg.ui.layers.mask_data import UNREVIEWED_OFFSET, MaskData, MaskLevel, encode_display, read_display
from napari_pathseg.ui.layers.mouse import brush_drag, pick
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer

_MIN_RADIUS = 0.7072  # a brush of one pixel covers the pixel it is on
_REDRAW_INTERVAL_S = 0.25  # between two redraws of applied edits
_IMMEDIATE_BUDGET_S = 0.05  # spent on pending operations at once


class _Slicing(_LabelsSlicingState):  # type: ignore[misc]
    """Passes napari the levels as they are displayed."""

    def _make_slice_request_internal(self, **parts: Any) -> Any:
        request = super()._make_slice_request_internal(**parts)
        mask = self.layer.mask
        shown, small = (MaskLevel(mask, level, read_display) for level in (request.data_level, request.thumbnail_level))
        return replace(request, data_at_data_level=shown, data_at_thumbnail_level=small)


class MaskLayer(ClassLabels):
    """A labels layer on a mask.  `undo` and `redo` are the mask's, so they cover imports and predictions too.

    Signals: `pending_changed` (there are operations for :meth:`process_pending`), `changed` (a region has changed).

    Attributes
    ----------
    visible_region
        The region of the mask on screen, as far as it is known.
    limit
        Returns the part of a stroke of the brush, which paints a class, that is to be painted; None for none of it.
    """

    pending_changed = Signal()
    changed = Signal(Region)
    limit: Callable[[Shape, int], Shape | None] | None = None
    _shown = 0.0  # when applied edits were last drawn
    _loaded: tuple[UInt8Array, UInt8Array] | None = None  # the tile as napari shows it, and its labels and provenance

    _drag_modes: ClassVar[dict[Any, Any]] = {
        **Labels._drag_modes,
        Mode.PAINT: brush_drag,
        Mode.ERASE: brush_drag,
        Mode.FILL: brush_drag,
        Mode.PICK: pick,
    }
    _move_modes: ClassVar[dict[Any, Any]] = {
        **Labels._move_modes,
        Mode.PAINT: Labels._move_modes[Mode.PAN_ZOOM],  # Alt subtracts; the brush has a slider
        Mode.ERASE: Labels._move_modes[Mode.PAN_ZOOM],
    }

    def __init__(self, mask: Mask, classes: ClassTable, **settings: Any) -> None:
        self.visible_region = Region(0, 0, *mask.shape)
        super().__init__(MaskData(mask), multiscale=True, **settings)
        self._attach_mask(mask)
        self.set_classes(classes)

    @property
    def mask(self) -> Mask:
        """The mask of the layer."""
        mask: Mask = self._data[0].mask
        return mask

    def set_mask(self, mask: Mask) -> None:
        """Show another mask."""
        self.data = MaskData(mask)
        self._attach_mask(mask)
        self._reset_history()
        self.data.locked = self.locked_classes

    def _mode_setter_helper(self, mode: Any) -> Any:
        mode = super()._mode_setter_helper(mode)
        if "brush_stroke" in self._overlays:  # napari's own lasso, which stays active after the button is released
            self._overlays["brush_stroke"].enabled = False
        return mode

    # -- painting

    def stroke(self, shape: Shape, label: int, only: int | None = None) -> None:
        """Paint a shape; with `only`, replace only pixels of that label.

        Raises
        ------
        ProjectError
            If the stroke cannot be written to disk; nothing is painted then.
        """
        stroke = self._stroke(shape, label, only)
        self.mask.add_stroke(stroke)
        self._preview(stroke)
        if not self._block_history:
            self._end_step()
        self.pending_changed.emit()

    def preview_stroke(self, shape: Shape, label: int) -> None:
        """Show what painting a shape would do, until `drop_preview`; the mask does not change."""
        self._preview(self._stroke(shape, label, None))

    def drop_preview(self, region: Region) -> None:
        """Show a region of the mask as it is."""
        self._redraw(region)

    def _stroke(self, shape: Shape, label: int, only: int | None) -> Stroke:
        if only is None and self.preserve_labels:  # napari's own check box
            only = self._get_preserve_labels_source_label(label)
        return Stroke(shape, Brush(label, only, self.locked_classes))

    def paint(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Paint with the brush at one point."""
        self._validate_label_in_range(new_label)
        self.paint_segment(coord, coord, new_label)

    def _draw(self, new_label: int, last_cursor_coord: Any, coordinates: Any) -> None:
        self.draw_segment(new_label, last_cursor_coord, coordinates)

    def draw_segment(self, new_label: int, last_cursor_coord: Any, coordinates: Any) -> None:
        """Paint, erase or fill, depending on the mode, from the last cursor position to the current one."""
        if coordinates is None:
            return
        if self._mode == Mode.FILL:
            self.fill(coordinates, new_label)
        elif self._mode in (Mode.PAINT, Mode.ERASE):
            start = coordinates if last_cursor_coord is None else last_cursor_coord
            shape: Shape | None = self._segment(start, coordinates)
            if self.limit is not None and new_label:
                shape = self.limit(self._segment(start, coordinates), new_label)
            if shape is not None:
                self.stroke(shape, new_label)

    def paint_segment(self, start: Sequence[float], end: Sequence[float], label: int) -> None:
        """Paint with the brush from one point to another."""
        self.stroke(self._segment(start, end), label)

    def _segment(self, start: Sequence[float], end: Sequence[float]) -> BrushSegment:
        ends = [(float(point[-2]), float(point[-1])) for point in (start, end)]
        return BrushSegment(ends[0], ends[1], max(self.brush_size / 2, _MIN_RADIUS))

    def fill(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Flood-fill the area of one label around a point, within the view."""
        self._validate_label_in_range(new_label)
        step, tile = 2**self.data_level, loaded_tile(self)
        row, column = (round(value) for value in coord[-2:])
        inside = Region(row, column, 1, 1).intersect(self.visible_region.clip(self.mask.shape))
        if inside.empty:
            return
        window = self.visible_region.coarser(step).intersect(tile)
        labels = self._slice.image.raw[window.shift(-tile.top, -tile.left).slices] % UNREVIEWED_OFFSET
        seed = (row // step - window.top, column // step - window.left)
        if not (0 <= seed[0] < labels.shape[0] and 0 <= seed[1] < labels.shape[1]):
            return
        found = labels == labels[seed]
        if self.contiguous:
            parts, _ = ndimage.label(found)
            found = parts == parts[seed]
        self.stroke(BitmapShape(found, window, step), new_label, int(labels[seed]))

    def paint_polygon(self, points: Any, new_label: int) -> None:
        """Fill a polygon."""
        self._validate_label_in_range(new_label)
        self.stroke(PolygonShape([np.asarray(points, float)[:, -2:]]), new_label)

    def data_setitem(self, indices: Any, value: Any, refresh: bool = True) -> None:
        """Set single pixels."""
        self._data[indices] = value
        rows, columns = (np.asarray(part) for part in indices[-2:])
        top, left = int(rows.min()), int(columns.min())
        self.show(Region(top, left, int(rows.max()) + 1 - top, int(columns.max()) + 1 - left))
        if not self._block_history:
            self._end_step()

    def _commit_staged_history(self) -> None:
        self._end_step()

    def _abort_stroke(self) -> None:
        self._block_history = False
        self.undo()

    def _end_step(self) -> None:
        """End the undo group and notify listeners that pixels changed."""
        self.mask.end_undo_group()
        self.events.paint(value=[])

    def undo(self) -> None:
        """Undo the last step, also an import or a prediction."""
        if self.mask.writable:
            self.mask.enqueue_undo()
            self.apply_pending()

    def redo(self) -> None:
        """Redo the last undone step."""
        if self.mask.writable:
            self.mask.enqueue_redo()
            self.apply_pending()

    def apply_pending(self) -> None:
        """Apply pending operations for at most 50 ms; :meth:`process_pending` does the rest."""
        try:
            self.process_pending(_IMMEDIATE_BUDGET_S)
        finally:
            self.events.paint(value=[])
            if self.mask.has_pending:
                self.pending_changed.emit()

    def process_pending(self, budget_s: float) -> bool:
        """Apply pending operations for at most `budget_s` seconds; return whether any are left.

        Strokes are already on screen in their final form, so changes are drawn only at intervals.
        """
        try:
            self.mask.process_pending(budget_s)
        finally:
            if (
                not self.mask.has_pending
                or self.mask.write_failed
                or time.perf_counter() - self._shown > _REDRAW_INTERVAL_S
            ):
                self.refresh_changed()
        return self.mask.has_pending

    def refresh_changed(self) -> None:
        """Draw what was applied since the last call."""
        self._shown = time.perf_counter()
        self.show(self.mask.pop_changed())

    # -- display

    def _attach_mask(self, mask: Mask) -> None:
        self._data = MaskData(mask)
        self._level_materializer = None  # it would cache the coarsest level
        self.visible_region = Region(0, 0, *mask.shape)
        self.editable = mask.writable

    def show(self, region: Region) -> None:
        """Redraw a region of the mask that changed."""
        if not region.empty:
            self._redraw(region)
            self.changed.emit(region)

    def _redraw(self, region: Region) -> None:
        box = region.coarser(2**self.data_level).intersect(loaded_tile(self))
        if not box.empty:
            self._draw_pixels(box, self.mask.preview(box, self.data_level))

    def _preview(self, stroke: Stroke) -> None:
        """Draw a stroke, which the mask's queue holds, on screen only."""
        tile, step = loaded_tile(self), 2**self.data_level
        box = stroke.shape.box.coarser(step).intersect(tile)
        if box.empty:
            return
        pixels = self._loaded_pixels()
        if pixels is None:
            pixels = self.mask.preview(tile, self.data_level)
            self._loaded = self._slice.image.raw, pixels
        here = box.shift(-tile.top, -tile.left).slices
        self._draw_pixels(box, paint_all([stroke], box, pixels[:, *here], step))  # no change if it was read with it

    def _loaded_pixels(self) -> UInt8Array | None:
        """Return labels and provenance of the tile; None if napari has loaded another since.

        The displayed values would not do: what the eraser leaves depends on who set a pixel.
        """
        return None if self._loaded is None or self._loaded[0] is not self._slice.image.raw else self._loaded[1]

    def _draw_pixels(self, box: Region, pixels: UInt8Array) -> None:
        tile, loaded = loaded_tile(self), self._loaded_pixels()
        if loaded is not None:
            loaded[:, *box.shift(-tile.top, -tile.left).slices] = pixels
        draw_box(self, box, encode_display(pixels))

    def _raw_to_displayed(self, raw: Any, data_slice: Any = None) -> Any:
        part = raw if data_slice is None else raw[data_slice]
        if not self.contour:
            return part.copy()
        labels = super()._raw_to_displayed(raw % np.uint8(UNREVIEWED_OFFSET), data_slice)
        return np.where(labels > 0, part, np.uint8(0))

    def _update_level_and_corners(self, data_bbox_int: Any, shape_threshold: Any, displayed_axes: Any) -> None:
        (top, left), (bottom, right) = np.asarray(data_bbox_int)
        self.visible_region = Region(int(top), int(left), int(bottom - top) + 1, int(right - left) + 1).clip(
            self.mask.shape
        )
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


_TESTED_VERSIONS = ((0, 9),)
_PRIVATE_NAMES = (
    "_slice",
    "_draw",
    "_commit_staged_history",
    "_update_level_and_corners",
    "_get_layer_slicing_state",
    "_raw_to_displayed",
    "_ensure_int_labels",
    "_abort_stroke",
    "_drag_modes",
    "_move_modes",
    "_get_preserve_labels_source_label",
    "_mode_setter_helper",
)


def can_paint_pyramids() -> bool:
    """Return whether this version of napari is one that `MaskLayer` was tested with."""
    known = any(napari.__version__.startswith(".".join(map(str, one)) + ".") for one in _TESTED_VERSIONS)
    return known and all(hasattr(Labels, name) for name in _PRIVATE_NAMES)


def make_mask_layer(mask: Mask, classes: ClassTable, **settings: Any) -> "MaskLayer | PlainMaskLayer":
    """Return a layer on a mask: a pyramid if this napari supports it, else a plain one."""
    return (MaskLayer if can_paint_pyramids() else PlainMaskLayer)(mask, classes, **settings)
