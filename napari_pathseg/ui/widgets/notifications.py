"""Messages and errors as napari notifications of one sentence, and the list of those that were shown.

The only place in the window that handles a `PathsegError`; any other exception is a bug and keeps its
traceback, which napari shows.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.utils.notifications import Notification, notification_manager
from qtpy.QtCore import QAbstractAnimation, QRect, Qt
from qtpy.QtWidgets import QApplication, QDialog, QDialogButtonBox, QLabel, QPlainTextEdit, QVBoxLayout, QWidget

from napari_pathseg.errors import PathsegError
from napari_pathseg.ui.widgets.plain_text import without_tags

_logger = logging.getLogger(__name__)
_MIN_READING_MS, _READING_MS = 8000, 100  # at least, and per character
_MARGINS = 32  # pixels above and below the text of a message, with napari's margins
_PADDING = 12  # pixels by which the text is narrower than its label, at most
_BETWEEN = 4  # pixels between two messages
_JUST_NOW_S = 2.0  # a message this new is about what the user does now

Offer = tuple[str, Callable[[], None]]  # the text of a button, and what it does


class Message(Notification):  # type: ignore[misc]
    """A notification of the plugin."""


def notify(text: str, details: str = "", kind: str = "info", offer: Offer | None = None) -> None:
    """Show a message.

    Parameters
    ----------
    text
        The sentence.
    details
        What a button shows, if any.
    kind
        "info", "warning" or "error".
    offer
        Another button.
    """
    if details:
        _logger.warning("%s\n%s", text, details)
    text = without_tags(text)
    actions = [("More", lambda source: _show_details(text, details, source))] if details else []
    if offer is not None:
        actions.append((offer[0], lambda _: offer[1]()))
    notification_manager.dispatch(Message(text, kind, actions=actions))
    if QApplication.instance() is not None:
        for widget in _shown():
            if widget.message.text() == text:
                _show_in_full(widget)
            _close_in_time(widget)
        _stack()


@contextlib.contextmanager
def show_errors() -> Iterator[None]:
    """Show a `PathsegError`, which the user can fix, as a notification and suppress it."""
    try:
        yield
    except PathsegError as error:
        notify(str(error), kind="error")


def shown_messages() -> list[str]:
    """Return the plugin's messages since napari was started, each with its time, the newest first."""
    records = [record for record in notification_manager.records if isinstance(record, Message)]
    return [f"{record.date:%H:%M}  {record.message}" for record in reversed(records)]


def show_messages(parent: QWidget) -> None:
    """List the messages that were shown, for those that disappeared before they were read."""
    _show_text("Messages", "\n\n".join(shown_messages()) or "There were no messages yet.", parent)


def close_messages() -> None:
    """Close the plugin's messages that are still on screen, but for those of this moment."""
    now = datetime.now()
    old = {
        record.message
        for record in notification_manager.records
        if isinstance(record, Message) and (now - record.date).total_seconds() > _JUST_NOW_S
    }
    for widget in _shown():
        if widget.message.text() in old:
            widget.close()


def _shown() -> list[Any]:
    """Return napari's notifications that are not closed, oldest first.

    napari's own list: one of all widgets would hold some that Qt is deleting.
    """
    return [widget for widget in NapariQtNotification._instances if _exists(widget)]


def _exists(widget: QWidget) -> bool:
    """Return whether Qt has not deleted a widget, as it does those of a window that was closed."""
    try:
        widget.isVisible()
    except RuntimeError:
        return False
    return True


def _close_in_time(widget: Any) -> None:
    """Let a message close by itself, unless the mouse is on it: napari lets only the last one do so."""
    if widget.parent() is None or not widget.parent().isActiveWindow() or widget.underMouse():
        return
    if not widget.timer.isSingleShot():  # shown while the window was in the background
        widget.timer.setInterval(max(widget.timer.interval(), widget.DISMISS_AFTER))
        widget.timer.setSingleShot(True)
        widget.timer.timeout.connect(widget.close_with_fade)
    if not widget.timer.isActive():
        widget.timer.start()


def _show_in_full(widget: Any) -> None:
    """Show all of a message at once, and long enough to read it; napari shows one line of it for four seconds."""
    text = widget.message.text()
    widget.timer.setInterval(max(widget.timer.interval(), _MIN_READING_MS, _READING_MS * len(text)))
    widget.layout().activate()
    if widget.message.fontMetrics().horizontalAdvance(text) <= widget.message.width() - _PADDING:
        return
    widget.geom_anim.stop()
    place: QRect = widget.geom_anim.endValue() or widget.geometry()
    needed = widget.message.fontMetrics().boundingRect(
        QRect(0, 0, widget.message.width() - _PADDING, 0), int(Qt.TextFlag.TextWordWrap), text
    )
    below = widget.row2_widget.sizeHint().height() if widget.row2_widget.isVisible() else 0
    height = needed.height() + _MARGINS + below
    QLabel.setText(widget.message, text)  # it holds one line of the text, and would ask for the height of that one
    widget.setGeometry(place.x(), place.bottom() + 1 - height, place.width(), height)
    widget.source_label.clear()  # it names a class of napari
    widget.setProperty("expanded", True)
    widget.style().unpolish(widget.expand_button)
    widget.style().polish(widget.expand_button)


def _stack() -> None:
    """Put older messages above newer ones, where napari would put them behind; close what has no place."""
    shown = [widget for widget in _shown() if widget.isVisible() and widget.parent() is not None]
    above: int | None = None  # the top of the message below
    for widget in reversed(shown):
        if widget.geom_anim.state() == QAbstractAnimation.State.Running:  # it still slides in, from below
            widget.geom_anim.stop()
            widget.setGeometry(widget.geom_anim.endValue())
        if above is not None and above - widget.height() < 0:
            widget.close()
            continue
        if above is not None:
            widget.move(widget.x(), above - widget.height())
        above = widget.y() - _BETWEEN


def _show_details(text: str, details: str, source: QWidget) -> None:
    _show_text(text, details, source.parentWidget())


def _show_text(title: str, text: str, parent: QWidget | None) -> None:
    dialog = QDialog(parent)
    dialog.setWindowTitle(title)
    dialog.resize(640, 360)
    shown = QPlainTextEdit(text)
    shown.setReadOnly(True)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout = QVBoxLayout(dialog)
    layout.addWidget(shown)
    layout.addWidget(buttons)
    dialog.open()
