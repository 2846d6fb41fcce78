"""The rows of the list of slides: their Qt model, and the delegate that draws them."""

from typing import Any

from psygnal import Signal
from qtpy.QtCore import QAbstractItemModel, QAbstractListModel, QEvent, QModelIndex, QObject, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QMouseEvent, QPainter, QPalette, QPen
from qtpy.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_pathseg.ui.panels.slides.thumbnails import SIDE, Thumbnails
from napari_pathseg.ui.session.queries import SlideRow
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, STATE_HUES, mixed, secondary_color, text_color

ROLE_WORDS = {"auto": "Auto", "train": "Training", "val": "Validation", "test": "Test"}
ROW_HEIGHT = SIDE + SPACING
_CHIP_HEIGHT, _CHIP_WIDTH = 17, 78
_CHIP_FONT = 0.85  # relative to the font of the list
ROW_ROLE = Qt.ItemDataRole.UserRole


class SlideListModel(QAbstractListModel):
    """Qt model of the slides; the data of `ROW_ROLE` is a `SlideRow`."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows: list[SlideRow] = []

    def show(self, rows: list[SlideRow]) -> None:
        """Replace the rows, or update them if they are of the same slides."""
        if [row.id for row in rows] == [row.id for row in self.rows]:
            self.rows = rows
            self.dataChanged.emit(self.index(0), self.index(len(rows) - 1))
            return
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def change(self, row: SlideRow) -> None:
        """Update the row of one slide."""
        number = self.find(row.id)
        if number >= 0:
            self.rows[number] = row
            self.dataChanged.emit(self.index(number), self.index(number))

    def find(self, slide_id: str) -> int:
        """Return the row number of a slide, or -1."""
        return next((number for number, row in enumerate(self.rows) if row.id == slide_id), -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of slides."""
        return len(self.rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a slide's name, tool-tip or row."""
        if not index.isValid():
            return None
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.id
        if role == Qt.ItemDataRole.ToolTipRole:
            details = f"Patient {row.patient} · {ROLE_WORDS[row.role]} · {row.state}"
            return f"{row.id}\n{details}\nDouble-click to show it, right-click for more."
        return row if role == ROW_ROLE else None


class SlideDelegate(QStyledItemDelegate):
    """Draws a row: thumbnail, name, patient, annotated area, state, and the role, which is clickable."""

    role_pressed = Signal(QModelIndex)

    def __init__(self, thumbnails: Thumbnails, parent: QWidget) -> None:
        super().__init__(parent)
        self._thumbnails, self._list = thumbnails, parent
        self.in_view = ""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:  # noqa: N802
        """Return the size of a row."""
        return QSize(200, ROW_HEIGHT)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw a row."""
        row = index.data(ROW_ROLE)
        if painter is None or row is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = option.rect
        if row.id == self.in_view:
            painter.fillRect(box, self._list.palette().color(QPalette.ColorRole.Highlight))
        self._draw_thumbnail(painter, QRect(box.left() + HALF_SPACING, box.top() + HALF_SPACING, SIDE, SIDE), row.id)
        state, role = state_box(box), role_box(box)
        left = box.left() + SIDE + 2 * SPACING
        upper = QRect(left, box.top() + HALF_SPACING, state.left() - left - SPACING, SIDE // 2)
        lower = upper.translated(0, SIDE // 2)
        painter.setPen(text_color(self._list))
        _draw_text(painter, upper, row.id, Qt.TextElideMode.ElideMiddle)
        if row.id != self.in_view:
            painter.setPen(secondary_color(self._list))
        patient = "" if row.patient == row.id else row.patient
        details = " · ".join(part for part in (patient, row.area) if part)
        _draw_text(painter, lower, details, Qt.TextElideMode.ElideMiddle)
        self._draw_chip(painter, state, row.state, STATE_HUES[row.state])
        self._draw_chip(painter, role, f"{ROLE_WORDS[row.role]} ▾", None)
        painter.restore()

    def editorEvent(  # noqa: N802
        self,
        event: QEvent | None,
        model: QAbstractItemModel | None,
        option: QStyleOptionViewItem,
        index: QModelIndex,
    ) -> bool:
        """Emit `role_pressed` on a click on a role."""
        released = isinstance(event, QMouseEvent) and event.type() == QEvent.Type.MouseButtonRelease
        if released and role_box(option.rect).contains(event.position().toPoint()):  # type: ignore[union-attr]
            self.role_pressed.emit(index)
            return True
        return super().editorEvent(event, model, option, index)

    def _draw_thumbnail(self, painter: QPainter, box: QRect, slide_id: str) -> None:
        picture = self._thumbnails.find(slide_id)
        if picture is not None:
            painter.drawPixmap(box, picture)
            return
        painter.setPen(QPen(secondary_color(self._list), 1))
        painter.drawRect(box)

    def _draw_chip(self, painter: QPainter, box: QRect, text: str, hue: str | None) -> None:
        """Draw a word in a rounded box, filled with a muted hue or only outlined."""
        ground = self._list.palette().color(QPalette.ColorRole.Window)
        font = QFont(self._list.font())
        font.setPointSizeF(font.pointSizeF() * _CHIP_FONT)
        painter.setFont(font)
        if hue is None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(mixed(text_color(self._list), ground, 0.35), 1))
        else:
            painter.setBrush(mixed(QColor(hue), ground, 0.45))
            painter.setPen(Qt.PenStyle.NoPen)
        painter.drawRoundedRect(box, _CHIP_HEIGHT / 2, _CHIP_HEIGHT / 2)
        painter.setPen(text_color(self._list))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)


def state_box(row: QRect) -> QRect:
    """Return where the state of a row is drawn."""
    return QRect(row.right() - _CHIP_WIDTH - HALF_SPACING, row.top() + HALF_SPACING + 1, _CHIP_WIDTH, _CHIP_HEIGHT)


def role_box(row: QRect) -> QRect:
    """Return where the role of a row is drawn and clickable."""
    return state_box(row).translated(0, SIDE // 2 + 1)


def _draw_text(painter: QPainter, box: QRect, text: str, mode: Qt.TextElideMode) -> None:
    elided = painter.fontMetrics().elidedText(text, mode, box.width())
    painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, elided)
