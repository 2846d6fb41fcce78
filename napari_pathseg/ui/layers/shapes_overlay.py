"""A layer of shapes over the slide in view that is there once it is needed, with lines as thin at any zoom; no Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Shapes
from psygnal import Signal

from napari_pathseg.ui.layers.slide_layers import METADATA_KEY, layer_transform

if TYPE_CHECKING:
    from napari_pathseg.projects.slide_record import SlideRecord
    from napari_pathseg.ui.session.session import Session

_WIDTH = 2.0  # of the line, in pixels of the screen
_RIGHT = 2  # the mouse button
_NO_SHAPES: list[Any] = []


class ShapesOverlay:
    """Shapes of one role, drawn with one tool.

    Signals: `drawn` (a person drew, moved or deleted one; napari is still at it), `changed` (what
    is there or what is in hand), `asked` (the right mouse button was pressed at a level-0 position).
    """

    drawn = Signal()
    changed = Signal()
    asked = Signal(tuple)

    role = ""  # of the layer, and its name after the slide's
    mode = ""  # napari's, in which they are drawn
    edge, face = "white", "transparent"

    def __init__(self, session: Session) -> None:
        self._session = session
        viewer = session.layers.viewer
        session.slide_changed.connect(self.show)
        viewer.scene.camera.events.zoom.connect(self._keep_thin)
        viewer.layers.selection.events.active.connect(self._tell)

    @property
    def layer(self) -> Shapes | None:
        """The layer, None where it is not needed or was taken away."""
        layer = self._session.layers.overlays.get(self.role)
        return layer if layer is not None and layer in self._session.layers.viewer.layers else None

    @property
    def in_hand(self) -> bool:
        """Whether the next pull of the mouse draws one."""
        layer, active = self.layer, self._session.layers.viewer.layers.selection.active
        return layer is not None and active == layer and str(layer.mode) == self.mode

    def take(self) -> None:
        """Take the tool in hand that draws them."""
        self._session.access.require_writable()
        layer = self.layer or self._make(self._session.require_slide())
        layer.visible = True
        self._session.layers.viewer.layers.selection.active = layer
        layer.mode = self.mode
        self._keep_thin()
        self.changed.emit()

    def deactivate(self) -> None:
        """Let the mouse move the slide again."""
        if self.layer is not None:
            self.layer.mode = "pan_zoom"
        self.changed.emit()

    def show(self) -> None:
        """Show those of the slide in view."""
        raise NotImplementedError

    def _put(self, entry: SlideRecord, shapes: list[Any]) -> None:
        """Replace what the layer shows; it is made where there is something."""
        layer = self.layer
        if layer is None and not shapes:
            return
        layer = layer or self._make(entry)
        with layer.events.data.blocker():
            layer.selected_data = set()
            layer.data = shapes or _NO_SHAPES
        self._place(layer, entry)

    def _place(self, layer: Shapes, entry: SlideRecord) -> None:
        for name, value in {"name": f"{entry.id} · {self.role}", **layer_transform(entry.mpp, 1)}.items():
            setattr(layer, name, value)
        layer.metadata = {METADATA_KEY: {"slide": entry.id, "role": self.role}}
        layer.editable = not self._session.read_only
        self._keep_thin()

    def _make(self, entry: SlideRecord) -> Shapes:
        layers = self._session.layers
        look = {"edge_color": self.edge, "face_color": self.face}
        metadata = {METADATA_KEY: {"slide": entry.id, "role": self.role}}
        layer = Shapes(
            ndim=2, name=f"{entry.id} · {self.role}", metadata=metadata, **look, **layer_transform(entry.mpp, 1)
        )
        layer.events.data.connect(self._heard)
        layer.events.mode.connect(self._tell)
        layer.mouse_drag_callbacks.append(self._pressed)
        active = layers.viewer.layers.selection.active
        layers.viewer.layers.insert(len(layers.viewer.layers), layer)
        layers.viewer.layers.selection.active = active
        layers.overlays[self.role] = layer
        return layer

    def _pressed(self, layer: Shapes, event: Any) -> None:
        if event.button == _RIGHT:
            self.asked.emit(tuple(float(value) for value in layer.world_to_data(event.position)))

    def _heard(self, event: Any) -> None:
        if str(getattr(event, "action", "")) in ("added", "removed", "changed"):
            self.drawn.emit()

    def _tell(self, *_: Any) -> None:
        self.changed.emit()

    def _keep_thin(self, *_: Any) -> None:
        layer = self.layer
        if layer is not None:
            width = _WIDTH / self._screen_pixels
            layer.current_edge_width = width
            if layer.data:
                layer.edge_width = width

    @property
    def _screen_pixels(self) -> float:
        """How many pixels of the screen a level-0 pixel takes."""
        entry = self._session.slide
        step = 1.0 if entry is None or entry.mpp is None else entry.mpp
        return step * float(self._session.layers.viewer.scene.camera.zoom)
