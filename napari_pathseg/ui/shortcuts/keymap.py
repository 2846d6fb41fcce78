"""All keys in one table; they work while the canvas has the focus and take none of napari's."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from napari.viewer import Viewer


@dataclass(frozen=True)
class Key:
    """A key as napari names it, the action it does, and what that is in words."""

    key: str
    action: str
    help: str

    @property
    def text(self) -> str:
        """The key as it is written in menus."""
        names = {"Control": "Ctrl", "PageUp": "PgUp", "PageDown": "PgDn"}
        return "+".join(names.get(part, part) for part in self.key.split("-"))


KEYS = (
    Key("PageDown", "next_slide", "Show the next slide"),
    Key("PageUp", "previous_slide", "Show the slide before"),
    *(Key(f"Alt-{number}", f"class_{number}", f"Select class {number}") for number in range(1, 10)),
    Key("Shift-B", "brush", "Brush"),
    Key("Shift-E", "eraser", "Eraser"),
    Key("Shift-W", "wand", "Wand"),
    Key("Shift-S", "superpixels", "Superpixels"),
    Key("Shift-F", "fill", "Fill"),
    Key("Shift-I", "live_wire", "Live-wire"),
    Key("Shift-G", "polygon", "Polygon"),
    Key("Shift-D", "lasso", "Lasso: draw freehand"),
    Key("Shift-M", "pan", "Move and zoom"),
    Key("Shift-C", "clean", "Clean up"),
    Key("Shift-R", "select", "Select areas to work on"),
    Key("Shift-X", "complete_box", "Complete box"),
    Key("Control-Z", "undo", "Undo"),
    Key("Control-Shift-Z", "redo", "Redo"),
    Key("Shift-Y", "accept", "Accept what the model found in view"),
    Key("Shift-N", "reject", "Reject what the model found in view"),
    Key("H", "hold_mask", "Hide the mask while held"),
)
_OTHERS = (  # of the mouse, of tools while they are in hand, and of napari
    ("Alt", "Held with a tool that paints: take away"),
    ("Right-drag", "Brush, eraser: draw around an area and fill it"),
    ("Shift+wheel", "Wand: how much at once; superpixels: how wide"),
    ("Enter, Alt+Enter", "Live-wire, edited outline: fill it, cut it out"),
    ("Escape", "Live-wire, edited outline: drop it"),
    ("Backspace", "Live-wire: take the last point back"),
    ("L", "Pick the class under the mouse (napari's)"),
    ("Space", "Move and zoom while held (napari's)"),
)
_BY_ACTION = {key.action: key for key in KEYS}


def with_key(help: str, action: str) -> str:
    """Return a tool-tip with the key of its action."""
    key = _BY_ACTION.get(action)
    return help if key is None else f"{help} ({key.text})"


def bind_keys(viewer: Viewer, actions: Mapping[str, Callable[[], None]], hold: Callable[[bool], None]) -> None:
    """Bind the table to a viewer; `hold` is told when the mask is to be hidden and shown again."""

    def held(_: Viewer) -> Iterator[None]:
        hold(True)
        yield
        hold(False)

    for key in KEYS:
        viewer.bind_key(key.key, held if key.action == "hold_mask" else pressed(actions[key.action]), overwrite=True)


def unbind_keys(viewer: Viewer) -> None:
    """Take the table from a viewer."""
    for key in KEYS:
        viewer.bind_key(key.key, None)


def pressed(action: Callable[[], None]) -> Callable[[Any], None]:
    """Return what napari calls with a viewer or a layer when a key is pressed."""
    return lambda _: action()


def keys_text(more: Iterable[Key] = ()) -> str:
    """Return the table as rich text, a line for each key."""
    shown = [key for key in KEYS if not key.action.startswith("class_")]
    rows = [(key.text, key.help) for key in shown]
    rows += [(key.text, f"{key.help} (QuPath's)") for key in more]
    rows.insert(2, ("Alt+1 … 9", "Select a class"))
    rows += _OTHERS
    lines = "".join(f"<tr><td><b>{key}</b></td><td>&nbsp;&nbsp;{help}</td></tr>" for key, help in rows)
    return f"<table cellspacing='4'>{lines}</table>"
