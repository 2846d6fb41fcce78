"""A collapsible section: a title that shows or hides the widget below it, with a note at its right.

superqt's QCollapsible folds by setting its content's maximum height, so that folded widgets still count as
visible: they take the keyboard focus, and views that update only while visible would keep updating.
It also fixes the height when it opens, which cuts off labels that wrap later and plots that appear later.
"""

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.ui.widgets.icons import set_icon
from napari_pathseg.ui.widgets.plain_text import PlainLabel
from napari_pathseg.ui.widgets.theme import HALF_SPACING, SPACING


class CollapsibleSection(QWidget):
    """A title that folds `body`; `opened` is emitted with whether it is open, `toggled_by_user` on a press of the user.

    A `minor` section is nested in another one.
    """

    toggled_by_user = Signal()
    opened = Signal(bool)

    def __init__(self, title: str, body: QWidget, parent: QWidget | None = None, *, minor: bool = False) -> None:
        super().__init__(parent)
        self.body = body
        self.title = QPushButton(title)
        self.title.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        weight, padding = ("normal", 2) if minor else ("bold", 5)
        self.title.setStyleSheet(f"text-align: left; font-weight: {weight}; padding: {padding}px;")
        self._note_label = PlainLabel()
        self._note_label.setStyleSheet("background: transparent;")
        self._note_label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        title_layout = QHBoxLayout(self.title)
        title_layout.setContentsMargins(0, 0, SPACING, 0)
        title_layout.addWidget(self._note_label, alignment=Qt.AlignmentFlag.AlignRight)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.title)
        layout.addWidget(body)
        self._is_open = False
        body.setContentsMargins(HALF_SPACING, SPACING, HALF_SPACING, SPACING)
        self.title.clicked.connect(self._on_clicked)
        self.set_open(False)

    @property
    def is_open(self) -> bool:
        """True while the body is shown."""
        return self._is_open

    def set_open(self, is_open: bool) -> None:
        """Show or hide the body."""
        self._is_open = is_open
        self.body.setVisible(is_open)
        set_icon(self.title, "unfolded" if is_open else "folded")
        self.opened.emit(is_open)

    @property
    def note(self) -> str:
        """The note at the right of the title."""
        return str(self._note_label.text())

    def set_note(self, text: str) -> None:
        """Set the note at the right of the title."""
        self._note_label.setText(text)

    def _on_clicked(self) -> None:
        self.set_open(not self._is_open)
        self.toggled_by_user.emit()
