"""The interactive tools on the canvas: brush, wand, live-wire, superpixels, polygon.

It may import `ui.session`, `ui.layers` and `interactive`.  Begin with `registry.py`, one row a tool.
"""

from napari_pathseg.ui.tools.brush import LARGEST_BRUSH, SMALLEST_BRUSH, brush_on_screen, set_brush_on_screen
from napari_pathseg.ui.tools.registry import TOOLS, Tool, choose_tool, tool_in_hand

__all__ = [
    "LARGEST_BRUSH", "SMALLEST_BRUSH", "TOOLS", "Tool", "brush_on_screen", "choose_tool", "set_brush_on_screen",
    "tool_in_hand",
]  # fmt: skip
