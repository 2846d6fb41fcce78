"""The hand: which tool is in it, and how a gesture of our own comes to the mask's layer and leaves it again."""

from collections.abc import Callable
from typing import Any

from napari.layers import Labels
from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.context import Bench, Gesture
from napari_pathseg.ui.tools.live_wire import LiveWireGesture
from napari_pathseg.ui.tools.preferences import Remembered
from napari_pathseg.ui.tools.registry import MODE, choose_tool, tool_in_hand, tool_named
from napari_pathseg.ui.tools.superpixels import SuperpixelGesture
from napari_pathseg.ui.tools.wand import WandGesture
from napari_pathseg.ui.widgets.notifications import errors_shown

_SETTLED_MS = 200  # after the last move of the camera
_RESTING = "pan_zoom"


class Hand(QObject):
    """Holds one tool at a time.

    Signals: `changed` (another tool is in hand, or it is set otherwise), `leaves` (another is about to be taken).

    Attributes
    ----------
    editing
        The tool whose outline is edited before it is filled; empty where none is.
    """

    changed = Signal()
    leaves = Signal()

    def __init__(self, session: Session, parent: QObject) -> None:
        super().__init__(parent)
        self._session = session
        self.remembered = Remembered()
        bench = self._bench = Bench(session, self.remembered)
        self._gestures: dict[str, Gesture] = {
            "wand": WandGesture(bench),
            "superpixels": SuperpixelGesture(bench),
            "live_wire": LiveWireGesture(bench),
        }
        self._name = self.editing = ""
        self._layer: Labels | None = None  # where the gesture in hand is
        self._lent: Callable[..., Any] | None = None  # what napari would do there instead
        self._rests = False
        self._settled = QTimer(self)
        self._settled.setSingleShot(True)
        self._settled.setInterval(_SETTLED_MS)
        self._settled.timeout.connect(self._look)
        self._connect()

    @property
    def in_hand(self) -> str:
        """The name of the tool in hand, empty where it is none of ours."""
        layers = self._session.layers
        if self.editing and layers.viewer.layers.selection.active == layers.contours:
            return self.editing
        return self._name if self._name and not self._rests else tool_in_hand(layers)

    @property
    def gesture(self) -> str:
        """The name of the gesture in hand, also while Space is held; empty where it is none."""
        return self._name

    def choose(self, name: str) -> None:
        """Take a tool in hand; nothing happens where no slide is in view."""
        self.leaves.emit()
        self.put_away()
        if tool_named(name).gesture:
            self._take(name)
        else:
            choose_tool(self._session.layers, name)
        self.changed.emit()

    def edit(self, name: str) -> None:
        """Keep a tool in hand while its outline is edited on the contours layer."""
        self.put_away()
        self.editing = name
        self._session.layers.viewer.layers.selection.active = self._session.layers.contours
        self.changed.emit()

    def put_away(self) -> None:
        """Take the gesture from the hand, if one is in it; napari's tools stay as they are."""
        layer, name = self._layer, self._name
        if layer is None:
            return
        self._name, self._layer = "", None
        self._gestures[name].put_away()
        self._remove(layer, name)
        if not self._rests and str(layer.mode) == MODE and self._lent is not None:
            layer.mouse_drag_callbacks.append(self._lent)
            layer.cursor = "cross"
        self._lent, self._rests = None, False

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
        self._lent = layer.mouse_drag_callbacks.pop()
        layer.mouse_drag_callbacks.append(gesture.drag)
        layer.mouse_move_callbacks.append(gesture.move)
        layer.mouse_double_click_callbacks.append(gesture.double_click)
        layer.mouse_wheel_callbacks.append(self._wheel_turned)
        layer.cursor = "circle" if gesture.circle else "cross"

    def _remove(self, layer: Labels, name: str, *, keys: bool = True) -> None:
        gesture = self._gestures[name]
        for callbacks, own in (
            (layer.mouse_drag_callbacks, gesture.drag),
            (layer.mouse_move_callbacks, gesture.move),
            (layer.mouse_double_click_callbacks, gesture.double_click),
            (layer.mouse_wheel_callbacks, self._wheel_turned),
        ):
            if own in callbacks:
                callbacks.remove(own)
        for key in gesture.keys if keys else ():
            layer.bind_key(key, None)

    # -- what it listens to

    def _connect(self) -> None:
        viewer = self._session.layers.viewer
        viewer.scene.camera.events.center.connect(self.look_soon)
        viewer.scene.camera.events.zoom.connect(self.look_soon)
        viewer.layers.selection.events.active.connect(self._active_changed)
        self._session.slide_changed.connect(self._slide_changed)
        self._session.learning.run_changed.connect(self._learnt)
        self._heard: Labels | None = None
        self._slide_changed()

    def _slide_changed(self) -> None:
        """Begin anew on another slide, with the tool that is in hand."""
        layer = self._session.layers.mask
        self._bench.forget()
        if layer is not None and layer is not self._heard:
            self._heard = layer
            layer.events.mode.connect(self._mode_changed)
        if not self._name:
            return
        name = self._name
        self.put_away()
        if layer is not None and not self._session.read_only:
            self._take(name)
        self.changed.emit()

    def _mode_changed(self, event: Any) -> None:
        """Rest while Space is held, and leave where napari's own tool was taken."""
        if self._layer is None or event.source is not self._layer:
            return
        mode = str(self._layer.mode)
        if mode == MODE and self._rests:
            self._rests = False
            self._bring(self._layer)
        elif mode == _RESTING:
            self._rests = True
            self._remove(self._layer, self._name, keys=False)
        elif mode != MODE:
            self.put_away()
        self.changed.emit()

    def _active_changed(self, *_: Any) -> None:
        active = self._session.layers.viewer.layers.selection.active
        if self._bench.arranging or self._layer is None or active == self._layer:
            return
        layer = self._layer
        self.put_away()
        layer.mode = _RESTING
        self.changed.emit()

    def look_soon(self, *_: Any) -> None:
        """Have the gesture look at the slide anew, once nothing has moved for a moment."""
        if self._name:
            self._settled.start()

    def _learnt(self) -> None:
        """Take up what the model says now."""
        if not self._session.learning.active:
            self._bench.forget()
            self.look_soon()

    def _look(self) -> None:
        if self._name and self._session.slide is not None:
            with errors_shown():
                self._gestures[self._name].look()

    def _key_pressed(self, key: str) -> Callable[[Labels], None]:
        def press(_: Labels) -> None:
            with errors_shown():
                self._gestures[self._name].press_key(key)

        return press

    def _wheel_turned(self, layer: Labels, event: Any) -> None:
        if self._name and "Shift" in event.modifiers:
            self._gestures[self._name].turn(1 if sum(event.delta) > 0 else -1)
            self.changed.emit()
