"""The live-wire in the hand: click along an outline, and the line keeps to its edge."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from napari.layers import Labels

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import grid_to_level0
from napari_pathseg.masks.shapes import PolygonShape
from napari_pathseg.ui.layers.slide_layers import screen_pixels
from napari_pathseg.ui.tools.context import InteractiveTool, ToolContext
from napari_pathseg.ui.tools.view_snapshot import ViewSnapshot

_CLICK = 5.0  # pixels on screen that a hand may move in a click
_GRASP = 2.0  # pixels on screen that corners may be simplified by to be edited
_DOUBLE = 1e-6  # pixels of the mask that points are apart and yet one
_NONE = np.empty((0, 2))
_NO_SHAPES: list[Points] = []


class LiveWireTool(InteractiveTool):
    """Draws a line that snaps to the strongest edge between clicks; closed, it is filled or cut out."""

    circle = False
    keys = ("Enter", "Alt-Enter", "Backspace", "Escape")

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._anchors: list[Points] = []  # on the mask's grid
        self._ways: list[Points] = []  # to each anchor from the one before; to the first, nothing
        self._picture: ViewSnapshot | None = None  # in which the wire is anchored
        self._shown = False

    # -- the mouse and the keys

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Set an anchor where the mouse is clicked; move the slide where it is dragged."""
        if event.button != 1:
            return
        position, start, moved = self.context.position(event), np.array(event.pos), False
        layer.mouse_pan = True
        yield
        while event.type == "mouse_move":
            moved = moved or float(np.hypot(*(np.array(event.pos) - start))) > _CLICK
            yield
        layer.mouse_pan = False
        if not moved:
            self._set_anchor(position)

    def on_move(self, layer: Labels, event: Any) -> None:
        """Lead the line to the mouse."""
        if self._anchors:
            self._show(self._way_to(self.context.position(event)))

    def on_double_click(self, layer: Labels, event: Any) -> None:
        """Close the line and fill it, with Alt cut it out."""
        self._close(self.context.label(event))

    def on_key(self, key: str) -> None:
        """Close the line, take the last anchor back, or drop all."""
        layer = self.context.layer
        if key == "Escape" or layer is None:
            self.deactivate()
        elif key == "Backspace":
            self._anchors, self._ways, self._picture = self._anchors[:-1], self._ways[:-1], None
            self._show(_NONE)
        else:
            self._close(0 if key == "Alt-Enter" else int(layer.selected_label))

    def on_view_changed(self) -> None:
        """Have the wire ready before the first click, or anchored anew in another view."""
        picture = self.context.snapshot()
        if picture is not None:
            self._anchor_in(picture)

    def deactivate(self) -> None:
        """Drop the line."""
        self._anchors, self._ways, self._picture = [], [], None
        self._show(_NONE)

    # -- the line

    def _set_anchor(self, position: Points) -> None:
        picture = self.context.snapshot()
        if picture is None:
            return
        if self._anchors:
            way = self._way_to(position)
            if len(way) < 2:
                return  # clicked twice on one place
        else:
            way = picture.frame.to_mask(np.array([picture.wire.snapped(*picture.frame.from_mask(position))], float))
        self._anchors.append(way[-1])
        self._ways.append(way)
        self._picture = None
        self._anchor_in(picture)
        self._show(_NONE)

    def _anchor_in(self, picture: ViewSnapshot) -> None:
        """Anchor the wire of a picture at the last click."""
        wire = picture.wire
        if self._anchors and self._picture is not picture:
            wire.anchor(*picture.frame.from_mask(self._anchors[-1]))
            self._picture = picture

    def _way_to(self, position: Points) -> Points:
        """Return the way from the last anchor to the edge near a position, on the mask's grid."""
        picture = self.context.snapshot()
        if picture is None:
            return _NONE
        self._anchor_in(picture)
        way = picture.frame.to_mask(picture.wire.path_to(*picture.frame.from_mask(position)))
        # An anchor that is out of view is at the view's edge for the wire.
        away = np.abs(way[0] - self._anchors[-1]).max() * picture.frame.per_mask_pixel / picture.frame.mask_pixels
        return without_doubles(np.concatenate([self._anchors[-1][None], way]) if away > 2 else way)

    def _close(self, label: int) -> None:
        """Fill the line, closed along the edge back to its first anchor, and drop it."""
        if len(self._anchors) < 2:
            self.deactivate()
            return
        ring = np.concatenate([*self._ways, self._way_to(self._anchors[0])])
        self.deactivate()
        if len(ring) > 2 and label and self.context.preferences.edit_first:
            self._hand_over(ring)
        elif len(ring) > 2:
            self.context.paint(PolygonShape([ring]), label)

    def _hand_over(self, ring: Points) -> None:
        """Leave the closed line on the contours layer to be edited, with corners far enough apart to be grasped."""
        entry, layers = self.context.session.slide, self.context.session.layers
        if entry is not None and layers.contours is not None:
            corners = shapely.get_coordinates(shapely.simplify(shapely.polygons(ring), _GRASP / screen_pixels(layers)))
            layers.contours.add_polygons([_on_level0(corners[:-1], entry.downsample)])

    def _show(self, live: Points) -> None:
        """Show the line so far, and on to the mouse."""
        entry, contours = self.context.session.slide, self.context.session.layers.contours
        if contours is None or entry is None:
            return
        line = without_doubles(np.concatenate([*self._ways, live])) if self._ways else _NONE
        if len(line) < 2 and not self._shown:
            return
        shown, self._shown = self._shown, len(line) > 1
        if not self._shown:
            contours.data = _NO_SHAPES
        elif shown:  # the same shape with other points: half the time of a new one
            contours.data = [_on_level0(line, entry.downsample)]
        else:
            contours.visible = True
            contours.data = _NO_SHAPES
            contours.add_paths([_on_level0(line, entry.downsample)], edge_width=contours.current_edge_width)


def without_doubles(line: Points) -> Points:
    """Return a line without points that lie where the one before does: napari draws a hole there, or nothing at all.

    Examples
    --------
    >>> without_doubles(np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 3.0], [0.0, 3.0], [0.0, 0.0]]))
    array([[0., 0.],
           [0., 3.],
           [0., 0.]])
    """
    kept = np.ones(len(line), bool)
    kept[1:] = np.abs(np.diff(line, axis=0)).max(axis=1) > _DOUBLE
    return line[kept]


def _on_level0(points: Points, downsample: int) -> Points:
    """Return points of the mask's grid as level-0 pixels."""
    return points * downsample + grid_to_level0(0, downsample)
