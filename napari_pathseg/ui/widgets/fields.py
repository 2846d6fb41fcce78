"""The fields of a form: a label, a widget of the kind the setting asks for, one way to read and to show it."""

from typing import Any

from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QLabel, QLineEdit, QSpinBox, QWidget

from napari_pathseg.settings import Limits
from napari_pathseg.ui.widgets.spin_box import ScientificSpinBox, ignore_unfocused_wheel
from napari_pathseg.ui.widgets.theme import HALF_SPACING

_MIN_WIDTH = 60  # of a field; the layout widens it


class SettingField:
    """A setting in a form; `changed` tells that its value did."""

    changed = Signal()

    def __init__(self, label: str, limits: Limits, box: QWidget) -> None:
        self.label, self.widget, self.box = QLabel(label), box, box
        self.label.setBuddy(box)
        for part in (self.label, box):
            part.setToolTip(limits.help)
        box.setAccessibleName(label)
        box.setMinimumWidth(_MIN_WIDTH)
        ignore_unfocused_wheel(box)

    def value(self) -> Any:
        """Return what the field says."""
        raise NotImplementedError

    def show_value(self, value: Any) -> None:
        """Show another value."""
        raise NotImplementedError

    def _tell(self, *_: Any) -> None:
        self.changed.emit()


class ChoiceField(SettingField):
    """One of some words."""

    def __init__(self, label: str, limits: Limits) -> None:
        self._combo = QComboBox()
        self._combo.addItems(limits.choices)
        self._combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        super().__init__(label, limits, self._combo)
        self._combo.currentIndexChanged.connect(self._tell)

    def value(self) -> str:
        """Return the chosen word."""
        return str(self._combo.currentText())

    def show_value(self, value: str) -> None:
        """Choose a word."""
        self._combo.setCurrentText(value)


class TickField(SettingField):
    """Yes or no."""

    def __init__(self, label: str, limits: Limits) -> None:
        self._tick = QCheckBox()
        super().__init__(label, limits, self._tick)
        self._tick.toggled.connect(self._tell)

    def value(self) -> bool:
        """Return whether it is ticked."""
        return bool(self._tick.isChecked())

    def show_value(self, value: bool) -> None:
        """Tick it or not."""
        self._tick.setChecked(value)


class BoxField(SettingField):
    """A whole number."""

    def __init__(self, label: str, limits: Limits) -> None:
        self._box = QSpinBox()
        self._box.setRange(int(limits.minimum or 0), int(limits.maximum or 0))
        self._box.setSingleStep(int(limits.step or 1))
        self._box.setSuffix(f" {limits.unit}" if limits.unit else "")
        super().__init__(label, limits, self._box)
        self._box.valueChanged.connect(self._tell)

    def value(self) -> int:
        """Return the number."""
        return int(self._box.value())

    def show_value(self, value: int) -> None:
        """Show a number."""
        self._box.setValue(value)


class NumberField(SettingField):
    """A number."""

    def __init__(self, label: str, limits: Limits) -> None:
        self._box = ScientificSpinBox()
        self._box.set_range(limits.minimum or 0, limits.maximum or 0, limits.step)
        self._box.setSuffix(f" {limits.unit}" if limits.unit else "")
        super().__init__(label, limits, self._box)
        self._box.valueChanged.connect(self._tell)

    def value(self) -> float:
        """Return the number."""
        return float(self._box.value())

    def show_value(self, value: float) -> None:
        """Show a number."""
        self._box.setValue(value)


class TextField(SettingField):
    """A word or a path; buttons may stand beside it."""

    def __init__(self, label: str, limits: Limits) -> None:
        self._line = QLineEdit()
        super().__init__(label, limits, self._line)
        self.widget = QWidget()
        self._row = QHBoxLayout(self.widget)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(HALF_SPACING)
        self._row.addWidget(self._line, 1)
        self._line.textChanged.connect(self._tell)

    def add_beside(self, widget: QWidget) -> None:
        """Put a widget at the right of the text."""
        self._row.addWidget(widget)

    def value(self) -> str:
        """Return the text."""
        return str(self._line.text()).strip()

    def show_value(self, value: str) -> None:
        """Show a text from its beginning."""
        self._line.setText(value)
        self._line.setCursorPosition(0)
