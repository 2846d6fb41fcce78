"""Outlines on the contours layer: filled when they are finished, or edited corner by corner first.

An outline being edited stays with its slide; editing continues when the slide is shown again.
"""

from collections.abc import Callable, Iterator
from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import QObject
from superqt.utils import qthrottled

from napari_pathseg.ui.layers.slide_layers import DrawnShape, drawn_shapes
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.context import SUBTRACT
from napari_pathseg.ui.tools.controller import ToolController
from napari_pathseg.ui.tools.preferences import EDIT_FIRST
from napari_pathseg.ui.tools.registry import draws_outline
from napari_pathseg.ui.widgets.notifications import show_errors

_EDIT_MODE = "direct"  # napari's mode in which corners are dragged
_KEYS = {"Enter": "fill", "Alt-Enter": "cut", "Escape": "discard"}
_UNDO, _REDO = "Control-Z", "Control-Shift-Z"  # the mask's, as in `shortcuts`
_LINE_WIDTH, _EDITED_LINE_WIDTH = 2.5, 5.0  # screen pixels
_HELP = "Enter fills the outline\nAlt+Enter cuts it out\nEscape discards it\nCtrl+Z moves a corner back"
_MAX_UNDO = 100  # moves of corners
DrawnShapes = list[DrawnShape]


class PolygonEditor(QObject):
    """Fills outlines drawn on the contours layer; held at the end, Alt cuts them out.

    Parameters
    ----------
    label
        Returns the class to fill with.
    """

    def __init__(self, session: Session, controller: ToolController, label: Callable[[], int], parent: QObject) -> None:
        super().__init__(parent)
        self._session, self._controller, self._label = session, controller, label
        self._watched: Shapes | None = None
        self._cuts = False  # whether Alt was held when the outline was finished
        self._finished_on = ""  # the slide of a finished outline that is not filled yet
        self._in_edit: dict[str, tuple[str, bool]] = {}  # by slide: the tool that drew the outline, and whether it cuts
        self._undo_stack: list[DrawnShapes] = []  # the outlines before each move of a corner
        self._redo_stack: list[DrawnShapes] = []
        self._current: DrawnShapes = []
        # napari is still handling the event when it reports it, hence the delay of 0
        self._fill_later = qthrottled(self._on_finished, timeout=0, leading=False, parent=self)
        self._select_later = qthrottled(self._keep_selected, timeout=0, leading=False, parent=self)
        self._redraw_later = qthrottled(self._update_line_width, timeout=100, leading=False, parent=self)
        session.layers.viewer.scene.camera.events.zoom.connect(self._redraw_later.throttle)
        session.slide_changed.connect(self._on_slide)
        controller.about_to_change.connect(self._finish_edit)

    def _on_slide(self) -> None:
        """Watch the contours of the slide in view, and continue an edit that was left there."""
        layer, slide = self._session.layers.contours, self._session.slide
        self._controller.editing = self._finished_on = ""
        self._unbind_keys()
        if layer is None or slide is None:
            self._in_edit.clear()
            return
        if layer is not self._watched:
            self._watched = layer
            layer.opacity = 1.0  # thin lines on busy tissue
            layer.events.data.connect(self._on_data)
            layer.mouse_drag_callbacks.append(self._watch_drag)
            layer.mouse_double_click_callbacks.insert(0, self._watch_click)
        self._redraw_later.throttle()
        name, self._cuts = self._in_edit.get(slide.id, ("polygon", False))
        if self._session.layers.drawn_outlines() and not self._session.read_only:
            self._edit(name if draws_outline(name) else "polygon")

    # -- finishing an outline

    def _watch_drag(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Record whether Alt is held when the button is released."""
        self._cuts = SUBTRACT in event.modifiers
        yield
        while event.type == "mouse_move":
            yield
        self._cuts = SUBTRACT in event.modifiers
        self._select_later.throttle()

    def _watch_click(self, layer: Shapes, event: Any) -> None:
        self._cuts = SUBTRACT in event.modifiers

    def _on_data(self, event: Any) -> None:
        slide, action = self._session.slide, str(getattr(event, "action", ""))
        if action == "added" and slide is not None:
            self._finished_on = slide.id
            self._fill_later.throttle()
        elif action == "changed" and self._controller.editing and self._session.layers.contours is not None:
            self._undo_stack = [*self._undo_stack, self._current][-_MAX_UNDO:]
            self._redo_stack, self._current = [], drawn_shapes(self._session.layers.contours)

    def _on_finished(self) -> None:
        """Fill a finished outline, or start to edit it."""
        slide, finished_on, self._finished_on = self._session.slide, self._finished_on, ""
        if slide is None or slide.id != finished_on or self._session.read_only:
            return
        if not self._session.layers.drawn_outlines():
            return
        if self._controller.preferences.checked(EDIT_FIRST):
            self._edit(self._controller.interactive_tool or self._controller.active_tool)
        else:
            self._fill(cut=self._cuts)

    # -- editing

    def _edit(self, name: str) -> None:
        """Let the user drag corners until a key ends it; the tool that drew the outline stays active."""
        layer = self._session.layers.contours
        assert layer is not None
        self._in_edit[self._session.require_slide().id] = name, self._cuts
        if draws_outline(name):
            self._controller.edit(name)
        layer.mode = _EDIT_MODE
        self._undo_stack, self._redo_stack, self._current = [], [], drawn_shapes(layer)
        for key, action in _KEYS.items():
            layer.bind_key(key, self._on_key(action), overwrite=True)
        layer.bind_key(_UNDO, self.undo, overwrite=True)
        layer.bind_key(_REDO, self.redo, overwrite=True)
        self._keep_selected()
        self._update_line_width()
        self._show_help(_HELP)

    def _show_help(self, text: str) -> None:
        """Show the keys over the slide, or hide them; the status bar is cleared when the mouse moves."""
        overlay = self._session.layers.viewer.canvas.overlays.text
        if text or overlay.text == _HELP:  # a text of the user's own stays
            overlay.text, overlay.visible, overlay.box = text, bool(text), True

    def _keep_selected(self) -> None:
        """Keep the outline selected, so that its corners show; a click next to it would deselect it."""
        layer = self._session.layers.contours
        if self._controller.editing and layer is not None and len(layer.data) and not layer.selected_data:
            layer.selected_data = {len(layer.data) - 1}

    def undo(self, _: Shapes | None = None) -> None:
        """Undo the last move of a corner; undo reaches the mask only when no outline is edited."""
        self._step(self._undo_stack, self._redo_stack)

    def redo(self, _: Shapes | None = None) -> None:
        """Redo the move of a corner."""
        self._step(self._redo_stack, self._undo_stack)

    def _step(self, source: list[DrawnShapes], target: list[DrawnShapes]) -> None:
        layer = self._session.layers.contours
        if not source or layer is None:
            return
        target.append(self._current)
        self._current = source.pop()
        with layer.events.data.blocker():
            layer.selected_data = set()
            layer.data = self._current
        self._keep_selected()
        self._update_line_width()

    def _on_key(self, action: str) -> Callable[[Shapes], None]:
        def press(_: Shapes) -> None:
            self._end(action)

        return press

    def _end(self, action: str) -> None:
        """Fill, cut out or discard the edited outline, and activate the tool that drew it."""
        name = self._controller.editing or "polygon"
        self._stop_editing()
        if action == "discard":
            self._session.layers.clear_outlines()
        else:
            self._fill(cut=action == "cut" or self._cuts)
        self._controller.choose(name)

    def _stop_editing(self) -> None:
        self._controller.editing = ""
        if self._session.slide is not None:
            self._in_edit.pop(self._session.slide.id, None)
        self._unbind_keys()
        self._redraw_later.throttle()

    def _unbind_keys(self) -> None:
        self._show_help("")
        layer = self._session.layers.contours
        if layer is not None:
            for key in (*_KEYS, _UNDO, _REDO):
                layer.bind_key(key, None)

    def _finish_edit(self) -> None:
        """Fill the edited outline when another tool is chosen, so that nothing drawn is lost."""
        if self._controller.editing:
            self._stop_editing()
            self._fill(cut=self._cuts)

    def _fill(self, *, cut: bool) -> None:
        self._cuts = False
        with show_errors():
            self._session.editor.rasterize_outlines(0 if cut else self._label())

    def _update_line_width(self) -> None:
        """Keep lines equally wide on screen at any zoom."""
        layers = self._session.layers
        if layers.contours is None:
            return
        line = _EDITED_LINE_WIDTH if self._controller.editing else _LINE_WIDTH
        width = line / (float(layers.viewer.scene.camera.zoom) * float(layers.contours.scale[-1]))
        layers.contours.current_edge_width = width
        if len(layers.contours.data):
            layers.contours.edge_width = width
