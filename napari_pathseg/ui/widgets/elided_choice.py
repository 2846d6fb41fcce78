"""Ends a choice that is wider than its combo box with an "…"; the tool-tip has all of it."""

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

from napari_pathseg.ui.widgets.plain_text import paragraphs, plain

_SPACE = 4  # pixels beside the text, in napari's style


class ElidedChoice(QObject):
    """Draws the current choice of a combo box; Qt would cut it in the middle of a letter."""

    def __init__(self, box: QComboBox) -> None:
        super().__init__(box)
        self._box = box
        box.installEventFilter(self)

    @property
    def shown_text(self) -> str:
        """The current choice as it is drawn."""
        return self._option().currentText or ""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Draw the box if its choice does not fit, and show all of that in the tool-tip."""
        if event is None or watched is not self._box:
            return False
        if event.type() not in (QEvent.Type.Paint, QEvent.Type.ToolTip):
            return False
        option = self._option()
        if self._box.isEditable() or option.currentText == self._box.currentText():
            return False
        if isinstance(event, QHelpEvent):
            text = paragraphs(plain(self._box.currentText()), self._box.toolTip())
            QToolTip.showText(event.globalPos(), text, self._box)
            return True
        painter = QStylePainter(self._box)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
        painter.end()
        return True

    def _option(self) -> QStyleOptionComboBox:
        box, option = self._box, QStyleOptionComboBox()
        box.initStyleOption(option)
        style = box.style()
        if style is not None:
            part = QStyle.SubControl.SC_ComboBoxEditField
            width = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, box).width() - _SPACE
            option.currentText = box.fontMetrics().elidedText(box.currentText(), Qt.TextElideMode.ElideRight, width)
        return option
