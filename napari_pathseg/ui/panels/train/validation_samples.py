"""Held-out patches of a training: what a person outlined beside what the network says."""

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.session.job_state import Run
from napari_pathseg.ui.widgets.image_view import PictureView
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import HALF_SPACE, DimLabel


class PatchesView(QWidget):
    """The patches as they were written last, with what each column is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.picture = PictureView()
        self.picture.setToolTip("Places of the held-out slides, which nothing is learnt from; drawn anew as it learns.")
        self._shown = "", 0
        captions = [DimLabel(text) for text in ("slide", "outlined", "predicted")]
        for caption in captions:
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column(self, row(*captions), self.picture).setSpacing(HALF_SPACE)

    @property
    def has_data(self) -> bool:
        """Whether there is something to see."""
        return not self.picture.image.isNull()

    def show_run(self, run: Run) -> None:
        """Read the patches of a run anew where they were written since."""
        if (run.picture, run.looks) != self._shown:
            self._shown = run.picture, run.looks
            self.picture.show_file(Path(run.picture))

    def clear(self) -> None:
        """Show nothing."""
        self._shown = "", 0
        self.picture.show_file(Path())
