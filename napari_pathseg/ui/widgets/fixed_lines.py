"""Keeps a label as high as a fixed number of lines, so that another text moves nothing below it."""

import re

from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import (
    QAbstractTextDocumentLayout,
    QHelpEvent,
    QPainter,
    QPalette,
    QTextCursor,
    QTextDocument,
    QTextOption,
)
from qtpy.QtWidgets import QLabel, QSizePolicy, QToolTip

from napari_pathseg.ui.widgets.plain_text import paragraphs, plain

_PADDING = 10  # pixels, of which napari's style takes 8
_FONT_EVENTS = (QEvent.Type.Polish, QEvent.Type.Show, QEvent.Type.FontChange, QEvent.Type.StyleChange)
_ELLIPSIS = "…"
_RICH = re.compile(r"<\w+[^>]*>")  # as Qt sees it; its own function is not in every binding


class FixedLines(QObject):
    """Gives a label the height of its lines in the current font.

    A text that does not fit, plain or rich, is drawn up to an "…"; the tool-tip then shows all of it.
    """

    def __init__(self, label: QLabel, lines: int = 1) -> None:
        super().__init__(label)
        self._label, self.lines = label, lines
        self._drawn: tuple[object, QTextDocument | None] = (
            None,
            None,
        )  # what for, and the part
        label.setWordWrap(lines > 1)
        label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        label.setMinimumWidth(1)  # a long text must not widen the panel
        label.installEventFilter(self)
        self._fit()

    @property
    def shown_text(self) -> str:
        """The part of the text that is drawn, without its format."""
        document = self._elided()
        return (
            _document(self._label, wrap=QTextOption.WrapMode.NoWrap).toPlainText()
            if document is None
            else (document.toPlainText())
        )

    def set_lines(self, lines: int) -> None:
        """Reserve another number of lines."""
        self.lines = lines
        self._fit()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Follow the font, draw a text that is too long, and show all of it in the tool-tip."""
        if event is None or watched is not self._label:
            return False
        if event.type() in _FONT_EVENTS:
            self._fit()
        if event.type() == QEvent.Type.Paint and (document := self._elided()) is not None:
            self._draw(document)
            return True
        own = self._label.toolTip()
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            if own and self._elided() is None:
                return False
            text = self._label.text()
            whole = paragraphs(text if _is_rich(self._label) else plain(text), own)
            QToolTip.showText(event.globalPos(), whole, self._label)
            return True
        return False

    def _fit(self) -> None:
        self._label.setFixedHeight(self.lines * self._label.fontMetrics().lineSpacing() + _PADDING)

    def _elided(self) -> QTextDocument | None:
        """Return the part of the text that fits, with an "…"; None if all of it fits."""
        label = self._label
        width, height = label.contentsRect().width() - self._indent, label.contentsRect().height()
        key = label.text(), width, height, label.font().key()
        if self._drawn[0] != key:
            self._drawn = key, self._cut(width, height)
        return self._drawn[1]

    @property
    def _indent(self) -> int:
        """How far Qt moves the text of a label with a frame from its edges: half the width of an x."""
        label = self._label
        if label.indent() < 0 and label.frameWidth():
            return max(0, label.fontMetrics().horizontalAdvance("x") // 2 - label.margin())
        return max(0, label.indent())

    def _cut(self, width: int, height: int) -> QTextDocument | None:
        label, wraps = self._label, self._label.wordWrap()
        whole = _document(label, QTextOption.WrapMode.WordWrap if wraps else QTextOption.WrapMode.NoWrap, width)
        if not label.text() or (whole.idealWidth() <= width + 1 and whole.size().height() <= height + 1):
            return None
        mode = QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere if wraps else QTextOption.WrapMode.NoWrap
        low, high = 0, whole.characterCount() - 1  # so many characters fit, and do not
        found = _document(label, mode, width, keep=0)
        while low < high:
            middle = (low + high + 1) // 2
            part = _document(label, mode, width, keep=middle)
            if part.size().height() <= height + 1 and part.idealWidth() <= width:
                low, found = middle, part
            else:
                high = middle - 1
        return found

    def _draw(self, document: QTextDocument) -> None:
        label = self._label
        painter, context = QPainter(label), QAbstractTextDocumentLayout.PaintContext()
        context.palette.setColor(QPalette.ColorRole.Text, label.palette().color(label.foregroundRole()))
        inside = QRectF(label.contentsRect())
        painter.translate(inside.topLeft() + QPointF(self._indent, self._indent))
        layout = document.documentLayout()
        if layout is not None:
            layout.draw(painter, context)
        painter.end()


def _is_rich(label: QLabel) -> bool:
    """Return whether Qt shows the text of a label as HTML."""
    return label.textFormat() != Qt.TextFormat.PlainText and bool(_RICH.search(label.text()))


def _document(label: QLabel, wrap: QTextOption.WrapMode, width: int = -1, keep: int | None = None) -> QTextDocument:
    """Return the text of a label as a document of a width; `keep` cuts it after so many characters."""
    document, option = QTextDocument(), QTextOption()
    option.setWrapMode(wrap)
    document.setDefaultTextOption(option)
    document.setDefaultFont(label.font())
    document.setDocumentMargin(0)
    (document.setHtml if _is_rich(label) else document.setPlainText)(label.text())
    if keep is not None and keep < document.characterCount() - 1:
        cursor = QTextCursor(document)
        cursor.setPosition(keep)
        cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
        cursor.removeSelectedText()
        cursor.insertText(_ELLIPSIS)
    document.setTextWidth(width if wrap != QTextOption.WrapMode.NoWrap else -1)
    return document
