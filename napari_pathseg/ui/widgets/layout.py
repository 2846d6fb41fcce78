"""Rows and columns of widgets with the window's spacing."""

from collections.abc import Iterable, Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLayout,
    QPushButton,
    QTableWidget,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.ui.widgets.theme import SPACING

_MIN_WIDTH = 56  # a button of few letters is made this wide, so that it is easily hit


class _Button(QPushButton):
    """A button that is wide enough for its text and for a hand."""

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size it likes."""
        return super().sizeHint().expandedTo(QSize(_MIN_WIDTH, 0))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the size below which its text would be cut."""
        return self.sizeHint()


def row(*widgets: QWidget | None) -> QHBoxLayout:
    """Return widgets side by side; None is a stretch."""
    layout = QHBoxLayout()
    _fill(layout, widgets)
    return layout


def column(parent: QWidget, *parts: QWidget | QLayout) -> QVBoxLayout:
    """Lay out widgets and rows of them below each other in `parent`."""
    layout = QVBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    for part in parts:
        if isinstance(part, QWidget):
            layout.addWidget(part)
        else:
            layout.addLayout(part)
    return layout


def labelled_rows(boxes: Iterable[tuple[str, QWidget]]) -> QGridLayout:
    """Return boxes below each other, each with a text at its left."""
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setSpacing(SPACING)
    grid.setColumnStretch(1, 1)
    for number, (text, box) in enumerate(boxes):
        label = QLabel(text)
        label.setBuddy(box)
        label.setToolTip(box.toolTip())
        grid.addWidget(label, number, 0)
        grid.addWidget(box, number, 1)
    return grid


def push_button(text: str, help: str) -> QPushButton:
    """Return a button that leaves the keyboard to the canvas when it is clicked."""
    button = _Button(text)
    button.setToolTip(help)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return button


def set_up_table(table: QTableWidget, titles: Sequence[str], stretched: Iterable[int]) -> None:
    """Make a table read-only, without selection and row numbers; columns fit their content, or are `stretched`."""
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
    header, numbers = table.horizontalHeader(), table.verticalHeader()
    assert header is not None
    assert numbers is not None
    numbers.hide()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    for column in stretched:
        header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)


def _fill(layout: QHBoxLayout, widgets: tuple[QWidget | None, ...]) -> None:
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget)
