"""QuPath's keys for the tools, for those who have them in their fingers; off unless a person asks for them.

Some are napari's too (B, M, P, V), so while they are on they are bound to our own layers, which
napari asks first; the user's own layers keep napari's.  The keys are those that QuPath lists [1]_;
its polyline (V) is clicked along a line, as the live-wire is.

.. [1] https://qupath.readthedocs.io/en/stable/docs/reference/shortcuts.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from napari.components import ViewerModel
from napari.layers import Layer

from napari_pathseg.ui.layers.slide_layers import METADATA_KEY
from napari_pathseg.ui.shortcuts.keymap import Key, pressed
from napari_pathseg.ui.widgets.user_settings import user_settings

QUPATH_KEYS = (
    Key("B", "brush", "Brush"),
    Key("W", "wand", "Wand"),
    Key("P", "polygon", "Polygon"),
    Key("V", "live_wire", "Live-wire"),
    Key("M", "pan", "Move and zoom"),
)
_SETTING = "qupath_keys"


def wants_qupath_keys() -> bool:
    """Return whether the user of this computer wants QuPath's keys."""
    return bool(user_settings().value(_SETTING, False, type=bool))


class QuPathKeys:
    """Binds the keys to the layers of a viewer that are ours, those that come later too; `actions` are what they do."""

    def __init__(self, viewer: ViewerModel, actions: Mapping[str, Callable[[], None]]) -> None:
        self._layers, self._actions = viewer.layers, actions
        self.on = False
        self._layers.events.inserted.connect(self._inserted)
        self._set(wants_qupath_keys())

    def turn(self, on: bool) -> None:
        """Turn them on or off, and remember it for the user of this computer."""
        user_settings().setValue(_SETTING, on)
        self._set(on)

    def _set(self, on: bool) -> None:
        self.on = on
        for layer in self._layers:
            self._bind(layer)

    def _inserted(self, event: Any) -> None:
        self._bind(event.value)

    def _bind(self, layer: Layer) -> None:
        if METADATA_KEY not in layer.metadata:
            return
        for key in QUPATH_KEYS:
            layer.bind_key(key.key, pressed(self._actions[key.action]) if self.on else None, overwrite=True)
