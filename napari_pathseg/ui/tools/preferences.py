"""How a user of this computer likes the tools: widths, sensitivity, size of patches."""

from napari_pathseg.ui.widgets.user_settings import user_settings

_GROUP = "tools"
WIDTHS = {"wand": 120}  # pixels on screen; what reaches out wants more than what paints
WIDTH = 24
SENSITIVITY = 1.5  # as WandConfig has it
PATCH = 30  # pixels on screen, from side to side of a superpixel


class ToolPreferences:
    """The choices of a user; each is written when it is made."""

    def width(self, tool: str) -> int:
        """Return how wide a tool paints or reaches, in pixels of the screen."""
        return self._whole(_width_of(tool), WIDTHS.get(tool, WIDTH))

    def set_width(self, tool: str, width: int) -> None:
        """Remember how wide a tool paints."""
        self._keep(_width_of(tool), width)

    @property
    def sensitivity(self) -> float:
        """How picky the wand is."""
        return self._whole("wand_sensitivity", round(10 * SENSITIVITY)) / 10

    @sensitivity.setter
    def sensitivity(self, value: float) -> None:
        self._keep("wand_sensitivity", round(10 * value))

    @property
    def patch_size(self) -> int:
        """How large a superpixel is, in pixels of the screen."""
        return self._whole("patch", PATCH)

    @patch_size.setter
    def patch_size(self, value: int) -> None:
        self._keep("patch", value)

    @property
    def edit_first(self) -> bool:
        """Whether outlines are edited before they are filled."""
        return bool(self._whole("edit_first", 0))

    @edit_first.setter
    def edit_first(self, value: bool) -> None:
        self._keep("edit_first", int(value))

    def _whole(self, name: str, default: int) -> int:
        text = str(user_settings().value(f"{_GROUP}/{name}", default))
        return int(text) if text.isdecimal() else default

    def _keep(self, name: str, value: int) -> None:
        user_settings().setValue(f"{_GROUP}/{name}", value)


def _width_of(tool: str) -> str:
    return f"{tool}_width" if tool in WIDTHS else "brush_width"
