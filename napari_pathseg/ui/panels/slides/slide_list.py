"""The view of the list of slides, and its lower edge, which can be dragged."""

from collections.abc import Callable

from psygnal import Signal
from qtpy.QtCore import QItemSelectionModel, QModelIndex, QPointF, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence, QMouseEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QApplication, QListView, QWidget

from napari_pathseg.ui.panels.slides.rows import ROW_HEIGHT
from napari_pathseg.ui.widgets.theme import SPACING, secondary_color
from napari_pathseg.ui.widgets.user_settings import user_settings

_MIN_ROWS = 4
_SHARE, _MOST_SHARE = 0.36, 0.75  # of the height of the panel
_ROWS_SETTING = "slides_list_rows"
_OWN_KEYS = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Home, Qt.Key.Key_End)


class SlideListView(QListView):
    """A list of which a click or an arrow shows a slide; several can be selected; other keys go to the canvas.

    Attributes
    ----------
    passes_keys
        True: the focus may stay here after a click.
    canvas
        Returns the widget that the other keys go to.
    undo_removal
        Brings back what was removed last; returns False if there is nothing, so that Ctrl+Z goes to the canvas.
    """

    passes_keys = True
    shown = Signal(str)
    removal_wanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.canvas: Callable[[], QWidget | None] = lambda: None
        self.undo_removal: Callable[[], bool] = lambda: False
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setEditTriggers(QListView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QListView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

    @property
    def selected(self) -> list[str]:
        """The selected slides, in the order of the list."""
        return [index.data() for index in sorted(self.selectedIndexes(), key=QModelIndex.row)]

    def select(self, index: QModelIndex) -> None:
        """Select one slide alone, without showing it."""
        model = self.selectionModel()
        if model is not None:
            model.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def mouseReleaseEvent(self, event: object) -> None:  # noqa: N802
        """Show the slide that was clicked, unless several are being selected."""
        super().mouseReleaseEvent(event)  # type: ignore[arg-type]
        plain = QApplication.keyboardModifiers() == Qt.KeyboardModifier.NoModifier
        if plain and getattr(event, "button", lambda: None)() == Qt.MouseButton.LeftButton:
            self._show_selected()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Move with the arrows and show where they lead."""
        if event is None:
            return
        if event.key() in _OWN_KEYS:
            super().keyPressEvent(event)
            if event.modifiers() in (Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.KeypadModifier):
                self._show_selected()
        elif event.key() == Qt.Key.Key_Delete:
            self.removal_wanted.emit()
        elif event.key() == Qt.Key.Key_A and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.selectAll()
        elif not (event.matches(QKeySequence.StandardKey.Undo) and self.undo_removal()):
            self._pass_on(event)

    def keyReleaseEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Pass the release of a key on."""
        if event is not None and event.key() not in _OWN_KEYS:
            self._pass_on(event)

    def _show_selected(self) -> None:
        if len(selected := self.selected) == 1:
            self.shown.emit(selected[0])

    def _pass_on(self, event: QKeyEvent) -> None:
        canvas = self.canvas()
        if canvas is not None:
            QApplication.sendEvent(canvas, event)


class ListGrip(QWidget):
    """The lower edge of the list, which can be dragged; `moved` is emitted then.

    The height is kept for the user of this computer; a double click returns to the list's share of the panel.

    Attributes
    ----------
    panel_height
        Height of the panel, in pixels.
    """

    moved = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.panel_height = 0
        self._rows = stored_rows()  # 0 until the user drags
        self._pressed: tuple[float, int] | None = None  # where the mouse was, and the rows then
        self.setFixedHeight(SPACING)
        self.setCursor(Qt.CursorShape.SizeVerCursor)
        self.setToolTip("Drag to make the list higher or lower; double-click for its usual height.")

    @property
    def list_height(self) -> int:
        """The height of the list in pixels: whole rows."""
        return list_height(self.panel_height, self._rows)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw three dots."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(secondary_color(self))
        for step in (-1, 0, 1):
            painter.drawEllipse(QPointF(self.width() / 2 + step * SPACING, self.height() / 2), 1.5, 1.5)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Begin to drag."""
        if event is not None:
            self._pressed = event.globalPosition().y(), self.list_height // ROW_HEIGHT

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Make the list as high as the mouse says."""
        if event is not None and self._pressed is not None:
            start, rows = self._pressed
            self._set_rows(max(_MIN_ROWS, rows + round((event.globalPosition().y() - start) / ROW_HEIGHT)))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Remember the height."""
        if self._pressed is not None:
            self._pressed = None
            user_settings().setValue(_ROWS_SETTING, self._rows)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Return to the usual height."""
        self._set_rows(0)
        user_settings().setValue(_ROWS_SETTING, 0)

    def _set_rows(self, rows: int) -> None:
        if rows != self._rows:
            self._rows = rows
            self.moved.emit()


def stored_rows() -> int:
    """Return the rows that the user of this computer gave the list; 0 for its share of the panel."""
    try:
        return max(0, int(user_settings().value(_ROWS_SETTING, 0)))
    except (TypeError, ValueError):  # edited by hand
        return 0


def list_height(panel_height: int, rows: int = 0) -> int:
    """Return the height of the list in a panel of this height, in pixels.

    It is as high as the `rows` that the user wants, as far as they leave room, else its share of the panel: whole
    rows, four or more.
    """
    share = _MOST_SHARE if rows else _SHARE
    room = max(_MIN_ROWS, round(share * panel_height) // ROW_HEIGHT)
    return min(rows or room, room) * ROW_HEIGHT + 4
