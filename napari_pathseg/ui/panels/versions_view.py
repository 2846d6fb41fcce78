"""Two models in turn, or side by side, on the slide in view: a button, its key, and a slider."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider, QWidget
from superqt.utils import signals_blocked

from napari_pathseg.errors import ProjectError
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_HELP = (
    "Show what the two models predicted on this slide in turn, without changing the mask: the two that were compared "
    "last, or the newest."
)


class VersionsPanel(QWidget):
    """Shows two models on the slide; nothing of it changes a mask."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.button = push_button("Flicker", with_key(_HELP, "flicker"))
        self.stop = push_button("Back to mask", "Show the mask again.")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setToolTip("Swipe: the first model left of here, the second one right of it.")
        self.sentence = SecondaryLabel()
        column(self, row(self.button, self.slider, self.stop), self.sentence)
        self.button.clicked.connect(self.flicker)
        self.stop.clicked.connect(session.versions.stop)
        self.slider.valueChanged.connect(self._swipe)
        session.versions.changed.connect(self.refresh)
        self.refresh()

    def flicker(self) -> None:
        """Show the two models, then the other one each time."""
        view, session = self._session.versions, self._session
        with show_errors():
            pair = self._pair()
            if len(pair) < 2:
                raise ProjectError("There are no two models to look at yet. Train again.")
            if view.models != tuple(pair):
                session.require_slide()
                view.stop()
                view.start(*pair)
            else:
                view.flicker()

    def refresh(self) -> None:
        """Show what is on the slide, and enable what can be used."""
        view, slide = self._session.versions, self._session.slide
        self.button.setEnabled(slide is not None and len(self._pair()) == 2)
        for widget in (self.slider, self.stop):
            widget.setEnabled(bool(view.models))
        self.sentence.setText(view.sentence)
        self.sentence.setVisible(bool(view.sentence))
        with signals_blocked(self.slider):
            self.slider.setValue(round(100 * view.share) if view.models else 0)

    def _pair(self) -> list[str]:
        """Return the two models: those that were compared last, if they are still there, or the newest."""
        project = self._session.project
        models = [] if project is None else project.model_ids()
        compared = self._session.training.compared_models
        return compared if len(compared) == 2 and set(compared) <= set(models) else models[-2:]

    def _swipe(self, percent: int) -> None:
        self._session.versions.swipe(percent / 100)
