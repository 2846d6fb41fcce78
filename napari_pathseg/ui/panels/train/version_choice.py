"""A new model beside the one before it, and two buttons: keep it, or discard it."""

from collections.abc import Callable

from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.session.formatting import format_before_after
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_LINES = 3


class VersionChoice(QWidget):
    """How a new model compares with the one before, until the user keeps it or trains again."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.sentence = SecondaryLabel()
        FixedLines(self.sentence, _LINES)
        self.keep = push_button(
            "Keep", "Use the new model from now on: to predict, to export, to train on. Ctrl+Z shows the choice again."
        )
        self.discard = push_button(
            "Discard",
            "Remove the new model and use the one before, if the new one is worse. Ctrl+Z or Restore brings it back.",
        )
        self.restore = push_button(
            "Restore", "Bring the model back that was discarded (Ctrl+Z while nothing else was done since)."
        )
        column(self, self.sentence, row(None, self.keep, self.discard, self.restore))
        for button, act in (
            (self.keep, session.models.keep),
            (self.discard, session.models.discard),
            (self.restore, session.models.take_back),
        ):
            button.clicked.connect(self._action(act))
        self.refresh()

    def refresh(self) -> None:
        """Show the last training's model."""
        models = self._session.models
        compared, discarded = models.compared, models.discarded
        self.setVisible(compared is not None)
        if compared is None:
            return
        current = self._session.project.current_model if self._session.project is not None else None
        self.sentence.setText(format_before_after(compared, current or "", discarded=discarded))
        self.sentence.setToolTip(compared.text)
        for button in (self.keep, self.discard):
            button.setVisible(not discarded)
        self.restore.setVisible(discarded)
        for button in (self.keep, self.discard, self.restore):
            button.setEnabled(not self._session.training.busy and not self._session.read_only)

    def _action(self, act: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with show_errors():
                act()
            self.refresh()

        return run
