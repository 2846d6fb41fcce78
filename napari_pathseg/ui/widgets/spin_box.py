"""Spin boxes for scrollable panels, alone and as magicgui value widgets.

They ignore the wheel unless they have the focus, so that scrolling a panel changes no value.
"""

import math
from typing import Any

from magicgui.backends._qtpy.widgets import QBaseRangedWidget
from magicgui.widgets.bases import RangedWidget
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import QAbstractSpinBox, QDoubleSpinBox, QSpinBox, QWidget

_DIGITS, _DECIMALS = 6, 12


class _WheelFilter(QObject):
    """Ignores the wheel over a widget without focus."""

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Leave the wheel to the parent widget."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        if isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return False


def ignore_unfocused_wheel(widget: QWidget) -> None:
    """Make a widget ignore the wheel until Tab or a click gives it the focus."""
    widget.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    widget.installEventFilter(_WheelFilter(widget))


class ScientificSpinBox(QDoubleSpinBox):
    """A spin box for numbers of any size: it shows at most `digits` digits and accepts 1e-4 as well as 0.0001."""

    digits = _DIGITS

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(_DECIMALS)
        ignore_unfocused_wheel(self)

    def set_range(self, minimum: float, maximum: float, step: float | None) -> None:
        """Set the limits and the step of the arrows; it adapts to the value if `step` is missing or too fine."""
        self.setRange(minimum, maximum)
        if (step := usable_step(minimum, maximum, step)) is None:
            self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        else:
            self.setSingleStep(step)

    def textFromValue(self, value: float) -> str:  # noqa: N802
        """Format a number."""
        return f"{value:.{self.digits}g}".replace("e-0", "e-").replace("e+0", "e")

    def valueFromText(self, text: str | None) -> float:  # noqa: N802
        """Parse a number; other text leaves the value unchanged."""
        if text and text == self.specialValueText():
            return self.minimum()
        number = _number(self._without_suffix(text or ""))
        return self.value() if number is None else number

    def validate(self, text: str | None, position: int) -> tuple[QValidator.State, str, int]:
        """Return whether a text is a number within the limits, or the beginning of one."""
        if text and text == self.specialValueText():
            return QValidator.State.Acceptable, text, position
        bare = self._without_suffix(text or "")
        number = _number(bare)
        if number is not None and self.minimum() <= number <= self.maximum():
            return QValidator.State.Acceptable, text or "", position
        typing = not bare.strip("0123456789.,eE+-")
        return QValidator.State.Intermediate if typing else QValidator.State.Invalid, text or "", position

    def _without_suffix(self, text: str) -> str:
        return text.removesuffix(self.suffix()).strip()


class ScientificFloat(RangedWidget[float]):
    """magicgui's value widget around a `ScientificSpinBox`; its own would show 1e-6 as 0."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(widget_type=_FloatBackend, **settings)


class WholeNumber(RangedWidget[int]):
    """magicgui's value widget around a `QSpinBox`; its own shows no unit."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(widget_type=_IntBackend, **settings)


class _FloatBackend(QBaseRangedWidget):
    def __init__(self, **settings: Any) -> None:
        super().__init__(ScientificSpinBox, **settings)


class _IntBackend(QBaseRangedWidget):
    def __init__(self, **settings: Any) -> None:
        super().__init__(QSpinBox, **settings)

    def _pre_set_hook(self, value: Any) -> int:
        return int(value)


def usable_step(minimum: float, maximum: float, step: float | None) -> float | None:
    """Return `step`, or None if it is so fine that the arrows would hardly move through the range."""
    return None if step is None or step < 1e-4 * (maximum - minimum) else step


def _number(text: str) -> float | None:
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None
