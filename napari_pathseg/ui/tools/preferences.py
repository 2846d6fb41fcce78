"""The options of the tools, and their values as the user of this computer last set them."""

from dataclasses import dataclass

from napari_pathseg.interactive import WandConfig
from napari_pathseg.ui.widgets.user_settings import user_settings

_GROUP = "tools"


@dataclass(frozen=True, kw_only=True)
class SliderOption:
    """A number set by a slider, or by Shift and the wheel.

    Attributes
    ----------
    key
        The name it is stored under.
    minimum, maximum, default, step
        In slider units, whole numbers; `step` is one notch of the wheel.
    divisor
        Slider units per unit of the value.
    """

    key: str
    label: str
    help: str
    unit: str
    minimum: int
    maximum: int
    default: int
    step: int
    divisor: int


@dataclass(frozen=True, kw_only=True)
class CheckOption:
    """An option set by a check box."""

    key: str
    label: str
    help: str
    default: bool


ToolOption = SliderOption | CheckOption

BRUSH_WIDTH = SliderOption(
    key="brush_width",
    label="Brush",
    help="Width of the brush on screen. Zoom in to paint finer.",
    unit="px",
    minimum=2,
    maximum=200,
    default=24,
    step=2,
    divisor=1,
)
WAND_REACH = SliderOption(
    key="wand_width",
    label="Reach",
    help="How far around the cursor the wand looks, on screen.",
    unit="px",
    minimum=2,
    maximum=200,
    default=120,  # a tool that reaches out needs more than one that paints
    step=2,
    divisor=1,
)
SENSITIVITY = SliderOption(
    key="wand_sensitivity",
    label="Sensitivity",
    help="Lower values select more at once (Shift and the wheel).",
    unit="",
    minimum=3,  # beyond these limits the wand selects everything or nothing
    maximum=50,
    default=round(10 * WandConfig().sensitivity),
    step=1,
    divisor=10,
)
PATCH_SIZE = SliderOption(
    key="patch",
    label="Patch size",
    help="Width of a superpixel on screen (Shift and the wheel).",
    unit="px",
    minimum=8,
    maximum=100,
    default=30,
    step=2,
    divisor=1,
)
KEEP_TO_EDGE = CheckOption(
    key="keep_to_edge",
    label="Keep to Live's edges",
    help="Of what is under the brush, paint only what Live finds to be the selected class, so that a stroke ends\n"
    "where Live sees the border. Where Live has no answer, or is hidden, the brush paints as usual. Use it along\n"
    "borders that Live follows well; turn it off to correct Live itself. The eraser does not change (Shift+K).",
    default=False,
)
EDIT_FIRST = CheckOption(
    key="edit_first",
    label="Edit outlines before filling",
    help="Correct a finished outline by dragging its corners. Then Enter fills it, Alt+Enter cuts it out\n"
    "and Escape discards it.",
    default=False,
)


class ToolPreferences:
    """The values of the options; each is stored when it is set."""

    def slider(self, option: SliderOption) -> int:
        """Return the position of an option's slider."""
        return _stored(option.key, option.default)

    def set_slider(self, option: SliderOption, position: int) -> None:
        """Store the position of an option's slider, within its limits."""
        _store(option.key, min(option.maximum, max(option.minimum, position)))

    def value(self, option: SliderOption) -> float:
        """Return the value of an option."""
        return self.slider(option) / option.divisor

    def change(self, option: SliderOption, notches: int) -> None:
        """Change an option by some notches of the wheel."""
        self.set_slider(option, self.slider(option) + option.step * notches)

    def checked(self, option: CheckOption) -> bool:
        """Return whether an option's box is ticked."""
        return bool(_stored(option.key, int(option.default)))

    def set_checked(self, option: CheckOption, checked: bool) -> None:
        """Store whether an option's box is ticked."""
        _store(option.key, int(checked))


def _stored(key: str, default: int) -> int:
    text = str(user_settings().value(f"{_GROUP}/{key}", default))
    return int(text) if text.isdecimal() else default


def _store(key: str, value: int) -> None:
    user_settings().setValue(f"{_GROUP}/{key}", value)
