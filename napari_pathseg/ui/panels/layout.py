"""Rows and columns of widgets with the window's spacing."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QBoxLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.ui.look import SPACE

_SHORT, _NARROWEST = 8, 56  # a button of few letters is made this wide, so that it is easily hit


def row(*widgets: QWidget | None) -> QHBoxLayout:
    """Return widgets side by side; None is a stretch."""
    layout = QHBoxLayout()
    _fill(layout, widgets)
    return layout


def column(parent: QWidget, *parts: QWidget | QBoxLayout) -> QVBoxLayout:
    """Lay out widgets and rows of them below each other in `parent`."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    return layout


def push_button(text: str, help: str) -> QPushButton:
    """Return a button that leaves the keyboard to the canvas when it is clicked."""
    button = QPushButton(text)
    button.setToolTip(help)
    if len(text) < _SHORT:
        button.setMinimumWidth(_NARROWEST)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def _fill(layout: QHBoxLayout, widgets: tuple[QWidget | None, ...]) -> None:
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACE)
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget)
