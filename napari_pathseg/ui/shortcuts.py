"""Keyboard shortcuts: one list, bound while the canvas has the focus; QuPath's keys where the user wants them.

No key of the list is one of napari's.  Some of QuPath's are (B, M, P, V), and so are those that decide on a place that
is framed (A, X, S), that of the borders while Review is open (C), undo and redo: while they are on, they are bound to
our own layers, which napari asks first, and the user's own layers keep napari's keys.  QuPath's are those that it
documents [1]_.

.. [1] https://qupath.readthedocs.io/en/stable/docs/reference/shortcuts.html
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer
from napari.viewer import Viewer

from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.tools.registry import TOOLS
from napari_pathseg.ui.widgets.user_settings import user_settings

CLASS_KEYS = 9  # classes that have a key
_HIDE_MASK = "hold_mask"
_QUPATH_SETTING = "qupath_keys"


@dataclass(frozen=True)
class Key:
    """A key as napari writes it, the action it triggers, and its description."""

    key: str
    action: str
    help: str

    @property
    def text(self) -> str:
        """The key as menus write it."""
        names = {"Control": "Ctrl", "PageUp": "PgUp", "PageDown": "PgDn"}
        return "+".join(names.get(part, part) for part in self.key.split("-"))


KEYS = (
    Key("PageDown", "next_slide", "Show the next slide"),
    Key("PageUp", "previous_slide", "Show the previous slide"),
    *(Key(f"Alt-{number}", f"class_{number}", f"Select class {number}") for number in range(1, CLASS_KEYS + 1)),
    *(Key(tool.key, tool.name, tool.title) for tool in TOOLS),
    Key("Shift-K", "keep_to_edge", "Brush: paint only what Live finds, or as usual again"),
    Key("Shift-C", "clean", "Clean up"),
    Key("Shift-R", "select", "Select areas to work on"),
    Key("Shift-X", "complete_box", "Complete box"),
    Key("Control-Z", "undo", "Undo"),
    Key("Control-Shift-Z", "redo", "Redo"),
    Key("Shift-Y", "accept", "Accept what the model found in view"),
    Key("Shift-J", "reject", "Reject what the model found in view"),
    Key("N", "next_place", "Review: go to the next place to annotate"),
    Key("Shift-N", "previous_place", "Review: go back to the place before"),
    Key("Shift-T", "flicker", "Review: show the other of two models"),
    Key("Shift-O", "live_overlay", "Hide what the live model finds, or show it"),
    Key("H", _HIDE_MASK, "Hide all but the slide while held"),
    Key("Shift-H", "canvas_only", "Hide all but the slide, or show the panels again"),
)
PLACE_KEYS = (
    Key("A", "accept_place", "Place in the frame: take what the model says"),
    Key("X", "none_in_place", "Place in the frame: none here (Background), or keep my labels"),
    Key("S", "skip_place", "Place in the frame: skip it"),
)
REVIEW_KEYS = (Key("C", "only_contour", "Review: show only the borders of the mask, or areas again"),)
UNDO_KEYS = tuple(key for key in KEYS if key.action in ("undo", "redo"))  # napari's labels layers have them, too
QUPATH_KEYS = tuple(Key(tool.qupath_key, tool.name, tool.title) for tool in TOOLS if tool.qupath_key)
_OTHERS = (  # of the mouse, of active tools, and of napari
    ("F1", "Help for the section that is open"),
    ("Alt", "Held while painting: erase"),
    ("Hold the button", "Wand: grow from there"),
    ("Right-drag", "Brush, eraser: draw around an area and fill it"),
    ("Shift+wheel", "Wand: how much it selects; superpixels: their size"),
    ("Enter, Alt+Enter", "Live-wire, edited outline: fill it, cut it out"),
    ("Escape", "Live-wire, edited outline: discard it; wand: cancel what it grows"),
    ("Backspace", "Live-wire: remove the last point"),
    ("L", "Pick the class under the mouse (napari's)"),
    ("Space", "Move and zoom while held (napari's)"),
)
_BY_ACTION = {key.action: key for key in (*KEYS, *PLACE_KEYS, *REVIEW_KEYS)}


def with_key(help: str, action: str) -> str:
    """Append the key of an action to a tool-tip."""
    key = _BY_ACTION.get(action)
    return help if key is None else f"{help} ({key.text})"


def bind_keys(viewer: Viewer, actions: Mapping[str, Callable[[], None]], hide_overlays: Callable[[bool], None]) -> None:
    """Bind all keys to a viewer; `hide_overlays` is called with True when its key goes down, False when it goes up."""

    def held(_: Viewer) -> Iterator[None]:
        hide_overlays(True)
        yield
        hide_overlays(False)

    for key in KEYS:
        viewer.bind_key(key.key, held if key.action == _HIDE_MASK else _callback(actions[key.action]), overwrite=True)


def unbind_keys(viewer: Viewer) -> None:
    """Remove all keys from a viewer."""
    for key in KEYS:
        viewer.bind_key(key.key, None)


def keys_text(more: Iterable[Key] = ()) -> str:
    """Return the list of keys as a rich-text table; `more` are QuPath's keys, if they are on."""
    shown = [key for key in (*KEYS, *PLACE_KEYS, *REVIEW_KEYS) if not key.action.startswith("class_")]
    rows = [(key.text, key.help) for key in shown]
    rows += [(key.text, f"{key.help} (QuPath's)") for key in more]
    rows.insert(2, (f"Alt+1 … {CLASS_KEYS}", "Select a class"))
    rows += _OTHERS
    cells = "<td style='white-space: nowrap'><b>{}</b></td><td style='white-space: nowrap; padding-left: 8px'>{}</td>"
    lines = "".join(f"<tr>{cells.format(key, help)}</tr>" for key, help in rows)
    return f"<table cellspacing='2'>{lines}</table>"


class LayerKeys:
    """Binds keys to the plugin's layers of a `kind`, including layers added later, so that they come before napari's.

    Attributes
    ----------
    on
        Whether they are bound.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        keys: Iterable[Key],
        actions: Mapping[str, Callable[[], None]],
        kind: type[Layer] = Layer,
    ) -> None:
        self._layers, self._keys, self._actions, self._kind = viewer.layers, tuple(keys), actions, kind
        self.on = False
        self._layers.events.inserted.connect(self._on_inserted)

    def set_on(self, on: bool) -> None:
        """Bind the keys, or leave them to napari."""
        if on != self.on:
            self.on = on
            for layer in self._layers:
                self._bind(layer)

    def _on_inserted(self, event: Any) -> None:
        if self.on:
            self._bind(event.value)

    def _bind(self, layer: Layer) -> None:
        if METADATA_KEY not in layer.metadata or not isinstance(layer, self._kind):
            return
        for key in self._keys:
            layer.bind_key(key.key, _callback(self._actions[key.action]) if self.on else None, overwrite=True)


class QuPathKeys:
    """QuPath's keys, off unless the user of this computer turned them on."""

    def __init__(self, viewer: ViewerModel, actions: Mapping[str, Callable[[], None]]) -> None:
        self._keys = LayerKeys(viewer, QUPATH_KEYS, actions)
        self._keys.set_on(bool(user_settings().value(_QUPATH_SETTING, False, type=bool)))

    @property
    def on(self) -> bool:
        """Whether they are bound."""
        return self._keys.on

    def set_on(self, on: bool) -> None:
        """Turn the keys on or off, and store that for the user of this computer."""
        user_settings().setValue(_QUPATH_SETTING, on)
        self._keys.set_on(on)


def _callback(action: Callable[[], None]) -> Callable[[Any], None]:
    """Wrap an action as a key callback, which napari calls with the viewer or layer."""
    return lambda _: action()
