"""The Clean up button and its dialog: class, method, amount and place.

The dialog stays open beside the slide.  It is plain Qt: magicgui's combo box can neither show the colours of the
classes nor disable one entry.
"""

from typing import Any

from qtpy.QtCore import QEvent, QObject, QPoint
from qtpy.QtGui import QKeyEvent, QKeySequence, QShortcut, QStandardItemModel  # type: ignore[attr-defined]
from qtpy.QtWidgets import QComboBox, QDialog, QMainWindow, QPushButton, QStackedWidget, QWidget

from napari_pathseg.ui.session.cleanup import AREA, CLEANUP_METHODS, CleanupRequest, amount_unit
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
    """Return a button that opens the dialog."""
    button = push_button(
        "Clean up…", with_key("Fill holes, remove specks, smooth, grow, or assign another class.", "clean")
    )
    opened: list[CleanUp] = []

    def show() -> None:
        if not opened:
            opened.append(CleanUp(session, button.window()))
        opened[0].open_beside()

    def update_enabled() -> None:
        button.setEnabled(session.slide is not None and not session.read_only)

    button.clicked.connect(show)
    session.slide_changed.connect(update_enabled)
    session.project_changed.connect(update_enabled)
    update_enabled()
    return button


class CleanUp(QDialog):
    """A dialog that cleans up classes of the current slide, as often as needed; each clean-up can be undone."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._was_open = False  # from then on it stays where the user moved it
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
        self._help, self._status = SecondaryLabel(), SecondaryLabel()
        self.apply = push_button("Apply", "Clean up. Ctrl+Z undoes it.")
        close = push_button("Close", "Keep the settings and close.")
        rows = labelled_rows([("Class", self.label), ("What", self.method), ("", self._amounts), ("Where", self.where)])
        layout = column(self, rows, self._help, row(self._status, None, self.apply, close))
        layout.setContentsMargins(*(2 * SPACING,) * 4)
        self.apply.clicked.connect(self.do)
        close.clicked.connect(self.close)
        self._bind_undo()
        self.method.currentIndexChanged.connect(self._show_method)
        session.project_changed.connect(self._fill_classes)
        session.slide_changed.connect(self._show_method)
        session.selection.changed.connect(self._follow_selection)
        self._fill_classes()
        self._restore()

    # -- actions

    def open_beside(self) -> None:
        """Show the dialog for the selected class; the slide remains usable."""
        layer = self._session.layers.mask
        if layer is not None and self.label.findData(layer.selected_label) >= 0:
            self.label.setCurrentIndex(self.label.findData(layer.selected_label))
        self._show_places()
        if self._session.selection.mask_shapes():
            self.where.setCurrentIndex(self.where.findData(SELECTION))
        self._status.setText("")
        if not self._was_open:
            self._was_open = True
            self._move_beside_dock()
        self.show()
        self.raise_()

    def do(self) -> None:
        """Clean up; a long clean-up shows its progress and can be cancelled."""
        request = self.request
        with show_errors():
            changed = run_with_progress(
                "Cleaning up…", lambda progress: self._session.editor.clean(request, progress), self
            )
            self._status.setText("Done." if changed else "Nothing changed.")
            with self._session.require_project().edit_state() as state:
                state.cleanup = request.to_json()

    def event(self, event: QEvent | None) -> bool:
        """Follow changes of the selection that were made while another window was in front."""
        if event is not None and event.type() == QEvent.Type.WindowActivate:
            self._show_places()
        return super().event(event)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Let the undo keys act on the mask; the spin box would use them to undo typing."""
        undo, redo = QKeySequence.StandardKey.Undo, QKeySequence.StandardKey.Redo
        is_override = event is not None and event.type() == QEvent.Type.ShortcutOverride
        if isinstance(event, QKeyEvent) and is_override and (event.matches(undo) or event.matches(redo)):
            event.ignore()
            return True
        return super().eventFilter(watched, event)

    @property
    def request(self) -> CleanupRequest:
        """The clean-up that the dialog shows."""
        return CleanupRequest(
            method=self.method.currentData(),
            label=self.label.currentData() or 0,
            amount=self.amount.value(),
            new_label=self.onto.currentData() or 0,
            scope=self.where.currentData(),
        )

    # -- display

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
        shown = self.amount if method.amount else self.onto if method.relabels else self._no_amount
        self._amounts.setCurrentWidget(shown)
        if method.amount:
            unit = amount_unit(self.method.currentData(), None if entry is None else entry.mask_mpp)
            self.amount.setSuffix(f" {unit}")
            self.amount.set_range(0.0, _MAX_AMOUNT[method.amount], None)
            if self.sender() is self.method:
                self.amount.setValue(method.default)
        any_class = self.label.findText(_ANY)
        if method.amount and any_class >= 0:
            self.label.removeItem(any_class)
        elif not method.amount and any_class < 0:
            self.label.addItem(_ANY, 0)
        self.apply.setEnabled(entry is not None and not self._session.read_only)

    def _follow_selection(self) -> None:
        """Switch to the selection as soon as there is one."""
        self._show_places()
        if self.isVisible() and self._session.selection.mask_shapes():
            self.where.setCurrentIndex(self.where.findData(SELECTION))

    def _show_places(self) -> None:
        """Enable the selection entry if there is a selection."""
        selected, entry = bool(self._session.selection.mask_shapes()), self.where.findData(SELECTION)
        model = self.where.model()
        assert isinstance(model, QStandardItemModel)
        if (item := model.item(entry)) is not None:
            item.setEnabled(selected)
        self.where.setItemText(entry, _SELECTED if selected else _NONE)
        self.where.setToolTip("" if selected else f"{NONE_SELECTED} {DRAW_SELECTION}")
        if not selected and self.where.currentData() == SELECTION:
            self.where.setCurrentIndex(self.where.findData(VIEW))

    def _undo(self, *, redo: bool = False) -> None:
        layer = self._session.layers.mask
        if layer is not None and not self._session.read_only:
            with show_errors():
                (layer.redo if redo else layer.undo)()
            self._session.mask_changed.emit()

    # -- construction

    def _bind_undo(self) -> None:
        """Bind the undo keys to the mask, as while the slide has the focus."""
        for keys, redo in (("Ctrl+Z", False), ("Ctrl+Shift+Z", True)):
            QShortcut(QKeySequence(keys), self).activated.connect(lambda redo=redo: self._undo(redo=redo))
        self.amount.installEventFilter(self)

    def _move_beside_dock(self) -> None:
        """Move to the corner of the canvas next to the dock, so that the middle of the canvas stays free."""
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

    def _restore(self) -> None:
        project = self._session.project
        stored = {} if project is None else project.state.cleanup
        method = stored.get("method", stored.get("deed"))  # the name in projects of older versions
        _show_data(self.method, method)
        for box, name in ((self.label, "label"), (self.onto, "onto"), (self.where, "where")):
            _show_data(box, stored.get(name))
        amount = stored.get("amount", CLEANUP_METHODS[self.method.currentData()].default)
        self.amount.setValue(float(amount) if isinstance(amount, int | float) else 0.0)


def _show_data(box: QComboBox, data: object) -> None:
    box.setCurrentIndex(max(0, box.findData(data)))


def _choice() -> QComboBox:
    box = QComboBox()
    ignore_unfocused_wheel(box)
    return box
