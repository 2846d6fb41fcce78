"""SVG icons in the theme's text colour, rendered each time they are painted."""

import weakref
from functools import cache
from pathlib import Path

from qtpy.QtCore import QByteArray, QPoint, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QIcon, QIconEngine, QPainter, QPalette, QPixmap
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QAbstractButton, QWidget

ICON_SIZE = 20
_FOLDER = Path(__file__).parents[1] / "icons"
_DISABLED_OPACITY = 0.35


@cache
def _svg_text(name: str) -> str:
    return (_FOLDER / f"{name}.svg").read_text(encoding="utf8")


class _ThemedEngine(QIconEngine):
    """Draws one SVG file in the text colour of `widget`."""

    def __init__(self, name: str, widget: QWidget) -> None:
        super().__init__()
        self._name, self._widget = name, weakref.ref(widget)

    def clone(self) -> QIconEngine | None:
        widget = self._widget()
        return None if widget is None else _ThemedEngine(self._name, widget)

    def paint(self, painter: QPainter | None, rect: QRect, mode: QIcon.Mode, state: QIcon.State) -> None:
        widget = self._widget()
        if widget is None or painter is None:
            return
        color = widget.palette().color(QPalette.ColorGroup.Active, QPalette.ColorRole.WindowText).name()
        svg = _svg_text(self._name).replace("currentColor", color)
        painter.save()
        painter.setOpacity(_DISABLED_OPACITY if mode == QIcon.Mode.Disabled else 1.0)
        QSvgRenderer(QByteArray(svg.encode())).render(painter, QRectF(rect))
        painter.restore()

    def pixmap(self, size: QSize, mode: QIcon.Mode, state: QIcon.State) -> QPixmap:
        pixmap = QPixmap(size)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        self.paint(painter, QRect(QPoint(0, 0), size), mode, state)
        painter.end()
        return pixmap


def themed_icon(name: str, widget: QWidget) -> QIcon:
    """Return the icon `name` in the text colour of `widget`, also after a change of theme."""
    _svg_text(name)  # fails now, rather than when painted, if the file is missing
    return QIcon(_ThemedEngine(name, widget))


def set_icon(button: QAbstractButton, name: str) -> None:
    """Give a button the icon `name`."""
    button.setIcon(themed_icon(name, button))
    button.setIconSize(QSize(ICON_SIZE, ICON_SIZE))
