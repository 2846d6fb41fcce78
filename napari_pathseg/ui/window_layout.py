"""How much of the window the canvas gets: napari's left column folds, and one key hides all but the canvas.

Only Qt's main window and its docks are used, so that it works in any napari.  Whether the left column
is folded is kept for the user of this computer.
"""

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow, QToolButton, QWidget

from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.notifications import notify
from napari_pathseg.ui.widgets.user_settings import user_settings

CANVAS_WIDTH = 720  # pixels, of the canvas beside the dock
_FOLDED = "left_column_folded"
_LEFT = Qt.DockWidgetArea.LeftDockWidgetArea


class WindowLayout:
    """Folds the left column of the window that `dock` is in, and hides all but the canvas.

    Attributes
    ----------
    fold, canvas_only
        The buttons, for the header.
    """

    def __init__(self, dock: QWidget) -> None:
        self._dock = dock
        self._hidden: list[QWidget] = []  # by `toggle_canvas_only`
        self.fold = _button("left_column", "Fold napari's column of layers, or show it again.", self.toggle_left_column)
        help = with_key("Hide all but the slide, or show the panels again.", "canvas_only")
        self.canvas_only = _button("canvas_only", help, self.toggle_canvas_only)

    @property
    def left_folded(self) -> bool:
        """Whether nothing of the left column is shown."""
        return all(widget.isHidden() for widget in self._left_column())

    def open(self) -> None:
        """Fold the left column as the user left it; who never chose sees it if the canvas stays wide enough."""
        stored, window = user_settings().value(_FOLDED, None), self._window
        if window is None:
            return
        width = window.width() - self._dock.width() - sum({widget.width() for widget in self._left_column()})
        self._fold_left(width < CANVAS_WIDTH if stored is None else str(stored).lower() == "true")

    def toggle_left_column(self) -> None:
        """Fold the left column or show it again, and remember that."""
        folded = not self.left_folded
        self._fold_left(folded)
        user_settings().setValue(_FOLDED, folded)

    def toggle_canvas_only(self) -> None:
        """Hide all docks and bars of the window, or show again those that were hidden."""
        window = self._window
        if self._hidden:
            for widget in self._hidden:
                widget.show()
            self._hidden = []
            return
        if window is None:
            return
        docks = [dock for dock in window.findChildren(QDockWidget) if not dock.isFloating()]
        bars = [window.statusBar(), window.menuBar()]
        self._hidden = [widget for widget in (*docks, *bars) if widget is not None and not widget.isHidden()]
        for widget in self._hidden:
            widget.hide()
        if (canvas := window.centralWidget()) is not None:
            canvas.setFocus()
        notify(with_key("The panels come back with the same key.", "canvas_only"), "", "info")

    @property
    def _window(self) -> QMainWindow | None:
        window = self._dock.window()
        return window if isinstance(window, QMainWindow) else None

    def _left_column(self) -> list[QDockWidget]:
        window = self._window
        if window is None:
            return []
        docks = window.findChildren(QDockWidget)
        return [dock for dock in docks if window.dockWidgetArea(dock) == _LEFT and not dock.isFloating()]

    def _fold_left(self, folded: bool) -> None:
        for widget in self._left_column():
            widget.setVisible(not folded)


def _button(icon: str, help: str, action: Callable[[], None]) -> QToolButton:
    button = QToolButton()
    set_icon(button, icon)
    button.setToolTip(help)
    button.setAutoRaise(True)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.clicked.connect(action)
    return button
