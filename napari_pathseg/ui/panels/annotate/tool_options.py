"""How the tool in hand is set: width, sensitivity, size of patches, whether outlines are edited first."""

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QSlider, QWidget

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.tools import MAX_BRUSH, MIN_BRUSH, brush_on_screen, set_brush_on_screen
from napari_pathseg.ui.tools.controller import ToolController
from napari_pathseg.ui.tools.registry import OUTLINES
from napari_pathseg.ui.tools.superpixels import MAX_PATCH, MIN_PATCH
from napari_pathseg.ui.tools.wand import MAX_SENSITIVITY, MIN_SENSITIVITY
from napari_pathseg.ui.widgets.layout import column, row

_NAMES = 80  # pixels of the names at the left, so that sliders stand below each other
_VALUES = 56
_EDIT_HELP = (
    "Drag the corners. <b>Enter</b> fills the outline, <b>Alt+Enter</b> cuts it out, <b>Escape</b> drops it, "
    "<b>Ctrl+Z</b> takes a corner back."
)


class ToolOptions(QWidget):
    """What can be set of the tool in hand; each choice is remembered."""

    def __init__(self, session: Session, controller: ToolController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._controller = session, controller
        self._tool = ""
        self.width_row = _Setting("Brush", (MIN_BRUSH, MAX_BRUSH), "{} px".format)
        self.sensitivity = _Setting("Sensitivity", (round(10 * MIN_SENSITIVITY), round(10 * MAX_SENSITIVITY)), _tenths)
        self.sensitivity.slider.setToolTip("To the left the wand takes more at once (Shift and the wheel).")
        self.patch = _Setting("Patch size", (MIN_PATCH, MAX_PATCH), "{} px".format)
        self.patch.slider.setToolTip("Width of a superpixel on screen (Shift and the wheel).")
        self.edit_first = QCheckBox("Edit outlines before filling")
        self.edit_first.setToolTip(
            "An outline that was ended can be mended by dragging its corners. Enter then fills it,\n"
            "Alt+Enter cuts it out, Escape drops it."
        )
        self.edit_help = QLabel(_EDIT_HELP)
        self.edit_help.setWordWrap(True)
        column(self, self.width_row, self.sensitivity, self.patch, self.edit_first, self.edit_help)
        self._connect()
        self.show_tool()

    def show_tool(self) -> None:
        """Show what can be set of the tool in hand, and how it is set."""
        preferences, tool = (
            self._controller.preferences,
            self._controller.interactive_tool or self._controller.active_tool,
        )
        if tool not in ("", "pan"):  # which are taken for a moment
            self._tool = tool
        self.width_row.setVisible(self._tool not in OUTLINES)
        self.width_row.name.setText("Reach" if self._tool == "wand" else "Brush")
        self.width_row.slider.setToolTip(
            "How far the wand looks from the cursor, on screen."
            if self._tool == "wand"
            else "Width of the brush on screen; zoom in to paint finer."
        )
        self.sensitivity.setVisible(self._tool == "wand")
        self.patch.setVisible(self._tool == "superpixels")
        self.edit_first.setVisible(self._tool in OUTLINES)
        self.edit_help.setVisible(bool(self._controller.editing))
        self.width_row.show_value(preferences.width(self._tool))
        self.sensitivity.show_value(round(10 * preferences.sensitivity))
        self.patch.show_value(preferences.patch_size)
        self.edit_first.setChecked(preferences.edit_first)
        self.resize_brush()

    def resize_brush(self, *_: Any) -> None:
        """Keep the brush as wide on screen as the slider says, at any zoom."""
        set_brush_on_screen(self._session.layers, self.width_row.slider.value())

    def follow_brush(self, *_: Any) -> None:
        """Follow a brush that was resized by napari's own means."""
        width = round(brush_on_screen(self._session.layers))
        if abs(width - self.width_row.slider.value()) > max(2, width // 10):
            self.width_row.show_value(width)

    def _connect(self) -> None:
        self.width_row.slider.valueChanged.connect(self._set_width)
        self.sensitivity.slider.valueChanged.connect(self._set_sensitivity)
        self.patch.slider.valueChanged.connect(self._set_patch)
        self.edit_first.toggled.connect(self._set_edit_first)
        self._session.layers.viewer.scene.camera.events.zoom.connect(self.resize_brush)

    def _set_width(self, width: int) -> None:
        self._controller.preferences.set_width(self._tool, width)
        self.resize_brush()

    def _set_sensitivity(self, tenths: int) -> None:
        self._controller.preferences.sensitivity = tenths / 10

    def _set_patch(self, size: int) -> None:
        self._controller.preferences.patch_size = size
        self._controller.schedule_view_change()

    def _set_edit_first(self, edit_first: bool) -> None:
        self._controller.preferences.edit_first = edit_first


class _Setting(QWidget):
    """A slider between its name and its value in words."""

    def __init__(self, name: str, limits: tuple[int, int], text: Callable[[int], str]) -> None:
        super().__init__()
        self._text = text
        self.name, self.value, self.slider = QLabel(name), QLabel(), QSlider(Qt.Orientation.Horizontal)
        self.name.setFixedWidth(_NAMES)
        self.value.setFixedWidth(_VALUES)
        self.slider.setRange(*limits)
        column(self, row(self.name, self.slider, self.value))
        self.slider.valueChanged.connect(self._show_text)

    def show_value(self, value: int) -> None:
        """Show a value that was chosen elsewhere."""
        self.slider.blockSignals(True)
        self.slider.setValue(value)
        self.slider.blockSignals(False)
        self._show_text(self.slider.value())

    def _show_text(self, value: int) -> None:
        self.value.setText(self._text(value))


def _tenths(value: int) -> str:
    return f"{value / 10:.1f}"
