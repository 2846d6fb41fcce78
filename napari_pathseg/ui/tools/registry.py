"""The drawing tools: which layer is active, in which mode.

Some are napari's own; here they get names, and work on the layers of the slide in view
whatever layer was active.  The others are gestures of our own, which `hand` brings to the
mask layer in a mode of napari whose cursor and keys suit them.
"""

from dataclasses import dataclass

from napari.layers import Labels, Shapes

from napari_pathseg.ui.layers.slide_layers import SlideLayers

MODE = "fill"  # of the mask layer while a gesture is in hand: it paints nothing between clicks, and Space pans


@dataclass(frozen=True)
class ToolSpec:
    """A drawing tool: its name (also of its icon and its key), layer, napari's mode, and what it does."""

    name: str
    layer: str
    mode: str
    help: str
    gesture: bool = False


TOOLS = (
    ToolSpec(
        "brush", "mask", "paint",
        "Paint the selected class; with Alt erase. Pull the right mouse button around an area to fill it.",
    ),
    ToolSpec(
        "eraser", "mask", "erase",
        "Take the class away. What a model found becomes Background.\n"
        "Pull the right mouse button around an area to clear it.",
    ),
    ToolSpec(
        "wand", "mask", MODE, "Drag to paint tissue that looks like what is under the cursor; with Alt erase.", True
    ),
    ToolSpec("superpixels", "mask", MODE, "Drag to paint patches of like tissue whole; with Alt erase.", True),
    ToolSpec("fill", "mask", "fill", "Give a connected area the selected class."),
    ToolSpec(
        "live_wire", "mask", MODE,
        "Click along an outline: the line keeps to its edge. Double-click or Enter fills it, with Alt cuts it out.\n"
        "Backspace takes a point back, Escape all of them. Drag to move the slide.", True,
    ),
    ToolSpec(
        "polygon", "contours", "add_polygon",
        "Click corner by corner, double-click to end; the class fills it. With Alt at the end it is cut out.",
    ),
    ToolSpec(
        "lasso", "contours", "add_polygon_lasso",
        "Draw around an area; the class fills it when you let go. With Alt at the end it is cut out.",
    ),
    ToolSpec("pan", "mask", "pan_zoom", "Move and zoom. With any tool, hold Space instead."),
)  # fmt: skip
OUTLINES = ("live_wire", "polygon", "lasso")  # which end in an outline that is filled


def tool_named(name: str) -> ToolSpec:
    """Return a tool by its name."""
    return next(tool for tool in TOOLS if tool.name == name)


def layer_of(layers: SlideLayers, tool: ToolSpec) -> Labels | Shapes | None:
    """Return the layer that a tool works on; None where no slide is in view."""
    layer = layers.mask if tool.layer == "mask" else layers.contours
    return layer if layer is not None and layer in layers.viewer.layers else None


def choose_tool(layers: SlideLayers, name: str) -> None:
    """Bring the layer of a tool to the fore in the tool's mode; nothing happens where no slide is in view."""
    tool = tool_named(name)
    layer = layer_of(layers, tool)
    if layer is None:
        return
    layer.visible = True
    layers.viewer.layers.selection.active = layer
    layer.mode = tool.mode


def active_layer_tool(layers: SlideLayers) -> str:
    """Return the name of napari's tool that is in hand, empty where it is none of these."""
    active = layers.viewer.layers.selection.active
    for tool in TOOLS:
        layer = layer_of(layers, tool)
        # equal and not the same: napari lends a plugin its viewer, and so its layers, in wrappers
        if not tool.gesture and layer is not None and layer == active and str(layer.mode) == tool.mode:
            return tool.name
    return ""
