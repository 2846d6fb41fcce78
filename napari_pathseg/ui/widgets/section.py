"""A folding section of the dock: a numbered title that shows or hides what is below it."""

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING


class Section(QWidget):
    """A title that folds `body`; `folded_by_hand` tells that the user pressed it.

    A `minor` one stands inside another.
    """

    folded_by_hand = Signal()

    def __init__(self, title: str, body: QWidget, parent: QWidget | None = None, *, minor: bool = False) -> None:
        super().__init__(parent)
        self.body = body
        self.title = QPushButton(title)
        self.title.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        weight, padding = ("normal", 2) if minor else ("bold", 5)
        self.title.setStyleSheet(f"text-align: left; font-weight: {weight}; padding: {padding}px;")
        self._note_label = QLabel()
        self._note_label.setStyleSheet("background: transparent;")
        self._note_label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        inside = QHBoxLayout(self.title)
        inside.setContentsMargins(0, 0, SPACING, 0)
        inside.addWidget(self._note_label, alignment=Qt.AlignmentFlag.AlignRight)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.title)
        layout.addWidget(body)
        self._is_open = False
        body.setContentsMargins(HALF_SPACING, SPACING, HALF_SPACING, SPACING)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.title.clicked.connect(self._pressed)
        self.set_open(False)

    @property
    def is_open(self) -> bool:
        """Whether the body is shown."""
        return self._is_open

    def set_open(self, is_open: bool) -> None:
        """Show or hide the body."""
        self._is_open = is_open
        self.body.setVisible(is_open)
        set_icon(self.title, "unfolded" if is_open else "folded")

    def set_note(self, text: str) -> None:
        """Show a few words at the right of the title."""
        self._note_label.setText(text)

    @property
    def note(self) -> str:
        """The words at the right of the title."""
        return str(self._note_label.text())

    def _pressed(self) -> None:
        self.set_open(not self._is_open)
        self.folded_by_hand.emit()
