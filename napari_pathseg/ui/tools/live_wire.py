"""The live-wire tool: click along an outline, and the line between the clicks follows its edge."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from napari.layers import Labels

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import grid_to_level0
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.ui.layers.slide_layers import screen_pixels
from napari_pathseg.ui.tools.context import LEFT_BUTTON, InteractiveTool, ToolContext
from napari_pathseg.ui.tools.preferences import EDIT_FIRST
from napari_pathseg.ui.tools.viewport import ViewSnapshot

_CLICK_RADIUS = 5.0  # screen pixels that the mouse may move during a click
_EDIT_TOLERANCE = 2.0  # screen pixels that an outline is simplified by, so that its corners can be grabbed
_SAME_POINT = 1e-6  # mask pixels; closer points are merged
_NO_POINTS = np.empty((0, 2))
_NO_SHAPES: list[Points] = []


class LiveWireTool(InteractiveTool):
    """Draws a line that snaps to the strongest edge between clicks. Closed, it is filled or cut out."""

    circle = False
    keys = ("Enter", "Alt-Enter", "Backspace", "Escape")

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._anchors: list[Points] = []  # on the mask's grid
        self._segments: list[Points] = []  # to each anchor from the one before; the first is the anchor alone
        self._snapshot: ViewSnapshot | None = None  # the one the wire is anchored in
        self._shown = False

    # -- the mouse and the keys

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Set an anchor on a click; pan the canvas on a drag."""
        if event.button != LEFT_BUTTON:
            return
        position, start, moved = self.context.position(event), np.array(event.pos), False
        layer.mouse_pan = True
        yield
        while event.type == "mouse_move":
            moved = moved or float(np.hypot(*(np.array(event.pos) - start))) > _CLICK_RADIUS
            yield
        layer.mouse_pan = False
        if not moved:
            self._add_anchor(position)

    def on_move(self, layer: Labels, event: Any) -> None:
        """Draw the line up to the cursor."""
        if self._anchors:
            self._show(self._path_to(self.context.position(event)))

    def on_double_click(self, layer: Labels, event: Any) -> None:
        """Close the line and fill it, or cut it out while Alt is held."""
        self._close(self.context.label(event))

    def on_key(self, key: str) -> None:
        """Close the line, remove the last anchor, or discard the line."""
        layer = self.context.mask_layer
        if key == "Escape" or layer is None:
            self.deactivate()
        elif key == "Backspace":
            self._anchors, self._segments, self._snapshot = self._anchors[:-1], self._segments[:-1], None
            self._show(_NO_POINTS)
        else:
            self._close(0 if key == "Alt-Enter" else int(layer.selected_label))

    def on_view_changed(self) -> None:
        """Compute the edge costs before the first click, or anchor the wire in the new view."""
        snapshot = self.context.snapshot()
        if snapshot is not None:
            self._anchor_in(snapshot)

    def deactivate(self) -> None:
        """Discard the line."""
        self._anchors, self._segments, self._snapshot = [], [], None
        self._show(_NO_POINTS)

    # -- the line

    def _add_anchor(self, position: Points) -> None:
        snapshot = self.context.snapshot()
        if snapshot is None:
            return
        if self._anchors:
            segment = self._path_to(position)
            if len(segment) < 2:
                return  # a second click at the same place
        else:
            transform = snapshot.transform
            segment = transform.to_mask(np.array([snapshot.wire.snapped(*transform.from_mask(position))], float))
        self._anchors.append(segment[-1])
        self._segments.append(segment)
        self._snapshot = None
        self._anchor_in(snapshot)
        self._show(_NO_POINTS)

    def _anchor_in(self, snapshot: ViewSnapshot) -> None:
        """Anchor the wire of a snapshot at the last click."""
        wire = snapshot.wire
        if self._anchors and self._snapshot is not snapshot:
            wire.anchor(*snapshot.transform.from_mask(self._anchors[-1]))
            self._snapshot = snapshot

    def _path_to(self, position: Points) -> Points:
        """Return the path from the last anchor to the edge near a position, on the mask's grid."""
        snapshot = self.context.snapshot()
        if snapshot is None:
            return _NO_POINTS
        self._anchor_in(snapshot)
        transform = snapshot.transform
        path = transform.to_mask(snapshot.wire.path_to(*transform.from_mask(position)))
        # The wire puts an anchor that is out of view on the view's border.
        gap = np.abs(path[0] - self._anchors[-1]).max() * transform.per_mask_pixel / transform.mask_pixels
        return without_repeated_points(np.concatenate([self._anchors[-1][None], path]) if gap > 2 else path)

    def _close(self, label: int) -> None:
        """Close the line along the edge back to its first anchor, fill it, and start over."""
        if len(self._anchors) < 2:
            self.deactivate()
            return
        ring = np.concatenate([*self._segments, self._path_to(self._anchors[0])])
        self.deactivate()
        if len(ring) > 2 and label and self.context.preferences.checked(EDIT_FIRST):
            self._edit(ring)
        elif len(ring) > 2:
            self.context.paint(PolygonShape([ring]), label)

    def _edit(self, ring: Points) -> None:
        """Put the closed line on the contours layer for editing, with corners far enough apart to grab."""
        record, layers = self.context.session.slide, self.context.session.layers
        if record is not None and layers.contours is not None:
            tolerance = _EDIT_TOLERANCE / screen_pixels(layers)
            corners = shapely.get_coordinates(shapely.simplify(shapely.polygons(ring), tolerance))
            layers.contours.add_polygons([_to_level0(corners[:-1], record.downsample)])

    def _show(self, live: Points) -> None:
        """Show the line so far, continued by `live`."""
        record, contours = self.context.session.slide, self.context.session.layers.contours
        if contours is None or record is None:
            return
        line = without_repeated_points(np.concatenate([*self._segments, live])) if self._segments else _NO_POINTS
        if len(line) < 2 and not self._shown:
            return
        was_shown, self._shown = self._shown, len(line) > 1
        if not self._shown:
            contours.data = _NO_SHAPES
        elif was_shown:  # moving the points of a shape takes half the time of adding one
            contours.data = [_to_level0(line, record.downsample)]
        else:
            contours.visible = True
            contours.data = _NO_SHAPES
            contours.add_paths([_to_level0(line, record.downsample)], edge_width=contours.current_edge_width)


def without_repeated_points(line: Points) -> Points:
    """Drop points that repeat the one before; napari draws a gap there, or nothing at all.

    Examples
    --------
    >>> without_repeated_points(np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 0.0]]))
    array([[0., 0.],
           [0., 3.],
           [0., 0.]])
    """
    kept = np.ones(len(line), bool)
    kept[1:] = np.abs(np.diff(line, axis=0)).max(axis=1) > _SAME_POINT
    return line[kept]


def _to_level0(points: Points, downsample: int) -> Points:
    """Convert points of the mask's grid to level-0 pixels."""
    return points * downsample + grid_to_level0(0, downsample)
