"""A shapes layer over the slide in view, created on demand, with lines of constant width on screen."""

from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes
from psygnal import Signal

from napari_pathseg.geometry import Region
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.layers.slide_layers import layer_transform
from napari_pathseg.ui.session.workspace import Workspace

_LINE_WIDTH = 2.0  # screen pixels
_RIGHT_BUTTON = 2
_NO_SHAPES: list[Any] = []


class ShapesOverlay:
    """Shapes of one role, drawn with one tool.

    Signals: `edited` (the user drew, moved or deleted a shape; napari may not have finished), `changed` (the
    shapes or the active tool changed), `context_menu_requested` (right click at a level-0 position).
    """

    edited = Signal()
    changed = Signal()
    context_menu_requested = Signal(tuple)

    role = ""  # of the layer, and its name after the slide's
    mode = ""  # napari's, in which they are drawn
    edge, face = "white", "transparent"

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        viewer = workspace.layers.viewer
        workspace.slide_changed.connect(self.show)
        viewer.scene.camera.events.zoom.connect(self._update_line_width)
        viewer.layers.selection.events.active.connect(self._notify_changed)

    @property
    def layer(self) -> Shapes | None:
        """The layer; None if it was not created yet, or was deleted."""
        layer = self._workspace.layers.overlays.get(self.role)
        return layer if layer is not None and layer in self._workspace.layers.viewer.layers else None

    @property
    def active(self) -> bool:
        """True if the next drag of the mouse draws a shape."""
        layer, active = self.layer, self._workspace.layers.viewer.layers.selection.active
        return layer is not None and active == layer and str(layer.mode) == self.mode

    def activate(self) -> None:
        """Activate the tool that draws the shapes."""
        self._workspace.require_writable()
        layer = self.layer or self._create_layer(self._workspace.require_slide())
        layer.visible = True
        self._workspace.layers.viewer.layers.selection.active = layer
        layer.mode = self.mode
        self._update_line_width()
        self.changed.emit()

    def deactivate(self) -> None:
        """Deactivate the tool, so that the mouse moves the slide again."""
        if self.layer is not None:
            self.layer.mode = "pan_zoom"
        self.changed.emit()

    def show(self) -> None:
        """Show the shapes of the slide in view."""
        raise NotImplementedError

    def _set_shapes(self, record: SlideRecord, shapes: list[Any]) -> None:
        """Replace the shapes of the layer; create it if there are any."""
        layer = self.layer
        if layer is None and not shapes:
            return
        layer = layer or self._create_layer(record)
        with layer.events.data.blocker():
            layer.selected_data = set()
            layer.data = shapes or _NO_SHAPES
        self._update_layer(layer, record)

    def _update_layer(self, layer: Shapes, record: SlideRecord) -> None:
        for name, value in {"name": f"{record.id} · {self.role}", **layer_transform(record.mpp, 1)}.items():
            setattr(layer, name, value)
        layer.metadata = {METADATA_KEY: {"slide": record.id, "role": self.role}}
        layer.editable = not self._workspace.read_only
        self._update_line_width()

    def _create_layer(self, record: SlideRecord) -> Shapes:
        layers = self._workspace.layers
        style = {"edge_color": self.edge, "face_color": self.face}
        metadata = {METADATA_KEY: {"slide": record.id, "role": self.role}}
        layer = Shapes(
            ndim=2, name=f"{record.id} · {self.role}", metadata=metadata, **style, **layer_transform(record.mpp, 1)
        )
        layer.events.data.connect(self._on_data_changed)
        layer.events.mode.connect(self._notify_changed)
        layer.mouse_drag_callbacks.append(self._on_mouse_press)
        active = layers.viewer.layers.selection.active
        layers.viewer.layers.insert(len(layers.viewer.layers), layer)
        layers.viewer.layers.selection.active = active
        layers.overlays[self.role] = layer
        return layer

    def _on_mouse_press(self, layer: Shapes, event: Any) -> None:
        if event.button == _RIGHT_BUTTON:
            self.context_menu_requested.emit(tuple(float(value) for value in layer.world_to_data(event.position)))

    def _on_data_changed(self, event: Any) -> None:
        if str(getattr(event, "action", "")) in ("added", "removed", "changed"):
            self.edited.emit()

    def _notify_changed(self, *_: Any) -> None:
        self.changed.emit()

    def _update_line_width(self, *_: Any) -> None:
        layer = self.layer
        if layer is not None:
            width = _LINE_WIDTH / self._screen_pixels
            layer.current_edge_width = width
            if layer.data:
                layer.edge_width = width

    @property
    def _screen_pixels(self) -> float:
        """The width of a level-0 pixel in screen pixels."""
        record = self._workspace.slide
        step = 1.0 if record is None or record.mpp is None else record.mpp
        return step * float(self._workspace.layers.viewer.scene.camera.zoom)


def box_corners(box: Region) -> npt.NDArray[np.float64]:
    """Return the corners of a drawn box, around its pixels."""
    top, left, bottom, right = (value - 0.5 for value in (box.top, box.left, box.bottom, box.right))
    return np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
