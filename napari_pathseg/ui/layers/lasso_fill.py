"""The ring: with the brush or the eraser, a pull of the right mouse button draws round an area and fills it.

napari has the like, begun by a right click and ended where it began; a hand that pulls instead
finds the brush stuck to the mouse.  Here all is over when the button is let go.  No Qt here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from napari.layers.labels._labels_utils import mouse_event_to_labels_coordinate

from napari_pathseg.contours.contour import Points
from napari_pathseg.masks.shapes import PolygonShape

if TYPE_CHECKING:
    from napari_pathseg.ui.layers.mask_layer import MaskLayer

_CLICK = 5.0  # pixels on screen that a hand may move in a click


def lasso_fill(layer: MaskLayer, event: Any, label: int) -> Iterator[None]:
    """Paint along the mouse while it is down, then what that encloses: one step of undo; a click does nothing."""
    pressed, start = np.array(event.pos), mouse_event_to_labels_coordinate(layer, event)
    yield
    while event.type == "mouse_move" and float(np.hypot(*(np.array(event.pos) - pressed))) <= _CLICK:
        yield
    if event.type != "mouse_move" or start is None:
        return
    line = [start]
    with layer.block_history():
        while event.type == "mouse_move":
            here = mouse_event_to_labels_coordinate(layer, event)
            if here is not None:
                layer.pull(line[-1], here, label)
                line.append(here)
            yield
        layer.pull(line[-1], start, label)
        rings = enclosed(np.asarray(line, np.float64)[:, -2:])
        if rings:
            layer.stroke(PolygonShape(rings), label)


def enclosed(line: Points) -> list[Points]:
    """Return the outer borders of all that a line, closed from its end to its start, goes around.

    A line that crosses itself, as a hand's does that goes on beyond its start, leaves no hole.

    Examples
    --------
    >>> knot = [[0, 0], [0, 9], [9, 9], [9, 0], [0, 0], [0, 5], [5, 5]]
    >>> [ring] = enclosed(np.array(knot, float))
    >>> float(shapely.polygons(ring).area)
    81.0
    """
    drawn = shapely.node(shapely.linestrings(np.concatenate([line, line[:1]])))
    areas = shapely.get_parts(shapely.union_all(shapely.get_parts(shapely.polygonize([drawn]))))
    return [shapely.get_coordinates(shapely.get_exterior_ring(area)) for area in areas]
