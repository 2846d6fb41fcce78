"""Mouse callbacks of the mask layer: brush and eraser, lasso fill, and the class picker.

napari's own lasso begins with a right click and ends where it began; dragging instead leaves its brush
attached to the mouse.  Here a gesture ends when the button is released.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy as np
from napari.layers.labels._labels_constants import Mode
from napari.layers.labels._labels_utils import mouse_event_to_labels_coordinate

from napari_pathseg.contours.contour import enclosed_rings
from napari_pathseg.masks.shapes import PolygonShape, Shape

_MAX_CLICK_MOVE = 5.0  # screen pixels
_ERASE_KEY = "Alt"  # held at the start of a stroke
_RIGHT_BUTTON = 2


class PaintableLayer(Protocol):
    """A mask layer as the callbacks use it."""

    mode: Any
    selected_label: int

    def block_history(self) -> AbstractContextManager[None]:
        """Combine everything painted within the block into one undo step."""

    def draw_segment(self, label: int, start: Any, end: Any) -> None:
        """Paint, erase or fill, as the layer's mode says, from one data position to another."""

    def paint_segment(self, start: Sequence[float], end: Sequence[float], label: int) -> None:
        """Paint with the brush from one data position to another."""

    def stroke(self, shape: Shape, label: int) -> None:
        """Paint a shape."""

    def get_value(self, position: Any, **view: Any) -> Any:
        """Return the level and the label at a position."""


def brush_drag(layer: PaintableLayer, event: Any) -> Iterator[None]:
    """Paint, erase or fill while the mouse is down; erase with Alt; lasso with the right button."""
    label = 0 if layer.mode == Mode.ERASE or _ERASE_KEY in event.modifiers else layer.selected_label
    if event.button == _RIGHT_BUTTON and layer.mode != Mode.FILL:
        yield from lasso_fill(layer, event, label)
        return
    last = mouse_event_to_labels_coordinate(layer, event)
    with layer.block_history():
        layer.draw_segment(label, last, last)
        yield
        while event.type == "mouse_move":
            here = mouse_event_to_labels_coordinate(layer, event)
            if layer.mode != Mode.FILL:
                layer.draw_segment(label, last, here)
            last = here
            yield


def lasso_fill(layer: PaintableLayer, event: Any, label: int) -> Iterator[None]:
    """Paint along the mouse while it is down, then fill the enclosed area: one undo step; a click does nothing."""
    pressed, start = np.array(event.pos), mouse_event_to_labels_coordinate(layer, event)
    yield
    while event.type == "mouse_move" and float(np.hypot(*(np.array(event.pos) - pressed))) <= _MAX_CLICK_MOVE:
        yield
    if event.type != "mouse_move" or start is None:
        return
    line = [start]
    with layer.block_history():
        while event.type == "mouse_move":
            here = mouse_event_to_labels_coordinate(layer, event)
            if here is not None:
                layer.paint_segment(line[-1], here, label)
                line.append(here)
            yield
        layer.paint_segment(line[-1], start, label)
        rings = enclosed_rings(np.asarray(line, np.float64)[:, -2:])
        if rings:
            layer.stroke(PolygonShape(rings), label)


def pick(layer: PaintableLayer, event: Any) -> None:
    """Select the class under the mouse."""
    found = layer.get_value(
        event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True
    )
    layer.selected_label = (found[1] if found else None) or 0
