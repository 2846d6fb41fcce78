"""Cleaning up: a button, and a small window beside the slide that says which class, what, how much and where."""

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint
from qtpy.QtGui import QKeyEvent, QKeySequence, QShortcut, QStandardItemModel  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QDialog, QMainWindow, QPushButton, QStackedWidget, QWidget

from napari_pathseg.ui.session.cleanup import AREA, CLEANUP_METHODS, CleanupRequest, unit_of
from napari_pathseg.ui.session.selection import (
    DRAW_SELECTION,
    NONE_SELECTED,
    SELECTION,
    SLIDE,
    VIEW,
)
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.shortcuts import with_key
from napari_pathseg.ui.widgets.layout import column, labelled_rows, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.progress_dialog import run_with_progress
from napari_pathseg.ui.widgets.spin_box import ScientificSpinBox, ignore_unfocused_wheel
from napari_pathseg.ui.widgets.theme import SPACING, SecondaryLabel, swatch

_SELECTED, _NONE = "In the selection", "In the selection (none)"
_PLACES = {SELECTION: _SELECTED, VIEW: "In view", SLIDE: "On the whole slide"}
_ANY = "Any class"
_MAX_AMOUNT = {AREA: 1e8, "length": 500.0}  # µm² and µm


def clean_up_button(session: Session) -> QPushButton:
    """Return a button that opens the window."""
    button = push_button(
        "Clean up…", with_key("Fill holes, remove specks, smooth, grow, or give another class.", "clean")
    )
    opened: list[CleanUp] = []

    def show() -> None:
        if not opened:
            opened.append(CleanUp(session, button.window()))
        opened[0].open_beside()

    def follow() -> None:
        button.setEnabled(session.slide is not None and not session.read_only)

    button.clicked.connect(show)
    session.slide_changed.connect(follow)
    session.project_changed.connect(follow)
    follow()
    return button


class CleanUp(QDialog):
    """Lets a person clean up classes of the slide in view, again and again; each time can be undone."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._was_open = False  # then it stays where the user put it
        self.setWindowTitle("Clean up")
        self.label, self.method, self.onto, self.where = (_choice() for _ in range(4))
        self.amount = ScientificSpinBox()
        for key, method in CLEANUP_METHODS.items():
            self.method.addItem(method.name, key)
        for key, name in _PLACES.items():
            self.where.addItem(name, key)
        self._amounts = QStackedWidget()
        self._amounts.addWidget(self.amount)
        self._amounts.addWidget(self.onto)
        self._no_amount = QWidget()
        self._amounts.addWidget(self._no_amount)
        self._help, self._told = SecondaryLabel(), SecondaryLabel()
        self.apply = push_button("Apply", "Do it; undo takes it back.")
        close = push_button("Close", "Keep the settings and close.")
        rows = labelled_rows([("Class", self.label), ("What", self.method), ("", self._amounts), ("Where", self.where)])
        column(self, rows, self._help, row(self._told, None, self.apply, close)).setContentsMargins(*(2 * SPACING,) * 4)
        self.apply.clicked.connect(self.do)
        close.clicked.connect(self.close)
        self._bind_undo()
        self.method.currentIndexChanged.connect(self._show_method)
        session.project_changed.connect(self._fill_classes)
        session.slide_changed.connect(self._show_method)
        session.selection.changed.connect(self._follow_selection)
        self._fill_classes()
        self._recall()

    # -- what the user may do

    def open_beside(self) -> None:
        """Show the window with the class in hand; the slide can be worked on meanwhile."""
        layer = self._session.layers.mask
        if layer is not None and self.label.findData(layer.selected_label) >= 0:
            self.label.setCurrentIndex(self.label.findData(layer.selected_label))
        self._show_places()
        if self._session.selection.mask_shapes():
            self.where.setCurrentIndex(self.where.findData(SELECTION))
        self._told.setText("")
        if not self._was_open:
            self._was_open = True
            self._stand_beside()
        self.show()
        self.raise_()

    def do(self) -> None:
        """Clean up; long work tells how far it is, and can be cancelled."""
        request = self.request
        with show_errors():
            changed = run_with_progress(
                "Cleaning up…", lambda progress: self._session.editor.clean(request, progress), self
            )
            self._told.setText("Done." if changed else "Nothing was changed.")
            with self._session.require_project().edit_state() as state:
                state.cleanup = request.to_json()

    def event(self, event: QEvent | None) -> bool:
        """Notice what was selected or dropped while another window was in front."""
        if event is not None and event.type() == QEvent.Type.WindowActivate:
            self._show_places()
        return super().event(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Leave the keys of undo to the mask, which the amount would take for its digits."""
        undo, redo = QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo
        asks = isinstance(event, QKeyEvent) and event.type() == QEvent.Type.ShortcutOverride
        if isinstance(event, QKeyEvent) and asks and (event.matches(undo) or event.matches(redo)):
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    @property
    def request(self) -> CleanupRequest:
        """What is asked for."""
        return CleanupRequest(
            method=self.method.currentData(),
            label=self.label.currentData() or 0,
            amount=self.amount.value(),
            onto=self.onto.currentData() or 0,
            where=self.where.currentData(),
        )

    # -- what the user sees

    def _fill_classes(self) -> None:
        project = self._session.project
        specs = () if project is None else project.classes.specs
        for box in (self.label, self.onto):
            chosen = box.currentData()
            box.clear()
            for spec in specs:
                box.addItem(swatch(spec.color), spec.name, spec.index)
            box.setCurrentIndex(max(0, box.findData(chosen)))
        self._show_method()

    def _show_method(self, *_: Any) -> None:
        method, entry = CLEANUP_METHODS[self.method.currentData()], self._session.slide
        self._help.setText(method.help)
        shown = self.amount if method.amount else self.onto if method.onto else self._no_amount
        self._amounts.setCurrentWidget(shown)
        if method.amount:
            unit = unit_of(self.method.currentData(), None if entry is None else entry.mask_mpp)
            self.amount.setSuffix(f" {unit}")
            self.amount.set_range(0.0, _MAX_AMOUNT[method.amount], None)
            if self.sender() is self.method:
                self.amount.setValue(method.usual)
        any_class = self.label.findText(_ANY)
        if method.amount and any_class >= 0:
            self.label.removeItem(any_class)
        elif not method.amount and any_class < 0:
            self.label.addItem(_ANY, 0)
        self.apply.setEnabled(entry is not None and not self._session.read_only)

    def _follow_selection(self) -> None:
        """Keep to what was selected just now."""
        self._show_places()
        if self.isVisible() and self._session.selection.mask_shapes():
            self.where.setCurrentIndex(self.where.findData(SELECTION))

    def _show_places(self) -> None:
        """Offer the selection where there is one."""
        selected, place = bool(self._session.selection.mask_shapes()), self.where.findData(SELECTION)
        model = self.where.model()
        assert isinstance(model, QStandardItemModel)
        if (item := model.item(place)) is not None:
            item.setEnabled(selected)
        self.where.setItemText(place, _SELECTED if selected else _NONE)
        self.where.setToolTip("" if selected else f"{NONE_SELECTED} {DRAW_SELECTION}")
        if not selected and self.where.currentData() == SELECTION:
            self.where.setCurrentIndex(self.where.findData(VIEW))

    def _undo(self, *, again: bool = False) -> None:
        layer = self._session.layers.mask
        if layer is not None and not self._session.read_only:
            with show_errors():
                (layer.redo if again else layer.undo)()
            self._session.mask_changed.emit()

    # -- how it is made

    def _bind_undo(self) -> None:
        """Let the keys of undo do to the mask what they do while the slide has the focus."""
        for keys, again in (("Ctrl+Z", False), ("Ctrl+Shift+Z", True)):
            QShortcut(QKeySequence(keys), self).activated.connect(lambda again=again: self._undo(again=again))
        self.amount.installEventFilter(self)

    def _stand_beside(self) -> None:
        """Go to the corner of the canvas that is next to the dock, so that its middle stays free."""
        window, screen = self.parentWidget(), self.screen()
        window = None if window is None else window.window()
        if window is None or screen is None:
            return
        canvas = window.centralWidget() if isinstance(window, QMainWindow) else None
        self.adjustSize()
        corner = (
            QPoint(canvas.width() - self.width() - SPACING, SPACING) if canvas else QPoint(-self.width() - SPACING, 0)
        )
        corner = (canvas or window).mapToGlobal(corner)
        free = screen.availableGeometry().adjusted(0, 0, -self.width(), -self.height())
        self.move(max(free.left(), min(corner.x(), free.right())), max(free.top(), min(corner.y(), free.bottom())))

    def _recall(self) -> None:
        project = self._session.project
        kept = {} if project is None else project.state.cleanup
        for box, name in ((self.method, "method"), (self.label, "label"), (self.onto, "onto"), (self.where, "where")):
            box.setCurrentIndex(max(0, box.findData(kept.get(name, kept.get("deed") if name == "method" else None))))
        amount = kept.get("amount", CLEANUP_METHODS[self.method.currentData()].usual)
        self.amount.setValue(float(amount) if isinstance(amount, int | float) else 0.0)


def _choice() -> QComboBox:
    box = QComboBox()
    ignore_unfocused_wheel(box)
    return box
