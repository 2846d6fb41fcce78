"""The options of the active tool, as listed in the tool table: sliders and check boxes."""

from functools import partial
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QWidget
from superqt import QLabeledDoubleSlider, QLabeledSlider
from superqt.utils import signals_blocked

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools.controller import ToolController
from napari_pathseg.ui.tools.preferences import (
    BRUSH_WIDTH,
    EDIT_FIRST,
    KEEP_TO_EDGE,
    WAND_REACH,
    CheckOption,
    SliderOption,
)
from napari_pathseg.ui.tools.registry import PAN, TOOLS, tool_named
from napari_pathseg.ui.tools.viewport import brush_on_screen, set_brush_on_screen
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import SPACING

_LABEL_WIDTH, _UNIT_WIDTH = 88, 28  # pixels, so that the sliders line up
_HELP_LINES = 3
_WIDTHS = (BRUSH_WIDTH, WAND_REACH)  # these set the width of napari's brush, which the cursor shows
_EDIT_HELP = (
    "Drag the corners. <b>Enter</b> fills the outline, <b>Alt+Enter</b> cuts it out, <b>Escape</b> discards it, "
    "<b>Ctrl+Z</b> moves a corner back."
)


class ToolOptions(QWidget):
    """Shows the options of the active tool; each is stored when it is set."""

    def __init__(self, session: Session, controller: ToolController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._controller = session, controller
        self._spec = tool_named("brush")
        options = dict.fromkeys(option for tool in TOOLS for option in tool.options)
        self.sliders = {option: _SliderRow(option) for option in options if isinstance(option, SliderOption)}
        self.checks = {option: _check_box(option) for option in options if isinstance(option, CheckOption)}
        self.edit_help = QLabel(_EDIT_HELP)
        FixedLines(self.edit_help, _HELP_LINES)
        column(self, *self.sliders.values(), *self.checks.values(), self.edit_help).addStretch(1)
        self._connect()
        self.show_tool()

    @property
    def width_row(self) -> "_SliderRow":
        """The slider that sets the width of the active tool; the brush's if the tool has none."""
        return self.sliders[next((option for option in _WIDTHS if option in self._spec.options), BRUSH_WIDTH)]

    def show_tool(self) -> None:
        """Show the options of the active tool; those of the last one stay while the user pans."""
        tool = self._controller.interactive_tool or self._controller.active_tool
        if tool not in ("", PAN):
            self._spec = tool_named(tool)
        preferences = self._controller.preferences
        for slider_option, shown in self.sliders.items():
            shown.setVisible(slider_option in self._spec.options)
            shown.show_position(preferences.slider(slider_option))
        for check_option, box in self.checks.items():
            box.setVisible(check_option in self._spec.options)
            box.setChecked(preferences.checked(check_option))
        self.edit_help.setVisible(bool(self._controller.editing))
        self.setFixedHeight(self._most_height)
        self.resize_brush()

    @property
    def _most_height(self) -> int:
        """The height of the tool with most options, so that another tool moves nothing below."""
        sizes = {option: widget.sizeHint().height() for option, widget in (*self.sliders.items(), *self.checks.items())}
        needed = [[sizes[option] for option in tool.options] for tool in TOOLS]
        needed += [[sizes[EDIT_FIRST], self.edit_help.maximumHeight()]]
        return max(sum(heights) + SPACING * max(0, len(heights) - 1) for heights in needed)

    def resize_brush(self) -> None:
        """Keep the brush as wide on screen as its slider says, at any zoom."""
        set_brush_on_screen(self._session.layers, self.width_row.slider.value())

    def toggle_keep_to_edge(self) -> None:
        """Let the brush keep to the edges of the live model, or paint as usual again; the status bar says which."""
        box = self.checks[KEEP_TO_EDGE]
        box.toggle()
        does = "keeps to what Live finds." if box.isChecked() else "paints all that is under it."
        self._session.layers.viewer.status = f"The brush {does}"

    def follow_brush(self) -> None:
        """Show the width of a brush that was resized by napari's own controls."""
        width = round(brush_on_screen(self._session.layers))
        if abs(width - self.width_row.slider.value()) > max(2, width // 10):
            self.width_row.show_position(width)

    def _connect(self) -> None:
        for slider_option, shown in self.sliders.items():
            shown.slider.valueChanged.connect(partial(self._set_slider, slider_option))
        for check_option, box in self.checks.items():
            box.toggled.connect(partial(self._controller.preferences.set_checked, check_option))
        self._session.layers.viewer.scene.camera.events.zoom.connect(self.resize_brush)

    def _set_slider(self, option: SliderOption, value: float) -> None:
        self._controller.preferences.set_slider(option, round(value * option.divisor))
        if option in _WIDTHS:
            self.resize_brush()
        else:
            self._controller.view_changed()


class _SliderRow(QWidget):
    """A slider between its name and its value."""

    def __init__(self, option: SliderOption) -> None:
        super().__init__()
        self._option = option
        self.slider: Any = (QLabeledSlider if option.divisor == 1 else QLabeledDoubleSlider)(Qt.Orientation.Horizontal)
        if option.divisor != 1:
            self.slider.setDecimals(1)
        self.slider.setRange(self._value(option.minimum), self._value(option.maximum))
        self.slider.setSingleStep(self._value(option.step))
        self.slider.setToolTip(option.help)
        name, unit = QLabel(option.label), QLabel(option.unit.strip())
        name.setFixedWidth(_LABEL_WIDTH)
        unit.setFixedWidth(_UNIT_WIDTH)
        line = row(name, self.slider, unit)
        line.setSpacing(0)
        column(self, line)

    def show_position(self, position: int) -> None:
        """Show a position without storing it."""
        with signals_blocked(self.slider):
            self.slider.setValue(self._value(position))

    def _value(self, position: int) -> Any:  # a whole number for the slider of whole numbers
        return position if self._option.divisor == 1 else position / self._option.divisor


def _check_box(option: CheckOption) -> QCheckBox:
    box = QCheckBox(option.label)
    box.setToolTip(option.help)
    return box
