"""The mask as an ordinary napari labels layer that is a pyramid and can be painted.

napari paints no pyramid.  Here a stroke is told to `data.mask`, which keeps it safe at once
and carries it out by and by; on screen it is painted on the tile that is shown.  So a stroke
costs what it covers of the screen, whatever it covers of the slide.  This and `mask_view`
lean on napari's private API; `can_paint_pyramids` says whether it is as it was, else
`plain_mask_layer` serves.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import napari
import numpy as np
from napari.layers import Labels
from napari.layers.labels._labels_constants import Mode
from napari.layers.labels._labels_utils import mouse_event_to_labels_coordinate
from psygnal import Signal
from scipy import ndimage

from napari_pathseg.classes import ClassTable
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.shapes import BitmapShape, BrushSegment, PolygonShape, Shape
from napari_pathseg.masks.stroke_queue import Brush, Stroke
from napari_pathseg.ui.layers.lasso_fill import lasso_fill
from napari_pathseg.ui.layers.mask_data import UNREVIEWED_OFFSET
from napari_pathseg.ui.layers.mask_view import MaskView
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer

_SMALLEST_RADIUS = 0.7072  # a brush of one pixel covers the pixel it is on
_SHOWN_EVERY_S = 0.25
_NOT_FELT_S = 0.05
_SUBTRACT = "Alt"  # held while a stroke begins it erases
_RIGHT = 2  # the mouse button


def brush_drag(layer: "MaskLayer", event: Any) -> Iterator[None]:
    """Paint, erase or fill while the mouse is down; with Alt erase, with the right button round an area."""
    label = 0 if layer.mode == Mode.ERASE or _SUBTRACT in event.modifiers else layer.selected_label
    if event.button == _RIGHT and layer.mode != Mode.FILL:
        yield from lasso_fill(layer, event, label)
        return
    last = mouse_event_to_labels_coordinate(layer, event)
    with layer.block_history():
        layer._draw(label, last, last)
        yield
        while event.type == "mouse_move":
            here = mouse_event_to_labels_coordinate(layer, event)
            if layer.mode != Mode.FILL:
                layer._draw(label, last, here)
            last = here
            yield


def pick(layer: "MaskLayer", event: Any) -> None:
    """Take the class that is under the mouse in hand."""
    found = layer.get_value(
        event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
    )
    layer.selected_label = (found[1] if found else None) or 0


class MaskLayer(MaskView):
    """A labels layer on a mask; `undo` and `redo` are the mask's, so they know imports and predictions too.

    Signals: `pending_changed` (there is work for :meth:`process_pending`).
    """

    pending_changed = Signal()
    _shown = 0.0  # when what was carried out was drawn last

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

    def set_mask(self, mask: Mask) -> None:
        """Show another mask."""
        super().set_mask(mask)
        self.data.locked = self.locked_classes

    def _mode_setter_helper(self, mode: Any) -> Any:
        mode = super()._mode_setter_helper(mode)
        if "brush_stroke" in self._overlays:  # napari's own ring, which outlives the mouse button
            self._overlays["brush_stroke"].enabled = False
        return mode

    # -- painting

    def stroke(self, shape: Shape, label: int, only: int | None = None) -> None:
        """Paint a shape, pixels of the label `only` alone where that is given.

        Raises
        ------
        ProjectError
            If the disk does not take it; nothing is painted then.
        """
        if only is None and self.preserve_labels:  # napari's own tick
            only = self._get_preserve_labels_source_label(label)
        stroke = Stroke(shape, Brush(label, only, self.locked_classes))
        self.mask.add_stroke(stroke)
        self._preview(stroke)
        if not self._block_history:
            self._end_step()
        self.pending_changed.emit()

    def paint(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Paint one stamp of the brush."""
        self._validate_label_in_range(new_label)
        self.pull(coord, coord, new_label)

    def _draw(self, new_label: int, last_cursor_coord: Any, coordinates: Any) -> None:
        """Paint from where the cursor was to where it is."""
        if coordinates is None:
            return
        if self._mode == Mode.FILL:
            self.fill(coordinates, new_label)
        elif self._mode in (Mode.PAINT, Mode.ERASE):
            self.pull(coordinates if last_cursor_coord is None else last_cursor_coord, coordinates, new_label)

    def pull(self, start: Sequence[float], end: Sequence[float], label: int) -> None:
        """Paint with the brush from one point to another."""
        radius = max(self.brush_size / 2, _SMALLEST_RADIUS)
        ends = [(float(point[-2]), float(point[-1])) for point in (start, end)]
        self.stroke(BrushSegment(ends[0], ends[1], radius), label)

    def fill(self, coord: Sequence[float], new_label: int, refresh: bool = True) -> None:
        """Give what is of one label around a point another one, as far as it is in view."""
        self._validate_label_in_range(new_label)
        step, tile = 2**self.data_level, self._tile()
        row, column = (round(value) for value in coord[-2:])
        inside = Region(row, column, 1, 1).intersect(self.in_view.clip(self.mask.shape))
        if inside.empty:
            return
        window = self.in_view.coarser(step).intersect(tile)
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
        """End what is undone as one, and tell those who count pixels."""
        self.mask.end_undo_group()
        self.events.paint(value=[])

    def undo(self) -> None:
        """Take the last step back, whoever made it."""
        if self.mask.writable:
            self.mask.enqueue_undo()
            self.apply_pending()

    def redo(self) -> None:
        """Do the step again that was taken back last."""
        if self.mask.writable:
            self.mask.enqueue_redo()
            self.apply_pending()

    def apply_pending(self) -> None:
        """Carry out what was begun as far as that is not felt; the rest is left to :meth:`process_pending`."""
        try:
            self.process_pending(_NOT_FELT_S)
        finally:
            self.events.paint(value=[])
            if self.mask.has_pending:
                self.pending_changed.emit()

    def process_pending(self, budget_s: float) -> bool:
        """Carry out what waits for so long; return whether more does.

        Strokes are on screen already as they are going to be, so what changed is drawn now and then.
        """
        try:
            self.mask.process_pending(budget_s)
        finally:
            if (
                not self.mask.has_pending
                or self.mask.write_failed
                or time.perf_counter() - self._shown > _SHOWN_EVERY_S
            ):
                self.refresh_changed()
        return self.mask.has_pending

    def refresh_changed(self) -> None:
        """Bring to the screen what was carried out since the last time."""
        self._shown = time.perf_counter()
        self.show(self.mask.pop_changed())


_KNOWN = ((0, 9),)  # versions of napari that were tried
_PRIVATE = (
    "_slice", "_draw", "_commit_staged_history", "_update_level_and_corners", "_get_layer_slicing_state",
    "_raw_to_displayed", "_ensure_int_labels", "_abort_stroke", "_drag_modes", "_move_modes",
    "_get_preserve_labels_source_label", "_mode_setter_helper",
)  # fmt: skip


def can_paint_pyramids() -> bool:
    """Whether this napari is one in which `MaskLayer` works."""
    known = any(napari.__version__.startswith(".".join(map(str, one)) + ".") for one in _KNOWN)
    return known and all(hasattr(Labels, name) for name in _PRIVATE)


def make_mask_layer(mask: Mask, classes: ClassTable, **settings: Any) -> "MaskLayer | PlainMaskLayer":
    """Return a layer on a mask: a pyramid where napari allows it, else a plain one."""
    return (MaskLayer if can_paint_pyramids() else PlainMaskLayer)(mask, classes, **settings)
