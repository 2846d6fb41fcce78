"""The box that lets a training go on with each new stroke, and what it does just now."""

from collections.abc import Callable

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from napari_pathseg.config import TrainConfig
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_TICK_MS = 500
_HELP = (
    "After your strokes, the current model learns them in rounds of half a minute and the view is predicted again. Use "
    "it while you correct. A round is kept if it is better on what is held out; only the newest two stay in the list. "
    "It ends by itself after ten minutes without strokes, or when three rounds bring nothing."
)


class KeepTrainingBox(QWidget):
    """Switches `Session.keep_training`; `config` returns the settings of its rounds."""

    def __init__(self, session: Session, config: Callable[[], TrainConfig], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._config = session, config
        self.box = QCheckBox("Keep training while I correct")
        self.box.setToolTip(_HELP)
        self.sentence = SecondaryLabel()
        FixedLines(self.sentence, 2)
        column(self, self.box, self.sentence)
        self.box.toggled.connect(self._switch)
        session.keep_training.changed.connect(self.refresh)
        self._timer = QTimer(self)
        self._timer.setInterval(_TICK_MS)
        self._timer.timeout.connect(self._tick)
        self.refresh()

    def refresh(self) -> None:
        """Show whether it is on, and what it does."""
        keep, session = self._session.keep_training, self._session
        with signals_blocked(self.box):
            self.box.setChecked(keep.on)
        self.box.setEnabled(session.project is not None and not session.read_only)
        self.sentence.setText(keep.sentence)
        self.sentence.setVisible(bool(keep.sentence))
        if keep.on:
            self._timer.start()
        else:
            self._timer.stop()

    def _switch(self, on: bool) -> None:
        with show_errors():
            self._session.keep_training.switch(on, self._config())
        self.refresh()

    def _tick(self) -> None:
        with show_errors():
            self._session.keep_training.tick()
