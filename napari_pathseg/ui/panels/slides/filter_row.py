"""The row above the list of slides: the search, the filter, and how many slides are shown."""

from collections.abc import Mapping, Sequence

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QLabel, QLineEdit, QMenu, QPushButton, QSizePolicy, QWidget

from napari_pathseg.ui.panels.slides.rows import ROLE_WORDS
from napari_pathseg.ui.session.natural_order import natural_key
from napari_pathseg.ui.session.queries import SlideRow
from napari_pathseg.ui.session.slide_filter import SlideFilter
from napari_pathseg.ui.widgets.layout import row
from napari_pathseg.ui.widgets.plain_text import menu_text
from napari_pathseg.ui.widgets.theme import STATE_HUES

_MAX_PATIENTS = 40  # in the menu; the search finds the others


class _Search(QLineEdit):
    """A text to search for; Escape clears it, Enter and the down arrow leave it."""

    left = Signal()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Act on the keys that lists have."""
        if event is None:
            return
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.left.emit()
        elif event.key() == Qt.Key.Key_Escape and self.text():
            self.clear()
        else:
            super().keyPressEvent(event)


class FilterRow(QWidget):
    """The search, the filter's menu and how many slides are shown.

    Signals: `changed` (another filter), `left` (Enter or the down arrow leads from the search to the list).
    """

    changed = Signal()
    left = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: Sequence[SlideRow] = ()
        self._chosen: dict[str, set[str]] = {"states": set(), "roles": set(), "patients": set()}
        self.search = _Search()
        self.search.setPlaceholderText("Search name, patient, role, state")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Shows the slides in which all these words occur. Enter goes on to the list.")
        self.button = QPushButton("Filter")
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.button.setToolTip("Show only slides of some states, roles or patients.")
        self.menu = QMenu(self)
        self.menu.aboutToShow.connect(self._fill_menu)
        self.button.setMenu(self.menu)
        self.count = QLabel()
        self.count.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Preferred)
        line = row(self.search, self.button, self.count)
        line.setContentsMargins(0, 0, 0, 0)
        self.setLayout(line)
        self.search.textChanged.connect(self._on_changed)
        self.search.left.connect(self.left.emit)

    @property
    def filter(self) -> SlideFilter:
        """What is shown."""
        return SlideFilter(self.search.text(), **{name: frozenset(chosen) for name, chosen in self._chosen.items()})

    def clear(self) -> None:
        """Show all slides."""
        for chosen in self._chosen.values():
            chosen.clear()
        self.search.clear()
        self._on_changed()

    def shown_rows(self, rows: Sequence[SlideRow]) -> list[SlideRow]:
        """Return the rows that are shown, and say how many they are."""
        self._rows = rows
        shown = [one for one in rows if self.filter.matches(one, ROLE_WORDS)]
        self.count.setText(f"{len(shown)} of {len(rows)}" if len(shown) < len(rows) else "")
        self.button.setText("Filter •" if any(self._chosen.values()) else "Filter")
        return shown

    def _fill_menu(self) -> None:
        self.menu.clear()
        _add_title(self.menu, "State")
        self._add_choices(self.menu, "states", {state: state for state in STATE_HUES})
        _add_title(self.menu, "Role")
        self._add_choices(self.menu, "roles", ROLE_WORDS)
        patients = sorted({one.patient for one in self._rows}, key=natural_key)
        if 1 < len(patients) <= _MAX_PATIENTS and (menu := self.menu.addMenu("Patient")) is not None:
            self._add_choices(menu, "patients", {patient: patient for patient in patients})
        self.menu.addSeparator()
        self.menu.addAction("Show all", self.clear)

    def _add_choices(self, menu: QMenu, name: str, words: Mapping[str, str]) -> None:
        for value, word in words.items():
            action = menu.addAction(menu_text(word))
            if action is not None:
                action.setCheckable(True)
                action.setChecked(value in self._chosen[name])
                action.toggled.connect(lambda on, name=name, value=value: self._choose(name, value, on))

    def _choose(self, name: str, value: str, on: bool) -> None:
        (self._chosen[name].add if on else self._chosen[name].discard)(value)
        self._on_changed()

    def _on_changed(self, *_: object) -> None:
        self.changed.emit()


def _add_title(menu: QMenu, text: str) -> None:
    """Add a line that cannot be chosen."""
    menu.addSeparator()
    action = menu.addAction(text)
    if action is not None:
        action.setEnabled(False)
