"""How long to train: three presets, and a time limit that overrides the preset's own."""

from psygnal import Signal
from qtpy.QtWidgets import QButtonGroup, QPushButton, QWidget

from napari_pathseg.config import LIVE, TrainConfig
from napari_pathseg.settings import SettingInfo
from napari_pathseg.ui.session.formatting import format_preset_minutes
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.spin_box import ScientificFloat

_TEXTS = {
    LIVE: (
        "Quick look",
        "Seconds. Fits a linear classifier to what a trained network sees: a first idea of\n"
        "whether the outlines are enough to learn from. A few strokes of each class will do.",
    ),
    "normal": (
        "Normal",
        "Minutes. Trains the whole network.",
    ),
    "thorough": (
        "Thorough",
        "Up to hours. Searches the learning rate, then trains until the held-out slides no longer improve: for\n"
        "the final model.",
    ),
}


class PresetChoice(QWidget):
    """Three exclusive buttons; `changed` reports another preset or time limit.

    The panel that shows this widget lays out the field of the time limit, `minutes`.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {name: _preset_button(*texts) for name, texts in _TEXTS.items()}
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for button in self.buttons.values():
            self._group.addButton(button)
        self.minutes = _minutes_field()
        buttons = row()
        buttons.setSpacing(1)
        for button in self.buttons.values():
            buttons.addWidget(button, 1)
        column(self, buttons)
        self.show_choice(TrainConfig())
        self._group.buttonToggled.connect(self._on_toggled)
        self.minutes.changed.connect(self._emit_changed)

    @property
    def preset(self) -> str:
        """The chosen preset."""
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def values(self) -> dict[str, str | float]:
        """Return preset and minutes as keyword arguments of `TrainConfig`."""
        return {"preset": self.preset, "minutes": self.minutes.value}

    def show_choice(self, config: TrainConfig) -> None:
        """Show the preset and the minutes of a configuration."""
        self.buttons.get(config.preset, self.buttons[LIVE]).setChecked(True)  # quick is for the command line
        self.minutes.native.setSpecialValueText(format_preset_minutes(self.preset))
        self.minutes.value = config.minutes

    def _on_toggled(self, _: QPushButton, checked: bool) -> None:
        if checked:
            self.minutes.native.setSpecialValueText(format_preset_minutes(self.preset))
            self.changed.emit()

    def _emit_changed(self, _: float) -> None:
        self.changed.emit()


def _preset_button(text: str, help: str) -> QPushButton:
    button = push_button(text, help)
    button.setCheckable(True)
    return button


def _minutes_field() -> ScientificFloat:
    """Return the field of the longest training time, with the limits of the setting."""
    info: SettingInfo = next(info for field, info in TrainConfig.described() if field.name == "minutes")
    minutes = ScientificFloat(
        label="At most",
        min=info.minimum,
        max=info.maximum,
        step=1,
        tooltip="Longest training time in minutes; 0 uses the time of the choice above.",
    )
    minutes.native.digits = 3
    minutes.native.setSuffix(f" {info.unit}")
    minutes.native.setAccessibleName("Longest training time in minutes")
    return minutes
