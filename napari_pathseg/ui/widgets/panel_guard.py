"""Keeps the keyboard with the canvas and the wheel with the panel.

A click on a button, list or slider of the panel leaves the focus on the canvas, or returns it from a text field, so
that the keys always work; a view that passes keys on says so with `passes_keys`, and keeps the focus.  Tab still goes
through everything.  The wheel scrolls the panel, also over a box, slider or plot.
"""

from collections.abc import Callable
from functools import partial

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractScrollArea,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QGraphicsView,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QTextEdit,
    QWidget,
)

_TEXT = (QLineEdit, QAbstractSpinBox, QPlainTextEdit, QTextEdit)
_KNOWN = "pathseg_guarded"  # property of a widget that is guarded already


class PanelGuard(QObject):
    """Guards the widgets in a panel; call :meth:`adopt` again after adding some.

    Parameters
    ----------
    canvas
        Returns the widget that keys belong to, if there is one.
    """

    def __init__(self, panel: QWidget, canvas: Callable[[], QWidget | None]) -> None:
        super().__init__(panel)
        self._panel, self._canvas = panel, canvas

    def adopt(self) -> None:
        """Guard all widgets of the panel that are not guarded yet."""
        for widget in self._panel.findChildren(QWidget):
            in_window = widget.window() is self._panel.window()  # not a menu, nor the list of a box
            if in_window and not widget.property(_KNOWN):
                widget.setProperty(_KNOWN, True)
                self._adopt(widget)

    def focus_canvas(self) -> None:
        """Give the keys to the canvas, unless the user is typing a text, or is in a view that passes them on."""
        focused = QApplication.focusWidget()
        if not isinstance(focused, _TEXT) and not getattr(focused, "passes_keys", False):
            self.release()

    def release(self) -> None:
        """Give the keys to the canvas."""
        canvas = self._canvas()
        if canvas is not None and canvas.isVisible():
            canvas.setFocus(Qt.FocusReason.OtherFocusReason)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Leave the wheel to the panel."""
        if event is None or event.type() != QEvent.Type.Wheel:
            return False
        event.ignore()
        return True

    def _adopt(self, widget: QWidget) -> None:
        if isinstance(widget, QAbstractSpinBox | QComboBox | QAbstractSlider) and not isinstance(widget, QScrollBar):
            widget.installEventFilter(self)
        if isinstance(widget, QGraphicsView):  # a plot
            for part in (widget, widget.viewport()):
                if part is not None:
                    part.installEventFilter(self)
        if getattr(widget, "passes_keys", False):
            return
        if isinstance(widget, _TEXT):
            if isinstance(widget, QLineEdit):
                widget.returnPressed.connect(self.release)
            return
        if widget.focusPolicy() & Qt.FocusPolicy.ClickFocus:
            tab = widget.focusPolicy() & Qt.FocusPolicy.TabFocus and not _only_scrolls(widget)
            widget.setFocusPolicy(Qt.FocusPolicy.TabFocus if tab else Qt.FocusPolicy.NoFocus)
        if isinstance(widget, QAbstractButton):
            widget.pressed.connect(partial(self._on_pressed, widget))
        elif isinstance(widget, QComboBox):
            widget.activated.connect(self._on_chosen)
        elif isinstance(widget, QAbstractSlider) and not isinstance(widget, QScrollBar):
            widget.sliderPressed.connect(self.release)
        elif isinstance(widget, QAbstractItemView):
            widget.pressed.connect(self._on_chosen)

    def _on_pressed(self, button: QAbstractButton) -> None:
        if not button.hasFocus():  # it has the focus if the user came with Tab and pressed Space
            self.release()

    def _on_chosen(self, *_: object) -> None:
        self.release()


def _only_scrolls(widget: QWidget) -> bool:
    return isinstance(widget, QAbstractScrollArea) and not isinstance(widget, QAbstractItemView)
