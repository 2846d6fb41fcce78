"""Samples of how tiles are varied in training, in a small window beside the dock."""

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QWidget
from superqt.utils import qthrottled

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.image_view import ImageView
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.theme import SPACING

_WIDTH = 520
_REDRAW_MS = 500  # after a setting was changed


class AugmentationPreviewDialog(QDialog):
    """Sixteen variants of a tile of the project, the first as it is; they follow the settings."""

    def __init__(self, session: Session, config: Callable[[], TrainConfig], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._config, self._seed = session, config, 0
        self.setWindowTitle("Augmentation")
        self.setModal(False)
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.image_view = ImageView()
        self.another = push_button("Another", "Draw another tile of the slides that are learnt from.")
        self.close_button = push_button("Close", "")
        layout = column(self, self.sentence, self.image_view, row(None, self.another, self.close_button))
        layout.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
        layout.setSizeConstraint(layout.SizeConstraint.SetMinAndMaxSize)
        layout.setAlignment(self.image_view, Qt.AlignmentFlag.AlignTop)
        self.resize(_WIDTH, _WIDTH)
        self.another.clicked.connect(self.draw_another)
        self.close_button.clicked.connect(self.close)
        self._redraw = qthrottled(self._draw_if_seen, timeout=_REDRAW_MS, leading=False, parent=self)
        session.training.run_changed.connect(self._show_run)

    def draw_another(self) -> None:
        """Draw another tile."""
        self._seed += 1
        self.draw()

    def draw(self) -> None:
        """Have the samples drawn as the settings are now."""
        try:
            self._session.training.preview_augmentation(self._config(), self._seed)
        except PathsegError as error:
            self.sentence.setText(str(error))

    def follow(self) -> None:
        """Draw the same tile again soon, for a setting was changed."""
        if self.isVisible():
            self._redraw.throttle()

    def _draw_if_seen(self) -> None:
        if self.isVisible():
            self.draw()

    def _show_run(self) -> None:
        run = self._session.training.run
        self.another.setEnabled(not self._session.training.active)
        if run is None or run.kind != "preview":
            return
        if run.active:
            self.sentence.setText("Drawing…")
        elif run.broken:
            self.sentence.setText(run.error or "The samples could not be drawn. Press Another.")
        elif run.samples_path:
            self.image_view.show_file(Path(run.samples_path))
            self.sentence.setText("A tile as it is, top left, and how training would vary it.")
