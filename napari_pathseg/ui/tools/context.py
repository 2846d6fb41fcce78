"""The interface of the interactive tools: the events a tool handles, and the context it works in.

No Qt here.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Labels

from napari_pathseg.contours.contour import Points
from napari_pathseg.masks.shapes import Shape
from napari_pathseg.ui.layers.mask_layer import MaskLayer
from napari_pathseg.ui.layers.plain_mask_layer import PlainMaskLayer
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.preferences import ToolPreferences
from napari_pathseg.ui.tools.viewport import ViewSnapshot, ViewTransform, current_view_transform, take_snapshot
from napari_pathseg.ui.widgets.plain_text import without_tags

MAX_SIDE = 1200  # pixels of a snapshot's side: image features are computed fast enough on that
SUBTRACT = "Alt"  # the modifier key that erases or cuts out
LEFT_BUTTON = 1


class ToolContext:
    """The session as an interactive tool sees it: view image, active class, cursor position.

    Attributes
    ----------
    changing_layers
        True while a tool adds or removes layers, so that changes of the active layer are ignored.
    """

    def __init__(self, session: Session, preferences: ToolPreferences) -> None:
        self.session, self.preferences = session, preferences
        self.changing_layers = False
        self._transform: ViewTransform | None = None
        self._snapshot: ViewSnapshot | None = None

    @property
    def mask_layer(self) -> MaskLayer | PlainMaskLayer | None:
        """The layer of the mask."""
        return self.session.layers.mask

    def snapshot(self) -> ViewSnapshot | None:
        """Return what is on screen; it is read again only after the view changed.

        Raises
        ------
        UnsupportedSlideError
            If the pixels cannot be decoded.
        """
        transform, slide = current_view_transform(self.session.layers, MAX_SIDE), self.session.workspace.slide_file
        if transform is None or transform != self._transform:
            self._snapshot = None if slide is None else take_snapshot(slide, self.session.layers, MAX_SIDE)
            self._transform = transform
        return self._snapshot

    def invalidate(self) -> None:
        """Drop the snapshot, because another slide is shown or the model has a new prediction."""
        self._transform = self._snapshot = None

    def label(self, event: Any) -> int:
        """Return the class to paint: the selected one, or 0 (erase) while Alt is held."""
        return 0 if SUBTRACT in event.modifiers or self.mask_layer is None else int(self.mask_layer.selected_label)

    def position(self, event: Any) -> Points:
        """Return the cursor's position on the mask's grid."""
        assert self.mask_layer is not None
        return np.asarray(self.mask_layer.world_to_data(event.position)[-2:], np.float64)

    def radius(self, transform: ViewTransform) -> float:
        """Return half the width of the brush in pixels of a snapshot."""
        assert self.mask_layer is not None
        return float(self.mask_layer.brush_size) / 2 * transform.per_mask_pixel / transform.mask_pixels

    def paint(self, shape: Shape | None, label: int) -> None:
        """Paint a shape, in pixels of the mask's grid, on the mask; 0 erases.  None paints nothing."""
        if shape is not None and self.mask_layer is not None:
            self.mask_layer.stroke(shape, label)

    def preview(self, shape: Shape | None, label: int) -> None:
        """Show what painting a shape would do; the mask does not change."""
        if shape is not None and self.mask_layer is not None:
            self.mask_layer.preview_stroke(shape, label)

    def drop_preview(self, shape: Shape | None) -> None:
        """Show the mask as it is where a shape was previewed."""
        if shape is not None and self.mask_layer is not None:
            self.mask_layer.drop_preview(shape.box)

    def show_status(self, text: str) -> None:
        """Show a text in napari's status bar."""
        self.session.layers.viewer.status = without_tags(text)

    @contextlib.contextmanager
    def preserving_active_layer(self) -> Iterator[None]:
        """Keep the active layer while the block adds or removes layers."""
        layers = self.session.layers.viewer.layers
        active, self.changing_layers = layers.selection.active, True
        try:
            yield
            if active is not None and active in layers:
                layers.selection.active = active
        finally:
            self.changing_layers = False


class InteractiveTool:
    """A tool that handles the mouse on the mask layer itself.

    Attributes
    ----------
    circle
        Whether the cursor shows the width of the brush.
    keys
        The keys it handles while it is active, as napari names them.
    """

    circle = True
    keys: tuple[str, ...] = ()

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Handle the mouse from press to release.

        A generator, as napari's `mouse_drag_callbacks` are: it runs to its first `yield` when a button is pressed,
        and on to the next at each event, whose type ``event.type`` says: "mouse_move", then "mouse_release".
        What it paints inside ``layer.block_history()``, or in one stroke, is one undo step.
        """
        yield from ()

    def on_move(self, layer: Labels, event: Any) -> None:
        """Handle a move of the mouse with no button pressed."""

    def on_double_click(self, layer: Labels, event: Any) -> None:
        """Handle a double click; `on_drag` has handled its first click."""

    def on_key(self, key: str) -> None:
        """Handle one of `keys`."""

    def on_wheel(self, notches: int) -> None:
        """Handle the wheel turned with Shift held."""

    def on_view_changed(self) -> None:
        """Prepare for what is on screen now."""

    def deactivate(self) -> None:
        """Clean up: another tool is chosen, or another slide is shown."""
