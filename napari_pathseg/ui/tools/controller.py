"""The tool controller: tracks the active tool and attaches interactive tools to the mask layer.

The active tool changes through `choose`, and when napari's layers or modes change.
"""

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer
from superqt.utils import qdebounced

from napari_pathseg.masks.shapes import Shape
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.context import InteractiveTool, ToolContext
from napari_pathseg.ui.tools.live_edge import part_found
from napari_pathseg.ui.tools.preferences import KEEP_TO_EDGE, ToolPreferences
from napari_pathseg.ui.tools.registry import INTERACTIVE_MODE, TOOLS, active_layer_tool, choose_tool, tool_named
from napari_pathseg.ui.widgets.notifications import show_errors

_SETTLE_MS = 200  # after the last move of the camera
_PAN_MODE = "pan_zoom"
_OFF = "Shift+K lets the brush paint as usual."


class ToolController(QObject):
    """Activates one tool at a time.

    Signals: `changed` (another tool is active, or an option was set on the canvas), `about_to_change`
    (another tool is about to be chosen).

    Attributes
    ----------
    editing
        The tool whose outline is edited before it is filled; "" if none is.
    """

    changed = Signal()
    about_to_change = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self.preferences = ToolPreferences()
        self._context = ToolContext(session, self.preferences)
        self._tools: dict[str, InteractiveTool] = {
            spec.name: spec.factory(self._context) for spec in TOOLS if spec.factory is not None
        }
        self._name = self.editing = self._paused = ""
        self._layer: Labels | None = None  # the layer the interactive tool is attached to
        self._suspended_callback: Callable[..., Any] | None = None  # napari's own, which the tool replaces
        self._suspended = False  # while Space is held
        self._prepare_later = qdebounced(self._prepare, timeout=_SETTLE_MS, parent=self)
        self._connect()

    @property
    def active_tool(self) -> str:
        """The name of the active tool; "" if it is not in the table."""
        layers = self._session.layers
        if self.editing and layers.viewer.layers.selection.active == layers.contours:
            return self.editing
        return self._name if self._name and not self._suspended else active_layer_tool(layers)

    @property
    def interactive_tool(self) -> str:
        """The name of the active interactive tool, also while Space suspends it; "" if none is active."""
        return self._name

    def choose(self, name: str) -> None:
        """Activate a tool; do nothing if no slide is in view."""
        self.about_to_change.emit()
        self.deactivate()
        if tool_named(name).factory is not None:
            self._activate(name)
        else:
            choose_tool(self._session.layers, name)
        self.changed.emit()

    def edit(self, name: str) -> None:
        """Keep a tool active while its outline is edited on the contours layer."""
        self.deactivate()
        self.editing = name
        self._session.layers.viewer.layers.selection.active = self._session.layers.contours
        self.changed.emit()

    def deactivate(self) -> None:
        """Detach the interactive tool, if one is active; napari's tools stay as they are."""
        layer, name = self._layer, self._name
        if layer is None:
            return
        self._name, self._layer = "", None
        self._tools[name].deactivate()
        self._detach(layer, name)
        if not self._suspended and str(layer.mode) == INTERACTIVE_MODE and self._suspended_callback is not None:
            layer.mouse_drag_callbacks.append(self._suspended_callback)
            layer.cursor = "cross"
        self._suspended_callback, self._suspended = None, False

    def view_changed(self) -> None:
        """Let the active tool prepare for the view, once nothing has changed for a moment."""
        if self._name:
            self._prepare_later.throttle()

    # -- attaching a tool to the layer

    def _activate(self, name: str) -> None:
        layer = self._session.layers.mask
        if layer is None:
            return
        layer.mode = _PAN_MODE
        choose_tool(self._session.layers, name)
        if str(layer.mode) != INTERACTIVE_MODE:
            return  # the project is read-only
        self._name, self._layer = name, layer
        self._attach(layer)
        for key in self._tools[name].keys:
            layer.bind_key(key, self._on_key(key), overwrite=True)
        self._prepare()

    def _attach(self, layer: Labels) -> None:
        """Replace napari's mouse callback, which setting the mode appended last, by the tool's."""
        tool = self._tools[self._name]
        self._suspended_callback = layer.mouse_drag_callbacks.pop()
        layer.mouse_drag_callbacks.append(tool.on_drag)
        layer.mouse_move_callbacks.append(tool.on_move)
        layer.mouse_double_click_callbacks.append(tool.on_double_click)
        layer.mouse_wheel_callbacks.append(self._on_wheel)
        layer.cursor = "circle" if tool.circle else "cross"

    def _detach(self, layer: Labels, name: str, *, keys: bool = True) -> None:
        tool = self._tools[name]
        for callbacks, own in (
            (layer.mouse_drag_callbacks, tool.on_drag),
            (layer.mouse_move_callbacks, tool.on_move),
            (layer.mouse_double_click_callbacks, tool.on_double_click),
            (layer.mouse_wheel_callbacks, self._on_wheel),
        ):
            if own in callbacks:
                callbacks.remove(own)
        for key in tool.keys if keys else ():
            layer.bind_key(key, None)

    # -- signals

    def _connect(self) -> None:
        viewer = self._session.layers.viewer
        viewer.scene.camera.events.center.connect(self.view_changed)
        viewer.scene.camera.events.zoom.connect(self.view_changed)
        viewer.layers.selection.events.active.connect(self._on_active_layer)
        self._session.layers.clearing.connect(self.deactivate)
        self._session.slide_changed.connect(self._on_slide)
        self._session.workspace.editing_paused.connect(self._on_pause)
        self._session.training.run_changed.connect(self._on_run)
        self._watched: Labels | None = None
        self._on_slide()

    def _limit(self, shape: Shape, label: int) -> Shape | None:
        """Return the part of a stroke of the brush that is to be painted."""
        if not self.preferences.checked(KEEP_TO_EDGE):
            return shape
        kept = part_found(self._session, shape, label)
        if kept is None:
            name = self._session.require_project().classes.name_of(label)
            self._context.show_status(f"Live finds no {name} here, so nothing is painted. {_OFF}")
        return kept

    def _on_slide(self) -> None:
        """Attach the active tool to the layer of another slide."""
        layer = self._session.layers.mask
        self._context.invalidate()
        if layer is not None and layer is not self._watched:
            self._watched = layer
            layer.events.mode.connect(self._on_mode)
            layer.limit = self._limit
        if not self._name:
            return
        name = self._name
        self.deactivate()
        if layer is not None and not self._session.read_only:
            self._activate(name)
        self.changed.emit()

    def _on_pause(self, paused: bool) -> None:
        """Activate the tool again that a person had before an import wrote the slide in view."""
        if paused:
            self._paused = self.active_tool
        elif self._paused and not self._session.read_only:
            self.choose(self._paused)

    def _on_mode(self, event: Any) -> None:
        """Suspend the tool while Space is held, and deactivate it when a tool of napari's is chosen."""
        if self._layer is None or event.source is not self._layer:
            return
        mode = str(self._layer.mode)
        if mode == INTERACTIVE_MODE and self._suspended:
            self._suspended = False
            self._attach(self._layer)
        elif mode == _PAN_MODE:
            self._suspended = True
            self._detach(self._layer, self._name, keys=False)
        elif mode != INTERACTIVE_MODE:
            self.deactivate()
        self.changed.emit()

    def _on_active_layer(self) -> None:
        """Deactivate the tool when the user selects another layer.

        If none is active, perhaps one is being removed.  The tool may remove layers of its own, but not in the middle
        of that: Qt's list of layers cannot nest it, and crashes.
        """
        if self._session.layers.viewer.layers.selection.active is None:
            QTimer.singleShot(0, self._leave_layer)
        else:
            self._leave_layer()

    def _leave_layer(self) -> None:
        """Deactivate the tool unless its layer is active."""
        active = self._session.layers.viewer.layers.selection.active
        if self._context.changing_layers or self._layer is None or active == self._layer:
            return
        layer = self._layer
        self.deactivate()
        layer.mode = _PAN_MODE
        self.changed.emit()

    def _on_run(self) -> None:
        """Use the model's new prediction once a run has ended."""
        if not self._session.training.active:
            self._context.invalidate()
            self.view_changed()

    def _prepare(self) -> None:
        if self._name and self._session.slide is not None and self._session.project is not None:  # else it closes
            with show_errors():
                self._tools[self._name].on_view_changed()

    def _on_key(self, key: str) -> Callable[[Labels], None]:
        def press(_: Labels) -> None:
            with show_errors():
                self._tools[self._name].on_key(key)

        return press

    def _on_wheel(self, layer: Labels, event: Any) -> None:
        if self._name and "Shift" in event.modifiers:
            self._tools[self._name].on_wheel(1 if sum(event.delta) > 0 else -1)
            self.changed.emit()
