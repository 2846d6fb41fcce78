"""The drawing tools: napari's own by name, and wand, superpixels and live-wire."""

from napari_pathseg.ui.tools.brush import LARGEST_BRUSH, SMALLEST_BRUSH, brush_on_screen, set_brush_on_screen
from napari_pathseg.ui.tools.table import TOOLS, Tool, choose_tool, tool_in_hand

__all__ = [
    "LARGEST_BRUSH", "SMALLEST_BRUSH", "TOOLS", "Tool", "brush_on_screen", "choose_tool", "set_brush_on_screen",
    "tool_in_hand",
]  # fmt: skip
