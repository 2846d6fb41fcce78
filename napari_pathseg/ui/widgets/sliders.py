"""Sliders of the panels."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider

from napari_pathseg.ui.widgets.spin_box import ignore_unfocused_wheel


def horizontal_slider(help: str, lowest: int, highest: int) -> QSlider:
    """Return a slider that the wheel moves only once it has the focus."""
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(lowest, highest)
    slider.setToolTip(help)
    ignore_unfocused_wheel(slider)
    return slider
