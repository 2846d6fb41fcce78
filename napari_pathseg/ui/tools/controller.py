"""The hand: which tool is in it, and how a gesture of our own comes to the mask's layer and leaves it again."""

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.context import InteractiveTool, ToolContext
from napari_pathseg.ui.tools.live_wire import LiveWireTool
from napari_pathseg.ui.tools.preferences import ToolPreferences
from napari_pathseg.ui.tools.registry import MODE, active_layer_tool, choose_tool, tool_named
from napari_pathseg.ui.tools.superpixels import SuperpixelTool
from napari_pathseg.ui.tools.wand import WandTool
from napari_pathseg.ui.widgets.notifications import show_errors

_SETTLED_MS = 200  # after the last move of the camera
_RESTING = "pan_zoom"


class ToolController(QObject):
    """Holds one tool at a time.

    Signals: `changed` (another tool is in hand, or it is set otherwise), `leaves` (another is about to be taken).

    Attributes
    ----------
    editing
        The tool whose outline is edited before it is filled; empty where none is.
    """

    changed = Signal()
    about_to_change = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self.preferences = ToolPreferences()
        context = self._context = ToolContext(session, self.preferences)
        self._gestures: dict[str, InteractiveTool] = {
            "wand": WandTool(context),
            "superpixels": SuperpixelTool(context),
            "live_wire": LiveWireTool(context),
        }
        self._name = self.editing = ""
        self._layer: Labels | None = None  # where the gesture in hand is
        self._suspended_callback: Callable[..., Any] | None = None  # what napari would do there instead
        self._suspended = False
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED_MS)
        self._settled.timeout.connect(self._look)
        self._connect()

    @property
    def active_tool(self) -> str:
        """The name of the tool in hand, empty where it is none of ours."""
        layers = self._session.layers
        if self.editing and layers.viewer.layers.selection.active == layers.contours:
            return self.editing
        return self._name if self._name and not self._suspended else active_layer_tool(layers)

    @property
    def interactive_tool(self) -> str:
        """The name of the gesture in hand, also while Space is held; empty where it is none."""
        return self._name

    def choose(self, name: str) -> None:
        """Take a tool in hand; nothing happens where no slide is in view."""
        self.about_to_change.emit()
        self.deactivate()
        if tool_named(name).gesture:
            self._take(name)
        else:
            choose_tool(self._session.layers, name)
        self.changed.emit()

    def edit(self, name: str) -> None:
        """Keep a tool in hand while its outline is edited on the contours layer."""
        self.deactivate()
        self.editing = name
        self._session.layers.viewer.layers.selection.active = self._session.layers.contours
        self.changed.emit()

    def deactivate(self) -> None:
        """Take the gesture from the hand, if one is in it; napari's tools stay as they are."""
        layer, name = self._layer, self._name
        if layer is None:
            return
        self._name, self._layer = "", None
        self._gestures[name].deactivate()
        self._remove(layer, name)
        if not self._suspended and str(layer.mode) == MODE and self._suspended_callback is not None:
            layer.mouse_drag_callbacks.append(self._suspended_callback)
            layer.cursor = "cross"
        self._suspended_callback, self._suspended = None, False

    # -- how a gesture is brought to the layer

    def _take(self, name: str) -> None:
        layer = self._session.layers.mask
        if layer is None:
            return
        layer.mode = _RESTING
        choose_tool(self._session.layers, name)
        if str(layer.mode) != MODE:
            return  # the project can only be looked at
        self._name, self._layer = name, layer
        self._bring(layer)
        for key in self._gestures[name].keys:
            layer.bind_key(key, self._key_pressed(key), overwrite=True)
        self._look()

    def _bring(self, layer: Labels) -> None:
        """Answer the mouse instead of napari, whose answer was put last when it took up the mode."""
        gesture = self._gestures[self._name]
        self._suspended_callback = layer.mouse_drag_callbacks.pop()
        layer.mouse_drag_callbacks.append(gesture.on_drag)
        layer.mouse_move_callbacks.append(gesture.on_move)
        layer.mouse_double_click_callbacks.append(gesture.on_double_click)
        layer.mouse_wheel_callbacks.append(self._wheel_turned)
        layer.cursor = "circle" if gesture.circle else "cross"

    def _remove(self, layer: Labels, name: str, *, keys: bool = True) -> None:
        gesture = self._gestures[name]
        for callbacks, own in (
            (layer.mouse_drag_callbacks, gesture.on_drag),
            (layer.mouse_move_callbacks, gesture.on_move),
            (layer.mouse_double_click_callbacks, gesture.on_double_click),
            (layer.mouse_wheel_callbacks, self._wheel_turned),
        ):
            if own in callbacks:
                callbacks.remove(own)
        for key in gesture.keys if keys else ():
            layer.bind_key(key, None)

    # -- what it listens to

    def _connect(self) -> None:
        viewer = self._session.layers.viewer
        viewer.scene.camera.events.center.connect(self.schedule_view_change)
        viewer.scene.camera.events.zoom.connect(self.schedule_view_change)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._session.slide_changed.connect(self._slide_changed)
        self._session.training.run_changed.connect(self._learnt)
        self._heard: Labels | None = None
        self._slide_changed()

    def _slide_changed(self) -> None:
        """Begin anew on another slide, with the tool that is in hand."""
        layer = self._session.layers.mask
        self._context.forget()
        if layer is not None and layer is not self._heard:
            self._heard = layer
            layer.events.mode.connect(self._mode_changed)
        if not self._name:
            return
        name = self._name
        self.deactivate()
        if layer is not None and not self._session.read_only:
            self._take(name)
        self.changed.emit()

    def _mode_changed(self, event: Any) -> None:
        """Rest while Space is held, and leave where napari's own tool was taken."""
        if self._layer is None or event.source is not self._layer:
            return
        mode = str(self._layer.mode)
        if mode == MODE and self._suspended:
            self._suspended = False
            self._bring(self._layer)
        elif mode == _RESTING:
            self._suspended = True
            self._remove(self._layer, self._name, keys=False)
        elif mode != MODE:
            self.deactivate()
        self.changed.emit()

    def _active_changed(self, *_: Any) -> None:
        active = self._session.layers.viewer.layers.selection.active
        if self._context.changing_layers or self._layer is None or active == self._layer:
            return
        layer = self._layer
        self.deactivate()
        layer.mode = _RESTING
        self.changed.emit()

    def schedule_view_change(self, *_: Any) -> None:
        """Have the gesture look at the slide anew, once nothing has moved for a moment."""
        if self._name:
            self._settled.start()

    def _learnt(self) -> None:
        """Take up what the model says now."""
        if not self._session.training.active:
            self._context.forget()
            self.schedule_view_change()

    def _look(self) -> None:
        if self._name and self._session.slide is not None:
            with show_errors():
                self._gestures[self._name].on_view_changed()

    def _key_pressed(self, key: str) -> Callable[[Labels], None]:
        def press(_: Labels) -> None:
            with show_errors():
                self._gestures[self._name].on_key(key)

        return press

    def _wheel_turned(self, layer: Labels, event: Any) -> None:
        if self._name and "Shift" in event.modifiers:
            self._gestures[self._name].on_wheel(1 if sum(event.delta) > 0 else -1)
            self.changed.emit()
