"""The rows of the list of slides: their Qt model, and the delegate that draws them."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QAbstractItemModel, QAbstractListModel, QEvent, QModelIndex, QObject, QRect, QSize, Qt
from qtpy.QtGui import QColor, QFont, QMouseEvent, QPainter, QPalette, QPen
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_pathseg.projects.review_progress import ReviewProgress, unreviewed_sentence
from napari_pathseg.ui.panels.slides.thumbnails import SIDE, Thumbnails
from napari_pathseg.ui.session.queries import SlideRow
from napari_pathseg.ui.widgets.plain_text import plain
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, STATE_HUES, mixed, secondary_color, text_color

ROLE_WORDS = {"auto": "Auto", "train": "Training", "val": "Validation", "test": "Test"}
ROW_HEIGHT = SIDE + SPACING
_CHIP_HEIGHT, _CHIP_WIDTH = 17, 78
_BAR_HEIGHT = 3
_LEAST_COMMON = 4  # characters
_FIRST_WORD = re.compile(r"[^\W_]*")
_MANY = 0.75  # the share of the names that has to begin with the same word
_MARK_WIDTH = 3  # of the bar at the slide in view
_CHIP_FONT = 0.85  # relative to the font of the list
ROW_ROLE = Qt.ItemDataRole.UserRole


class SlideListModel(QAbstractListModel):
    """Qt model of the slides; the data of `ROW_ROLE` is a `SlideRow`."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows: list[SlideRow] = []
        self.common = "", ""  # what the names of all slides begin and end with

    def show(self, rows: list[SlideRow]) -> None:
        """Replace the rows, or update them if they are of the same slides."""
        self.common = common_ends([row.id for row in rows])
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
            details += f"\n{100 * row.progress.share:.0f} % reviewed · {unreviewed_sentence([row.progress])}"
            return plain(f"{row.id}\n{details}\nClick to show it, right-click for more.")
        return row if role == ROW_ROLE else None


class SlideDelegate(QStyledItemDelegate):
    """Draws a row: thumbnail, name, patient, annotated area, state, and the role, which is clickable.

    Selected slides are highlighted; the one in view has a bar at its left and a bold name.
    """

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
        in_view, selected = row.id == self.in_view, bool(option.state & QStyle.StateFlag.State_Selected)
        if selected:
            painter.fillRect(box, self._list.palette().color(QPalette.ColorRole.Highlight))
        if in_view:
            painter.fillRect(mark_box(box), text_color(self._list))
        self._draw_thumbnail(painter, QRect(box.left() + HALF_SPACING, box.top() + HALF_SPACING, SIDE, SIDE), row.id)
        state, role = state_box(box), role_box(box)
        left = box.left() + SIDE + 2 * SPACING
        upper = QRect(left, box.top() + HALF_SPACING, state.left() - left - SPACING, SIDE // 2)
        lower = upper.translated(0, SIDE // 2)
        painter.setPen(text_color(self._list))
        font = QFont(self._list.font())
        font.setBold(in_view)
        painter.setFont(font)
        model = index.model()
        ends = model.common if isinstance(model, SlideListModel) else ("", "")
        name = shortened(row.id, ends, lambda text: painter.fontMetrics().horizontalAdvance(text) <= upper.width())
        _draw_text(painter, upper, name, Qt.TextElideMode.ElideMiddle)
        painter.setFont(self._list.font())
        if not selected:
            painter.setPen(secondary_color(self._list))
        patient = "" if row.patient == row.id else row.patient
        details = " · ".join(part for part in (patient, row.area) if part)
        _draw_text(painter, lower, details, Qt.TextElideMode.ElideMiddle)
        self._draw_progress(painter, progress_box(box), row.progress)
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
        pixmap = self._thumbnails.find(slide_id)
        if pixmap is not None:
            painter.drawPixmap(box, pixmap)
            return
        painter.setPen(QPen(secondary_color(self._list), 1))
        painter.drawRect(box)

    def _draw_progress(self, painter: QPainter, box: QRect, progress: ReviewProgress) -> None:
        """Draw the shares of the tissue that were reviewed, and that a model predicted but nobody has reviewed."""
        ground = self._list.palette().color(QPalette.ColorRole.Window)
        painter.fillRect(box, mixed(text_color(self._list), ground, 0.25))
        reviewed = round(box.width() * min(1.0, progress.share))
        waiting = round(
            box.width() * progress.unreviewed / max(progress.area, progress.reviewed + progress.unreviewed, 1)
        )
        painter.fillRect(QRect(box.left(), box.top(), reviewed, box.height()), QColor(STATE_HUES["corrected"]))
        rest = QRect(box.left() + reviewed, box.top(), min(waiting, box.width() - reviewed), box.height())
        painter.fillRect(rest, QColor(STATE_HUES["predicted"]))

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


def common_ends(names: Sequence[str]) -> tuple[str, str]:
    """Return what names begin and end with, up to a separator, if there are several; a short part is left out.

    They are all names, or else the most that begin with the same word, if the others are few.

    >>> common_ends(["scan_2024_a1_HE.ndpi", "scan_2024_b7_HE.ndpi"]), common_ends(["a1", "a2"])
    (('scan_2024_', '_HE.ndpi'), ('', ''))
    >>> common_ends(["P01_HE", *(f"camelyon_{number}.512x512" for number in range(10670, 10680))])
    ('camelyon_', '.512x512')
    """
    if len(names) < 2:
        return "", ""
    start = _common_start(names)
    if not start:
        words = Counter(_FIRST_WORD.match(name)[0] for name in names)  # type: ignore[index]
        word, number = words.most_common(1)[0]
        if _MANY * len(names) <= number < len(names):
            return common_ends([name for name in names if _FIRST_WORD.match(name)[0] == word])  # type: ignore[index]
    end = _common_start([name[len(start) :][::-1] for name in names])[::-1]
    return (start if len(start) > _LEAST_COMMON else ""), (end if len(end) > _LEAST_COMMON else "")


def _common_start(names: Sequence[str]) -> str:
    """Return what all names begin with, up to and including a separator."""
    first, last = min(names), max(names)
    length = next(
        (at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    while length and first[length - 1].isalnum():
        length -= 1
    return first[:length]


def shortened(name: str, ends: tuple[str, str], fits: Callable[[str], bool]) -> str:
    """Return a name without what it has in common with the others, as far as that is needed for it to fit.

    >>> shortened("scan_2024_a1_HE.ndpi", ("scan_2024_", "_HE.ndpi"), lambda text: len(text) < 12)
    '…a1_HE.ndpi'
    >>> shortened("P01_HE", ("camelyon_", ".512x512"), lambda text: len(text) < 5)
    'P01_HE'
    """
    start, end = ends
    if len(name) < len(start) + len(end) or not (name.startswith(start) and name.endswith(end)):
        start = end = ""  # it is one of the few others
    middle = name[len(start) : len(name) - len(end)]
    ways = [name, f"…{name[len(start) :]}" if start else name, f"{'…' if start else ''}{middle}{'…' if end else ''}"]
    return next((way for way in ways if fits(way)), ways[-1])


def mark_box(row: QRect) -> QRect:
    """Return where the slide in view is marked."""
    return QRect(row.left(), row.top(), _MARK_WIDTH, row.height())


def state_box(row: QRect) -> QRect:
    """Return where the state of a row is drawn."""
    return QRect(row.right() - _CHIP_WIDTH - HALF_SPACING, row.top() + HALF_SPACING + 1, _CHIP_WIDTH, _CHIP_HEIGHT)


def progress_box(row: QRect) -> QRect:
    """Return where the progress of the review of a row is drawn."""
    left = row.left() + SIDE + 2 * SPACING
    return QRect(left, row.bottom() - HALF_SPACING, state_box(row).left() - left - SPACING, _BAR_HEIGHT)


def role_box(row: QRect) -> QRect:
    """Return where the role of a row is drawn and clickable."""
    return state_box(row).translated(0, SIDE // 2 + 1)


def _draw_text(painter: QPainter, box: QRect, text: str, mode: Qt.TextElideMode) -> None:
    elided = painter.fontMetrics().elidedText(text, mode, box.width())
    painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, elided)
