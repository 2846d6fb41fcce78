"""The drawing tools: which layer is active, in which mode, with which brush.

They are napari's own; here they get names, and work on the layers of the slide in view
whatever layer was active.
"""

from dataclasses import dataclass

from napari.layers import Labels, Shapes

from napari_pathseg.ui.layers import SlideLayers

SMALLEST_BRUSH, LARGEST_BRUSH = 2, 200  # pixels on screen


@dataclass(frozen=True)
class Tool:
    """A drawing tool: its name (also of its icon and its key), layer, napari's mode, and what it does."""

    name: str
    layer: str
    mode: str
    help: str


TOOLS = (
    Tool("brush", "mask", "paint", "Paint the selected class."),
    Tool("eraser", "mask", "erase", "Take the class away. What a model found becomes Background."),
    Tool("fill", "mask", "fill", "Give a connected area the selected class."),
    Tool("polygon", "contours", "add_polygon", "Click corner by corner, double-click to end; the class fills it."),
    Tool("lasso", "contours", "add_polygon_lasso", "Draw around an area; the class fills it when you let go."),
    Tool("pan", "mask", "pan_zoom", "Move and zoom. With any tool, hold Space instead."),
)


def _layer_of(layers: SlideLayers, tool: Tool) -> Labels | Shapes | None:
    layer = layers.mask if tool.layer == "mask" else layers.contours
    return layer if layer is not None and layer in layers.viewer.layers else None


def choose_tool(layers: SlideLayers, name: str) -> None:
    """Take a tool in hand; nothing happens where no slide is in view."""
    tool = next(tool for tool in TOOLS if tool.name == name)
    layer = _layer_of(layers, tool)
    if layer is None:
        return
    layer.visible = True
    layers.viewer.layers.selection.active = layer
    layer.mode = tool.mode


def tool_in_hand(layers: SlideLayers) -> str:
    """Return the name of the tool in hand, empty where it is none of these."""
    active = layers.viewer.layers.selection.active
    for tool in TOOLS:
        layer = _layer_of(layers, tool)
        # equal and not the same: napari lends a plugin its viewer, and so its layers, in wrappers
        if layer is not None and layer == active and str(layer.mode) == tool.mode:
            return tool.name
    return ""


def brush_on_screen(layers: SlideLayers) -> float:
    """Return the width of the brush in pixels of the screen."""
    return 0.0 if layers.mask is None else float(layers.mask.brush_size) * _screen_pixels(layers)


def set_brush_on_screen(layers: SlideLayers, width: float) -> None:
    """Give the brush a width in pixels of the screen, at least one pixel of the mask."""
    if layers.mask is not None:
        layers.mask.brush_size = max(1, round(width / _screen_pixels(layers)))


def _screen_pixels(layers: SlideLayers) -> float:
    """Return how many pixels of the screen a pixel of the mask takes."""
    assert layers.mask is not None
    return float(layers.mask.scale[-1]) * float(layers.viewer.scene.camera.zoom)
