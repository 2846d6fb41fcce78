"""PolygonEditor on the contours layer, once they are ended: filled at once, or mended corner by corner first.

One that is being mended stays with its slide, and is mended on when the slide comes back into view.
"""

from collections.abc import Callable, Iterator
from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_pathseg.ui.layers.slide_layers import DrawnShape, drawn_shapes
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.controller import ToolController
from napari_pathseg.ui.tools.registry import OUTLINES
from napari_pathseg.ui.widgets.notifications import show_errors

_EDITING = "direct"  # napari's mode in which corners are dragged
_KEYS = {"Enter": "fill", "Alt-Enter": "cut", "Escape": "drop"}
_UNDO, _REDO = "Control-Z", "Control-Shift-Z"  # as of masks, in `keys`
_LINE, _EDITED_LINE = 2.5, 5.0  # pixels on screen
_HELP = "Enter fills the outline\nAlt+Enter cuts it out\nEscape drops it\nCtrl+Z takes a corner back"
_KEPT = 100  # steps of moving corners
_SUBTRACT = "Alt"
DrawnShapes = list[DrawnShape]


class PolygonEditor(QObject):
    """Fills what is drawn on the contours layer of the slide in view; with Alt at its end it is cut out.

    Parameters
    ----------
    label
        Returns the class that is filled in.
    """

    def __init__(self, session: Session, controller: ToolController, label: Callable[[], int], parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._controller, self._label = session, controller, label
        self._heard: Shapes | None = None
        self._cuts = False  # whether Alt was held when the outline was ended
        self._ended_on = ""  # the slide on which an outline was ended that is still to be taken up
        self._mended: dict[str, tuple[str, bool]] = {}  # by slide: the tool that drew the outline, and whether it cuts
        self._before: list[DrawnShapes] = []  # the outlines before each move of a corner, the last one at the end
        self._after: list[DrawnShapes] = []  # those that were taken back
        self._now: DrawnShapes = []
        self._ended = qthrottled(self._take_up, timeout=0, leading=False, parent=self)  # napari is still at work on it
        self._kept = qthrottled(self._keep_corners, timeout=0, leading=False, parent=self)
        self._zoomed = qthrottled(self._draw_as_thin, timeout=100, leading=False, parent=self)
        session.layers.viewer.scene.camera.events.zoom.connect(self._zoomed.throttle)
        session.slide_changed.connect(self._listen)
        controller.about_to_change.connect(self._tool_left)

    def _listen(self) -> None:
        """Listen to the contours of the slide in view, and go on with what was being edited there."""
        layer, slide = self._session.layers.contours, self._session.slide
        self._controller.editing = self._ended_on = ""
        self._unbind()
        if layer is None or slide is None:
            self._mended.clear()
            return
        if layer is not self._heard:
            self._heard = layer
            layer.opacity = 1.0  # thin lines on busy tissue
            layer.events.data.connect(self._changed)
            layer.mouse_drag_callbacks.append(self._watch_drag)
            layer.mouse_double_click_callbacks.insert(0, self._watch_click)
        self._zoomed.throttle()
        name, self._cuts = self._mended.get(slide.id, ("polygon", False))
        if self._session.layers.drawn_outlines() and not self._session.read_only:
            self._edit(name if name in OUTLINES else "polygon")

    # -- how an outline is ended

    def _watch_drag(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Take note of whether Alt is held, until the mouse is let go."""
        self._cuts = _SUBTRACT in event.modifiers
        yield
        while event.type == "mouse_move":
            yield
        self._cuts = _SUBTRACT in event.modifiers
        self._kept.throttle()

    def _watch_click(self, layer: Shapes, event: Any) -> None:
        self._cuts = _SUBTRACT in event.modifiers

    def _changed(self, event: Any) -> None:
        slide, action = self._session.slide, str(getattr(event, "action", ""))
        if action == "added" and slide is not None:
            self._ended_on = slide.id
            self._ended.throttle()
        elif action == "changed" and self._controller.editing and self._session.layers.contours is not None:
            self._before = [*self._before, self._now][-_KEPT:]
            self._after, self._now = [], drawn_shapes(self._session.layers.contours)

    def _take_up(self) -> None:
        """Fill what was ended, or have it edited first."""
        slide, ended_on, self._ended_on = self._session.slide, self._ended_on, ""
        if slide is None or slide.id != ended_on or self._session.read_only:
            return
        if not self._session.layers.drawn_outlines():
            return
        if self._controller.preferences.edit_first:
            self._edit(self._controller.interactive_tool or self._controller.active_tool)
        else:
            self._burn(cut=self._cuts)

    # -- editing

    def _edit(self, name: str) -> None:
        """Let corners be dragged until a key ends it, with the tool in hand that drew the outline."""
        layer = self._session.layers.contours
        assert layer is not None
        self._mended[self._session.require_slide().id] = name, self._cuts
        if name in OUTLINES:
            self._controller.edit(name)
        layer.mode = _EDITING
        self._before, self._after, self._now = [], [], drawn_shapes(layer)
        for key, deed in _KEYS.items():
            layer.bind_key(key, self._pressed(deed), overwrite=True)
        layer.bind_key(_UNDO, self.undo, overwrite=True)
        layer.bind_key(_REDO, self.redo, overwrite=True)
        self._keep_corners()
        self._draw_as_thin()
        self._say(_HELP)

    def _say(self, text: str) -> None:
        """Write over the slide what keys do, or nothing: the status bar forgets it when the mouse moves."""
        overlay = self._session.layers.viewer.canvas.overlays.text
        if text or overlay.text == _HELP:  # a text of the user's own stays
            overlay.text, overlay.visible, overlay.box = text, bool(text), True

    def _keep_corners(self) -> None:
        """Keep the outline's corners in sight: a click beside it would let go of it."""
        layer = self._session.layers.contours
        if self._controller.editing and layer is not None and len(layer.data) and not layer.selected_data:
            layer.selected_data = {len(layer.data) - 1}

    def undo(self, _: Shapes | None = None) -> None:
        """Take the last move of a corner back; the mask is another matter as long as there is one to edit."""
        self._step(self._before, self._after)

    def redo(self, _: Shapes | None = None) -> None:
        """Move the corner again."""
        self._step(self._after, self._before)

    def _step(self, taken: list[DrawnShapes], put: list[DrawnShapes]) -> None:
        layer = self._session.layers.contours
        if not taken or layer is None:
            return
        put.append(self._now)
        self._now = taken.pop()
        with layer.events.data.blocker():
            layer.selected_data = set()
            layer.data = self._now
        self._keep_corners()
        self._draw_as_thin()

    def _pressed(self, deed: str) -> Callable[[Shapes], None]:
        def press(_: Shapes) -> None:
            self._end(deed)

        return press

    def _end(self, deed: str) -> None:
        """Fill, cut out or drop what was edited, and take the tool in hand again that drew it."""
        name = self._controller.editing or "polygon"
        self._leave()
        if deed == "drop":
            self._session.layers.clear_outlines()
        else:
            self._burn(cut=deed == "cut" or self._cuts)
        self._controller.choose(name)

    def _leave(self) -> None:
        self._controller.editing = ""
        if self._session.slide is not None:
            self._mended.pop(self._session.slide.id, None)
        self._unbind()
        self._zoomed.throttle()

    def _unbind(self) -> None:
        self._say("")
        layer = self._session.layers.contours
        if layer is not None:
            for key in (*_KEYS, _UNDO, _REDO):
                layer.bind_key(key, None)

    def _tool_left(self) -> None:
        """Fill what is being edited when another tool is taken, so that nothing drawn is lost."""
        if self._controller.editing:
            self._leave()
            self._burn(cut=self._cuts)

    def _burn(self, *, cut: bool) -> None:
        self._cuts = False
        with show_errors():
            self._session.editor.rasterize_outlines(0 if cut else self._label())

    # -- how it looks

    def _draw_as_thin(self) -> None:
        """Draw lines as wide on screen at any zoom."""
        layers = self._session.layers
        if layers.contours is None:
            return
        line = _EDITED_LINE if self._controller.editing else _LINE
        width = line / (float(layers.viewer.scene.camera.zoom) * float(layers.contours.scale[-1]))
        layers.contours.current_edge_width = width
        if len(layers.contours.data):
            layers.contours.edge_width = width
