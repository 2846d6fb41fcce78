"""The interactive tools on the canvas: brush, wand, live-wire, superpixels, polygon.

It may import `ui.session`, `ui.layers` and `interactive`.  Begin with `registry.py`, one row a tool.
"""

from napari_pathseg.ui.tools.brush import MAX_BRUSH, MIN_BRUSH, brush_on_screen, set_brush_on_screen
from napari_pathseg.ui.tools.registry import TOOLS, ToolSpec, active_layer_tool, choose_tool

__all__ = [
    "MAX_BRUSH",
    "MIN_BRUSH",
    "TOOLS",
    "ToolSpec",
    "active_layer_tool",
    "brush_on_screen",
    "choose_tool",
    "set_brush_on_screen",
]  # fmt: skip
