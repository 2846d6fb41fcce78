"""Messages and errors as napari notifications of one sentence.

The only place in the window that handles a `PathsegError`; any other exception is a bug and keeps its
traceback, which napari shows.
"""

import contextlib
import logging
from collections.abc import Iterator

from napari.utils.notifications import Notification, notification_manager
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QPlainTextEdit, QVBoxLayout, QWidget

from napari_pathseg.errors import PathsegError

_logger = logging.getLogger(__name__)


def notify(text: str, details: str = "", kind: str = "info") -> None:
    """Show a message; `kind` is "info", "warning" or "error"; a button shows `details`, if any."""
    if details:
        _logger.warning("%s\n%s", text, details)
    actions = [("More", lambda source: _show_details(text, details, source))] if details else []
    notification_manager.dispatch(Notification(text, kind, actions=actions))


@contextlib.contextmanager
def show_errors() -> Iterator[None]:
    """Show a `PathsegError`, which the user can fix, as a notification and suppress it."""
    try:
        yield
    except PathsegError as error:
        notify(str(error), kind="error")


def _show_details(text: str, details: str, source: QWidget) -> None:
    dialog = QDialog(source.parentWidget())
    dialog.setWindowTitle(text)
    dialog.resize(640, 360)
    shown = QPlainTextEdit(details)
    shown.setReadOnly(True)
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
    buttons.rejected.connect(dialog.reject)
    layout = QVBoxLayout(dialog)
    layout.addWidget(shown)
    layout.addWidget(buttons)
    dialog.open()
