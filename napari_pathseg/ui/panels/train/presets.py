"""How long to train: three plain choices, and a longest time that they set where none is given."""

from psygnal import Signal
from qtpy.QtWidgets import QButtonGroup, QPushButton, QWidget

from napari_pathseg.config import PRESETS, TrainConfig
from napari_pathseg.settings import Limits
from napari_pathseg.ui.session.formatting import format_preset_minutes
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.spin_box import ScientificSpinBox

_TEXTS = {
    "quick": (
        "Quick look",
        "Seconds. Only the decoder learns, on top of what the encoder knows: a first idea of whether the\n"
        "outlines teach anything.",
    ),
    "normal": (
        "Normal",
        "Minutes. Everything learns, starting from the quick look if there is one.",
    ),
    "thorough": (
        "Thorough",
        "Until the held-out slides no longer improve, after a search of the step size: up to hours. For the model\n"
        "that is used in the end.",
    ),
}  # fmt: skip


class PresetChoice(QWidget):
    """Three buttons of which one is down; `changed` tells of another choice, or of another longest time.

    The box of that, `minutes`, is laid out by whoever shows the choice.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons = {name: _preset_button(*_TEXTS[name]) for name in PRESETS}
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        for button in self.buttons.values():
            self._group.addButton(button)
        self.minutes = _minutes_box()
        buttons = row()
        buttons.setSpacing(1)
        for button in self.buttons.values():
            buttons.addWidget(button, 1)
        column(self, buttons)
        self.show_choice(TrainConfig())
        self._group.buttonToggled.connect(self._chosen)
        self.minutes.valueChanged.connect(self._tell)

    @property
    def preset(self) -> str:
        """The choice that is down."""
        return next(name for name, button in self.buttons.items() if button.isChecked())

    def values(self) -> dict[str, str | float]:
        """Return the preset and the minutes as `TrainConfig` takes them."""
        return {"preset": self.preset, "minutes": self.minutes.value()}

    def show_choice(self, config: TrainConfig) -> None:
        """Show the preset and the minutes of a configuration."""
        self.buttons[config.preset].setChecked(True)
        self.minutes.setSpecialValueText(format_preset_minutes(config.preset))
        self.minutes.setValue(config.minutes)

    def _chosen(self, _: QPushButton, checked: bool) -> None:
        if checked:
            self.minutes.setSpecialValueText(format_preset_minutes(self.preset))
            self.changed.emit()

    def _tell(self, _: float) -> None:
        self.changed.emit()


def _preset_button(text: str, help: str) -> QPushButton:
    button = push_button(text, help)
    button.setCheckable(True)
    return button


def _minutes_box() -> ScientificSpinBox:
    """Return the box for the longest training time, with the setting's limits."""
    limits: Limits = next(limits for field, limits in TrainConfig.described() if field.name == "minutes")
    box = ScientificSpinBox()
    box.digits = 3
    box.setRange(limits.minimum or 0, limits.maximum or 0)
    box.setSingleStep(1)
    box.setSuffix(f" {limits.unit}")
    box.setToolTip("The longest time to train, in minutes; at 0 what the choice above takes.")
    box.setAccessibleName("Longest training time in minutes")
    return box
