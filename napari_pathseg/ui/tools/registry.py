"""The table of tools, one row each; the tool bar, options, shortcuts and help are derived from it.

Some tools are napari's own modes; here they get a name and act on the layers of the slide in view,
whatever layer was active.  The others have a factory: the `controller` attaches them to the mask
layer in a napari mode whose cursor and keys suit them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from napari.layers import Labels, Shapes

from napari_pathseg.ui.layers.slide_layers import SlideLayers
from napari_pathseg.ui.tools.context import InteractiveTool, ToolContext
from napari_pathseg.ui.tools.live_wire import LiveWireTool
from napari_pathseg.ui.tools.preferences import (
    BRUSH_WIDTH,
    EDIT_FIRST,
    KEEP_TO_EDGE,
    PATCH_SIZE,
    SENSITIVITY,
    WAND_REACH,
    ToolOption,
)
from napari_pathseg.ui.tools.superpixels import SuperpixelTool
from napari_pathseg.ui.tools.wand import WandTool

INTERACTIVE_MODE = "fill"  # of the mask layer under an interactive tool: it paints nothing on a drag, and Space pans
PAN = "pan"


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """One tool. No field has a default, so a forgotten one is an error at import.

    Attributes
    ----------
    name
        How code and shortcuts refer to it, and the stem of its icon, an SVG file in ``ui/icons``.
    title
        Its name in the list of keys.
    key, qupath_key
        Its shortcut as napari writes it, and QuPath's; "" where QuPath has none.
    help
        The tool-tip: what it does and how.
    layer, mode
        The layer it works on, and napari's mode of that layer.
    factory
        Makes the interactive tool; None where napari's mode does the work.
    draws_outline
        Whether it ends in an outline that is filled.
    options
        Its options for the user.
    """

    name: str
    title: str
    key: str
    qupath_key: str
    help: str
    layer: Literal["mask", "contours"]
    mode: str
    factory: Callable[[ToolContext], InteractiveTool] | None
    draws_outline: bool
    options: tuple[ToolOption, ...]


TOOLS = (
    ToolSpec(
        name="brush",
        title="Brush",
        key="Shift-B",
        qupath_key="B",
        help="Paint the selected class; with Alt erase. Drag with the right mouse button around an area to fill it.",
        layer="mask",
        mode="paint",
        factory=None,
        draws_outline=False,
        options=(BRUSH_WIDTH, KEEP_TO_EDGE),
    ),
    ToolSpec(
        name="eraser",
        title="Eraser",
        key="Shift-E",
        qupath_key="",
        help="Remove the class. Where a model predicted one, Background replaces it.\n"
        "Drag with the right mouse button around an area to clear it.",
        layer="mask",
        mode="erase",
        factory=None,
        draws_outline=False,
        options=(BRUSH_WIDTH,),
    ),
    ToolSpec(
        name="wand",
        title="Wand",
        key="Shift-W",
        qupath_key="W",
        help="Drag to paint tissue that looks like what is under the cursor; with Alt erase. Hold the button still\n"
        "and it grows from there, taking what looks less and less alike: release paints it, Escape cancels.",
        layer="mask",
        mode=INTERACTIVE_MODE,
        factory=WandTool,
        draws_outline=False,
        options=(WAND_REACH, SENSITIVITY),
    ),
    ToolSpec(
        name="superpixels",
        title="Superpixels",
        key="Shift-S",
        qupath_key="",
        help="Drag to paint whole patches of similar tissue; with Alt erase.",
        layer="mask",
        mode=INTERACTIVE_MODE,
        factory=SuperpixelTool,
        draws_outline=False,
        options=(BRUSH_WIDTH, PATCH_SIZE),
    ),
    ToolSpec(
        name="fill",
        title="Fill",
        key="Shift-F",
        qupath_key="",
        help="Give a connected area the selected class.",
        layer="mask",
        mode="fill",
        factory=None,
        draws_outline=False,
        options=(BRUSH_WIDTH,),  # nothing to set; the row stays so that nothing below it moves
    ),
    ToolSpec(
        name="live_wire",
        title="Live-wire",
        key="Shift-I",
        qupath_key="V",  # QuPath's polyline, which is clicked along a line as well
        help="Click along an outline: the line follows its edge. Double-click or Enter fills it, with Alt cuts it\n"
        "out. Backspace removes the last point, Escape all of them. Drag to move the slide.",
        layer="mask",
        mode=INTERACTIVE_MODE,
        factory=LiveWireTool,
        draws_outline=True,
        options=(EDIT_FIRST,),
    ),
    ToolSpec(
        name="polygon",
        title="Polygon",
        key="Shift-G",
        qupath_key="P",
        help="Click corner by corner, double-click to finish; the class fills it. With Alt at the end it is cut out.",
        layer="contours",
        mode="add_polygon",
        factory=None,
        draws_outline=True,
        options=(EDIT_FIRST,),
    ),
    ToolSpec(
        name="lasso",
        title="Lasso: draw freehand",
        key="Shift-D",
        qupath_key="",
        help="Draw around an area; the class fills it when you release the button. With Alt at the end it is cut out.",
        layer="contours",
        mode="add_polygon_lasso",
        factory=None,
        draws_outline=True,
        options=(EDIT_FIRST,),
    ),
    ToolSpec(
        name=PAN,
        title="Move and zoom",
        key="Shift-M",
        qupath_key="M",
        help="Move and zoom. With any tool, hold Space instead.",
        layer="mask",
        mode="pan_zoom",
        factory=None,
        draws_outline=False,
        options=(),
    ),
)
_BY_NAME = {tool.name: tool for tool in TOOLS}


def tool_named(name: str) -> ToolSpec:
    """Return a tool by its name."""
    return _BY_NAME[name]


def draws_outline(name: str) -> bool:
    """Return whether a name is that of a tool that ends in an outline."""
    return name in _BY_NAME and _BY_NAME[name].draws_outline


def layer_of(layers: SlideLayers, tool: ToolSpec) -> Labels | Shapes | None:
    """Return the layer that a tool works on; None if no slide is in view."""
    layer = layers.mask if tool.layer == "mask" else layers.contours
    return layer if layer is not None and layer in layers.viewer.layers else None


def choose_tool(layers: SlideLayers, name: str) -> None:
    """Activate the layer of a tool in the tool's mode; do nothing if no slide is in view."""
    tool = tool_named(name)
    layer = layer_of(layers, tool)
    if layer is None:
        return
    layer.visible = True
    layers.viewer.layers.selection.active = layer
    layer.mode = tool.mode


def active_layer_tool(layers: SlideLayers) -> str:
    """Return the name of the napari tool that is active; "" if it is not in the table."""
    active = layers.viewer.layers.selection.active
    for tool in TOOLS:
        layer = layer_of(layers, tool)
        # equal, not identical: napari hands a plugin its viewer, and so its layers, in wrappers
        if tool.factory is None and layer is not None and layer == active and str(layer.mode) == tool.mode:
            return tool.name
    return ""
