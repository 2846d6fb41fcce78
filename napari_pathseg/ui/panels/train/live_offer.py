"""How a training compares with the live model, and a button to use that one where it is better."""

from qtpy.QtWidgets import QWidget

from napari_pathseg.ui.session.formatting import format_live_comparison
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_LINES = 3


class LiveOffer(QWidget):
    """A sentence, from the beginning of a training that is compared, and at its end the button.

    The button has its place from the beginning, so that nothing moves when it comes.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.sentence = SecondaryLabel()
        FixedLines(self.sentence, _LINES)
        self.use = push_button("Use the live model", "Make a copy of it the newest model; no mask is changed.")
        policy = self.use.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.use.setSizePolicy(policy)
        column(self, self.sentence, row(None, self.use))
        self.use.clicked.connect(self._use)
        self.refresh()

    def refresh(self) -> None:
        """Show the last training."""
        run = self._session.training.last_training
        text = "" if run is None else format_live_comparison(run)
        self.sentence.setText(text)
        self.use.setVisible(bool(run is not None and run.offers_live))
        self.use.setEnabled(not self._session.training.busy and not self._session.read_only)
        self.setVisible(bool(text))

    def _use(self) -> None:
        """Copy it in the background: with a large encoder that takes a while."""
        session = self._session
        session.background.start(
            session.training.using_live_model(),
            lambda text: session.message.emit(text, "", "info"),
            lambda error: session.message.emit(str(error), "", "error"),
        )
