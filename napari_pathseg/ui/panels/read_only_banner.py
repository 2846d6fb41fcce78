"""The banner over a project that another program holds: who, and a button to try again."""

from html import escape

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFrame, QLabel, QSizePolicy, QWidget

from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING, STATE_HUES

_HELD_MS, _READ_ONLY_MS = 1000, 5000  # between two looks at whether that changed


class ReadOnlyBanner(QFrame):
    """Seen only while the project can be looked at and not changed; it tries again by itself."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.button = push_button("Try again", "Ask whether the project is free now; every few seconds it is asked.")
        column(self, row(self.text, self.button)).setContentsMargins(SPACING, HALF_SPACING, SPACING, HALF_SPACING)
        self.setObjectName("read_only")
        self.setStyleSheet(f"#read_only {{ border: 1px solid {STATE_HUES['predicted']}; border-radius: 4px; }}")
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._watch)
        self.button.clicked.connect(self._watch)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show why the project cannot be changed, or nothing."""
        reason = self._session.read_only
        self.text.setText(f"<b>Read-only:</b> {escape(reason)}." if reason else "")
        self.setVisible(bool(reason))
        self._timer.start(_READ_ONLY_MS if reason else _HELD_MS)

    def _watch(self) -> None:
        self._session.poll_lock()
