"""How the window looks: colours of napari's theme, spacing, dim text.

Colours come from the palette that napari's style sheet gives every widget, so that they
follow a change of theme; nothing here names a grey.
"""

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor, QIcon, QPalette, QPixmap, QShowEvent
from qtpy.QtWidgets import QLabel, QWidget

SPACING = 8  # pixels between things
HALF_SPACING = 4
STATE_HUES = {"new": None, "annotated": "#4b8fe0", "predicted": "#d99a2b", "corrected": "#3fa866"}


def text_color(widget: QWidget) -> QColor:
    """Return the colour of text on a widget."""
    return widget.palette().color(QPalette.ColorRole.WindowText)


def mixed(first: QColor, second: QColor, share: float) -> QColor:
    """Return a colour between two; `share` is how much of the first."""
    parts = zip(first.getRgb()[:3], second.getRgb()[:3], strict=True)
    return QColor(*(round(share * a + (1 - share) * b) for a, b in parts))


def secondary_color(widget: QWidget) -> QColor:
    """Return the colour of text that matters less."""
    return mixed(text_color(widget), widget.palette().color(QPalette.ColorRole.Window), 0.62)


def swatch(color: str) -> QIcon:
    """Return a square of a colour."""
    pixmap = QPixmap(32, 32)
    pixmap.fill(QColor(color))
    icon = QIcon(pixmap)
    icon.addPixmap(pixmap, QIcon.Mode.Selected)  # else the selection tints the colour
    return icon


class SecondaryLabel(QLabel):
    """Text that matters less: smaller and closer to the background."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self._own = ""
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.NoTextInteraction)

    def changeEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Follow the theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.ParentChange):
            self._follow()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Take the theme's colour, which is known once the label is in a window."""
        super().showEvent(event)
        self._follow()

    def _follow(self) -> None:
        parent = self.parentWidget()
        if parent is None:
            return
        own = f"color: {secondary_color(parent).name()}; background: transparent;"
        if own != self._own:
            self._own = own
            self.setStyleSheet(own)
