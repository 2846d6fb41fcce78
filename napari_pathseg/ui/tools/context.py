"""What every gesture needs at hand: the slide in view as a picture, the class, where the mouse is.

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
from napari_pathseg.ui.tools.view import current_view_transform, view_snapshot
from napari_pathseg.ui.tools.view_snapshot import ViewSnapshot, ViewTransform

LONGEST = 1200  # pixels of a picture's side: what features are found in fast enough
_SUBTRACT = "Alt"


class ToolContext:
    """A session as gestures see it.

    Attributes
    ----------
    arranging
        Whether layers are being put in or taken out, so that a change of the active one means nothing.
    """

    def __init__(self, session: Session, preferences: ToolPreferences) -> None:
        self.session, self.preferences = session, preferences
        self.changing_layers = False
        self._asked: ViewTransform | None = None
        self._picture: ViewSnapshot | None = None

    @property
    def layer(self) -> MaskLayer | PlainMaskLayer | None:
        """The mask's layer."""
        return self.session.layers.mask

    def snapshot(self) -> ViewSnapshot | None:
        """Return what is on screen now; it is read anew only where the view has changed.

        Raises
        ------
        UnsupportedSlideError
            If the slide cannot be decoded there.
        """
        asked = current_view_transform(self.session.layers, LONGEST)
        if asked is None or asked != self._asked:
            slide_file = self.session.workspace.slide_file
            self._picture = None if slide_file is None else view_snapshot(slide_file, self.session.layers, LONGEST)
            self._asked = asked
        return self._picture

    def forget(self) -> None:
        """Let go of the picture: another slide is shown, or the model has said something new."""
        self._asked = self._picture = None

    def label(self, event: Any) -> int:
        """Return what is painted: the selected class, with Alt nothing."""
        return 0 if _SUBTRACT in event.modifiers or self.layer is None else int(self.layer.selected_label)

    def position(self, event: Any) -> Points:
        """Return where the mouse is on the mask's grid."""
        assert self.layer is not None
        return np.asarray(self.layer.world_to_data(event.position)[-2:], np.float64)

    def radius(self, frame: ViewTransform) -> float:
        """Return half the width of the brush in pixels of a picture."""
        assert self.layer is not None
        return float(self.layer.brush_size) / 2 * frame.per_mask_pixel / frame.mask_pixels

    def paint(self, shape: Shape | None, label: int) -> None:
        """Paint a shape on the mask."""
        if shape is not None and self.layer is not None:
            self.layer.stroke(shape, label)

    def show_status(self, text: str) -> None:
        """Show a text in napari's status bar."""
        self.session.layers.viewer.status = text

    @contextlib.contextmanager
    def preserving_active_layer(self) -> Iterator[None]:
        """Put layers in or take them out inside the block; the active one stays."""
        layers = self.session.layers.viewer.layers
        active, self.changing_layers = layers.selection.active, True
        try:
            yield
            if active is not None and active in layers:
                layers.selection.active = active
        finally:
            self.changing_layers = False


class InteractiveTool:
    """A tool that answers the mouse on the mask's layer itself.

    Attributes
    ----------
    circle
        Whether the cursor shows how wide the brush is.
    keys
        What keys do while it is in hand.
    """

    circle = True
    keys: tuple[str, ...] = ()

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Answer the mouse from its press to its release, as napari's `mouse_drag_callbacks` do."""
        yield from ()

    def on_move(self, layer: Labels, event: Any) -> None:
        """Answer a move of the mouse that is not pressed."""

    def on_double_click(self, layer: Labels, event: Any) -> None:
        """Answer a double click, which comes after the press and release of its first click."""

    def on_key(self, key: str) -> None:
        """Answer one of `keys`."""

    def on_wheel(self, steps: int) -> None:
        """Answer the wheel that is turned with Shift held."""

    def on_view_changed(self) -> None:
        """Get ready for what is on screen now."""

    def deactivate(self) -> None:
        """Leave nothing behind: another tool is taken, or another slide is shown."""
