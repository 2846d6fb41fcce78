"""Sample images of a training: validation patches while it runs, and a preview of the augmentation."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QDialog, QSizePolicy, QWidget
from superqt.utils import qthrottled

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, SecondaryLabel

_DIALOG_WIDTH = 520
_NO_MAXIMUM = 16_777_215  # Qt's
_EXPECTED_RATIO = 4 / 3  # of four patches: slide, outlines and prediction beside one another
_REDRAW_MS = 500  # after a setting was changed


class ImageView(QWidget):
    """Shows an image file as wide as there is room, but never enlarged."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image = QImage()
        self._reserved, self._reserved_height = 0.0, 0  # of the width, and in pixels
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_file(self, path: Path) -> bool:
        """Load and show `path`; return whether it is an image."""
        self.image = QImage(str(path))
        self.setMaximumWidth(self.image.width() or _NO_MAXIMUM)
        self._fit()
        self.update()
        return not self.image.isNull()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the image."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        if not self.image.isNull():
            height = round(self.width() * self.image.height() / self.image.width())
            painter.drawImage(QRect(0, 0, self.width(), height), self.image)
        painter.end()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Adapt the height to the width."""
        super().resizeEvent(event)
        self._fit()

    def reserve(self, ratio: float) -> None:
        """Be at least `ratio` times as high as wide from now on, also without an image."""
        self._reserved = ratio
        self._fit()

    def _fit(self) -> None:
        if self.image.isNull() or self.image.width() > self.width():  # not narrowed by the image
            self._reserved_height = round(self.width() * self._reserved)
        ratio = self.image.height() / max(1, self.image.width())
        self.setFixedHeight(max(self._reserved_height, round(min(self.width(), self.maximumWidth()) * ratio)))


class ValidationSamplesView(QWidget):
    """Patches of held-out slides: slide, outlines and prediction side by side."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_view = ImageView()
        self.image_view.setToolTip("Patches of held-out slides, which are not trained on. Updated while it trains.")
        self._shown = "", 0
        self.awaited = False
        captions = [SecondaryLabel(text) for text in ("slide", "outlined", "predicted")]
        for caption in captions:
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column(self, row(*captions), self.image_view).setSpacing(HALF_SPACING)

    @property
    def has_data(self) -> bool:
        """True if there is an image to show."""
        return not self.image_view.image.isNull()

    def set_awaited(self, awaited: bool) -> None:
        """Reserve the place of the patches while a training runs, so that they move nothing when they come."""
        if awaited and not self.awaited:
            self.image_view.reserve(_EXPECTED_RATIO)
        self.awaited = awaited

    def show_run(self, run: JobState) -> None:
        """Reload the patches of a run if they were written since."""
        if (run.samples_path, run.samples_count) != self._shown:
            self._shown = run.samples_path, run.samples_count
            self.image_view.show_file(Path(run.samples_path))

    def clear(self) -> None:
        """Show nothing."""
        self._shown = "", 0
        self.image_view.reserve(0)
        self.image_view.show_file(Path())


class AugmentationPreviewDialog(QDialog):
    """Sixteen variants of one tile of the project, the first unchanged; redrawn when a setting changes."""

    def __init__(self, session: Session, config: Callable[[], TrainConfig], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._config, self._seed = session, config, 0
        self.setWindowTitle("Augmentation")
        self.setModal(False)
        self.sentence = PlainLabel()
        self.sentence.setWordWrap(True)
        self.image_view = ImageView()
        self.another = push_button("Another", "Draw another tile of the training slides.")
        self.close_button = push_button("Close", "")
        layout = column(self, self.sentence, self.image_view, row(None, self.another, self.close_button))
        layout.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
        layout.setSizeConstraint(layout.SizeConstraint.SetMinAndMaxSize)
        layout.setAlignment(self.image_view, Qt.AlignmentFlag.AlignTop)
        self.resize(_DIALOG_WIDTH, _DIALOG_WIDTH)
        self.another.clicked.connect(self.draw_another)
        self.close_button.clicked.connect(self.close)
        self._redraw_later = qthrottled(self._draw_if_visible, timeout=_REDRAW_MS, leading=False, parent=self)
        session.training.run_changed.connect(self._show_run)

    def draw_another(self) -> None:
        """Draw another tile."""
        self._seed += 1
        self.draw()

    def draw(self) -> None:
        """Request samples with the current settings."""
        try:
            self._session.training.preview_augmentation(self._config(), self._seed)
        except PathsegError as error:
            self.sentence.setText(str(error))

    def on_settings_changed(self) -> None:
        """Redraw the same tile in a moment."""
        if self.isVisible():
            self._redraw_later.throttle()

    def _draw_if_visible(self) -> None:
        if self.isVisible():
            self.draw()

    def _show_run(self) -> None:
        run = self._session.training.run
        self.another.setEnabled(not self._session.training.busy)
        if run is None or run.kind != JobKind.PREVIEW:
            return
        if run.active:
            self.sentence.setText("Drawing…")
        elif run.broken:
            self.sentence.setText(run.error or "The samples could not be drawn. Press Another.")
        elif run.samples_path:
            self.image_view.show_file(Path(run.samples_path))
            self.sentence.setText("Top left: a tile unchanged. The others: augmented as in training.")
