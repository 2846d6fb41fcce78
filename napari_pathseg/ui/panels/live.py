"""The live model in the window: its switch, which Outline and Review show, and what Review offers besides."""

import contextlib
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QLabel, QSlider, QWidget
from superqt.utils import qdebounced, signals_blocked

from napari_pathseg.config import LiveConfig
from napari_pathseg.errors import ConfigError
from napari_pathseg.ui.layers.mask_layer import can_paint_pyramids
from napari_pathseg.ui.session.selection import SLIDE, VIEW
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.fixed_lines import FixedLines
from napari_pathseg.ui.widgets.form import SettingsForm, read_form
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.weights_button import add_weights_button

_HELP = (
    "A model learns from each stroke and shows at once, hatched, what it finds. Nothing of that is in the mask\n"
    "until you fill it in."
)
_SETTLE_MS = 800  # after the last change of a setting: each starts the model again
_PERCENT_WIDTH = 44


class LiveSwitch(QWidget):
    """The switch of the live model, and one line about what it does."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.switch, self.sentence = QCheckBox("Live"), PlainLabel()
        self.switch.setToolTip(with_key(_HELP, "live_overlay"))
        self.switch.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        FixedLines(self.sentence)
        column(self, row(self.switch, self.sentence))
        self.switch.clicked.connect(self._set_on)
        session.live.changed.connect(self._show)
        self._show()

    def _set_on(self, on: bool) -> None:
        with show_errors():
            self._session.live.set_on(on)

    def _show(self) -> None:
        live = self._session.live
        self.switch.setEnabled(self._session.project is not None and can_paint_pyramids())
        self.switch.setChecked(live.on and self.switch.isEnabled())
        self.sentence.setText(live.sentence)


class LivePanel(QWidget):
    """The switch, how the overlay is shown, and the buttons that take it over into the mask."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.live = LiveSwitch(session)
        self.opacity, self.threshold, self.percent = _percent_slider(), _percent_slider(), PlainLabel()
        self.percent.setFixedWidth(_PERCENT_WIDTH)
        self.threshold.setRange(5, 95)
        self.opacity.setToolTip(
            with_key("Opacity of what the live model finds; the key hides and shows it.", "live_overlay")
        )
        self.threshold.setToolTip("Show and fill a class only where the live model is this sure of it.")
        self.fill_view = push_button(
            "Fill view", "Take what the live model finds on screen over into the mask, to review."
        )
        self.fill_slide = push_button(
            "Fill slide", "Take over what the live model finds on the whole slide, to review."
        )
        column(
            self,
            self.live,
            row(QLabel("Threshold"), self.threshold, self.percent),
            row(QLabel("Opacity"), self.opacity, self.fill_view, self.fill_slide),
        )
        self.opacity.valueChanged.connect(self._set_opacity)
        self.threshold.valueChanged.connect(self._set_threshold)
        self.fill_view.clicked.connect(self._fill_view)
        self.fill_slide.clicked.connect(self._fill_slide)
        for signal in (session.live.changed, session.slide_changed, session.training.run_changed):
            signal.connect(self._show)
        self._show()

    def _set_opacity(self, percent: int) -> None:
        self._session.live.set_opacity(percent / 100)

    def _set_threshold(self, percent: int) -> None:
        self._session.live.set_threshold(percent / 100)

    def _fill_view(self) -> None:
        with show_errors():
            self._session.live.fill(VIEW)

    def _fill_slide(self) -> None:
        with show_errors():
            self._session.live.fill(SLIDE)

    def _show(self) -> None:
        live = self._session.live
        can_fill = live.ready and live.filling is None and self._session.mask is not None
        for button in (self.fill_view, self.fill_slide):
            button.setEnabled(can_fill and not self._session.read_only and not self._session.training.busy)
        for slider, value in ((self.opacity, live.opacity), (self.threshold, live.threshold)):
            slider.setEnabled(live.on)
            with signals_blocked(slider):
                slider.setValue(round(100 * value))
        self.percent.setText(f"{live.threshold:.0%}".replace("%", " %"))


class LiveSettings(QWidget):
    """The settings of the live model, which starts again with others once they rest."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._folder: Path | None = None  # of the project whose settings are shown
        self.form = SettingsForm(session.live.config)
        self.choose_encoder = add_weights_button(self.form, "encoder", "Choose a file with the weights of an encoder.")
        column(self, self.form)
        self._take_later = qdebounced(self._take, timeout=_SETTLE_MS, parent=self)
        self.form.changed.connect(self._take_later.throttle)
        session.live.changed.connect(self._show)

    def _take(self) -> None:
        with contextlib.suppress(ConfigError), show_errors():  # one outside its limits waits for the next change
            self._session.live.set_config(read_form(self.form, LiveConfig))

    def _show(self) -> None:
        folder = None if self._session.project is None else self._session.project.folder
        if folder != self._folder:
            self._folder = folder
            self._take_later.cancel()
            self.form.show_settings(self._session.live.config)
            self._take_later.cancel()


def _percent_slider() -> QSlider:
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(0, 100)
    return slider
