"""A picture from a file, as wide as there is room for."""

from pathlib import Path

from qtpy.QtGui import QImage, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QSizePolicy, QWidget


class ImageView(QWidget):
    """Shows a picture at the width it is given, never larger than it is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = QImage()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_file(self, path: Path) -> bool:
        """Show the picture in `path` as it is now; return whether there is one."""
        self.image = QImage(str(path))
        self.setMaximumWidth(max(1, self.image.width()))
        self._fit()
        self.update()
        return not self.image.isNull()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the picture."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(self.rect(), self.image)
        painter.end()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Take the height that belongs to the width."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        ratio = self.image.height() / max(1, self.image.width())
        self.setFixedHeight(round(min(self.width(), self.maximumWidth()) * ratio))
