"""Rows, columns, tables and buttons with the window's spacing."""

from collections.abc import Callable, Iterable, Sequence

from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.ui.widgets.icons import themed_icon
from napari_pathseg.ui.widgets.theme import SPACING

_MIN_WIDTH = 56  # of a button with a short text, so that it is easy to click
_MENU_WIDTH, _MENU_ICON = 22, 14


class _Button(QPushButton):
    """A button that is wide enough for its text and easy to click."""

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size."""
        return super().sizeHint().expandedTo(QSize(_MIN_WIDTH, 0))

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the preferred size; a smaller one would cut off the text."""
        return self.sizeHint()


def row(*widgets: QWidget | None) -> QHBoxLayout:
    """Lay out widgets side by side; None is a stretch."""
    layout = QHBoxLayout()
    _fill(layout, widgets)
    return layout


def column(parent: QWidget, *parts: QWidget | QLayout) -> QVBoxLayout:
    """Stack widgets and rows in `parent`."""
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
    """Stack input widgets, each with a label at its left."""
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
    """Return a button that does not take the keyboard focus from the canvas when clicked."""
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


class MenuButton(QPushButton):
    """A narrow button next to another one, with a menu of variants of its action.

    Parameters
    ----------
    choices
        Text and action of each menu entry.
    """

    def __init__(
        self, help: str, choices: Sequence[tuple[str, Callable[[], None]]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setToolTip(help)
        self.setAccessibleName(help)
        self.setFixedWidth(_MENU_WIDTH)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)  # as high as the button beside it
        self.setStyleSheet("padding: 0px;")
        self.setIcon(themed_icon("unfolded", self))
        self.setIconSize(QSize(_MENU_ICON, _MENU_ICON))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.choices = QMenu(self)
        for text, action in choices:
            self.choices.addAction(text, action)
        self.clicked.connect(self._open)

    def _open(self) -> None:
        self.choices.popup(self.mapToGlobal(QPoint(0, self.height())))


def _fill(layout: QHBoxLayout, widgets: tuple[QWidget | None, ...]) -> None:
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    for widget in widgets:
        if widget is None:
            layout.addStretch(1)
        else:
            layout.addWidget(widget)
