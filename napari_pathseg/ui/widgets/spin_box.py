"""Boxes that stand in a scrolled panel: the wheel scrolls it, unless the box was chosen first."""

import math

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QWidget

_DIGITS, _DECIMALS = 6, 12


class _WheelGuard(QObject):
    """Keeps the wheel from changing a widget that has no focus."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Leave the wheel to what is around."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def ignore_unfocused_wheel(widget: QWidget) -> None:
    """Let the wheel pass over a widget that has no focus; Tab and a click give it that."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_WheelGuard(widget))


class ScientificSpinBox(QDoubleSpinBox):
    """A box for numbers of any size: it shows as few digits as it can, and takes 1e-4 as well as 0.0001.

    `digits` are the most that it shows.
    """

    digits = _DIGITS

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(_DECIMALS)
        ignore_unfocused_wheel(self)

    def set_range(self, minimum: float, maximum: float, step: float | None) -> None:
        """Set the limits; arrows make `step`, or one that fits the number where that would be too fine."""
        self.setRange(minimum, maximum)
        if step is None or step < 1e-4 * (maximum - minimum):
            self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        else:
            self.setSingleStep(step)

    def textFromValue(self, value: float) -> str:  # noqa: N802
        """Return a number as it is shown."""
        return f"{value:.{self.digits}g}".replace("e-0", "e-").replace("e+0", "e")

    def valueFromText(self, text: str | None) -> float:  # noqa: N802
        """Return the number that a text says."""
        if text and text == self.specialValueText():
            return self.minimum()
        number = _number(self._bare(text or ""))
        return self.value() if number is None else number

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Say whether a text is a number, or may become one."""
        if text and text == self.specialValueText():
            return QValidator.State.Acceptable, text, position
        bare = self._bare(text or "")
        number = _number(bare)
        if number is not None and self.minimum() <= number <= self.maximum():
            return QValidator.State.Acceptable, text or "", position
        typing = not bare.strip("0123456789.,eE+-")
        return QValidator.State.Intermediate if typing else QValidator.State.Invalid, text or "", position

    def _bare(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip()


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
