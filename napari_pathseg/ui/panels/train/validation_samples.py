"""Held-out patches of a training: what a person outlined beside what the network says."""

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.session.job_state import JobState
from napari_pathseg.ui.widgets.image_view import ImageView
from napari_pathseg.ui.widgets.layout import column, row
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SecondaryLabel


class ValidationSamplesView(QWidget):
    """The patches as they were written last, with what each column is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_view = ImageView()
        self.image_view.setToolTip(
            "Places of the held-out slides, which nothing is learnt from; drawn anew as it learns."
        )
        self._shown = "", 0
        captions = [SecondaryLabel(text) for text in ("slide", "outlined", "predicted")]
        for caption in captions:
            caption.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column(self, row(*captions), self.image_view).setSpacing(HALF_SPACING)

    @property
    def has_data(self) -> bool:
        """Whether there is something to see."""
        return not self.image_view.image.isNull()

    def show_run(self, run: JobState) -> None:
        """Read the patches of a run anew where they were written since."""
        if (run.samples_path, run.samples_count) != self._shown:
            self._shown = run.samples_path, run.samples_count
            self.image_view.show_file(Path(run.samples_path))

    def clear(self) -> None:
        """Show nothing."""
        self._shown = "", 0
        self.image_view.show_file(Path())
