"""Theme colours, spacing and secondary text.

Colours come from the palette that napari's style sheet gives every widget, so that they follow a change of
theme; no grey is hard-coded.
"""

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QIcon, QPalette, QPixmap, QShowEvent
from qtpy.QtWidgets import QLabel, QWidget

SPACING = 8  # pixels between widgets
HALF_SPACING = 4
STATE_HUES = {"new": None, "annotated": "#4b8fe0", "predicted": "#d99a2b", "corrected": "#3fa866"}


def text_color(widget: QWidget) -> QColor:
    """Return the colour of text on a widget."""
    return widget.palette().color(QPalette.ColorRole.WindowText)


def mixed(first: QColor, second: QColor, share: float) -> QColor:
    """Blend two colours; `share` is the weight of the first."""
    parts = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    return QColor(*(round(share * a + (1 - share) * b) for a, b in parts))


def secondary_color(widget: QWidget) -> QColor:
    """Return the colour of secondary text on a widget."""
    return mixed(text_color(widget), widget.palette().color(QPalette.ColorRole.Window), 0.75)  # 4.5 : 1 on lists too


def swatch(color: str) -> QIcon:
    """Return a square icon of one colour."""
    pixmap = QPixmap(32, 32)
    pixmap.fill(QColor(color))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # otherwise Qt tints it in a selected row
    return icon


class SecondaryLabel(QLabel):
    """A label for secondary text, plain and closer to the background colour."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setText(text)
        self._applied_style = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Update the colour when the theme changes."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.ParentChange):
            self._apply_theme()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Apply the theme's colour, which is known once the label is in a window."""
        super().showEvent(event)
        self._apply_theme()

    def _apply_theme(self) -> None:
        parent = self.parentWidget()
        if parent is None:
            return
        style = f"color: {secondary_color(parent).name()}; background: transparent;"
        if style != self._applied_style:
            self._applied_style = style
            self.setStyleSheet(style)
