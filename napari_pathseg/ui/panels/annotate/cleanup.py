"""The Clean up button and its dialog: class, method, amount and place.

The dialog stays open beside the slide.
"""

from qtpy.QtCore import QEvent, QObject, QPoint
from qtpy.QtGui import QKeyEvent, QKeySequence, QShortcut, QStandardItemModel  # type: ignore[attr-defined]
from qtpy.QtWidgets import QDialog, QMainWindow, QPushButton, QWidget

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
from napari_pathseg.ui.widgets.form import ChoiceBox, add_alternative, field_rows
from napari_pathseg.ui.widgets.layout import column, push_button, row
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.spin_box import ScientificFloat
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
    opened: list[CleanupDialog] = []

    def show() -> None:
        if not opened:
            opened.append(CleanupDialog(session, button.window()))
        opened[0].open_beside()

    def update_enabled() -> None:
        button.setEnabled(session.slide is not None and not session.read_only)

    button.clicked.connect(show)
    session.slide_changed.connect(update_enabled)
    session.project_changed.connect(update_enabled)
    update_enabled()
    return button


class CleanupDialog(QDialog):
    """A dialog that cleans up classes of the current slide, as often as needed; each clean-up can be undone."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._was_open = False  # afterwards it stays where the user moved it
        self.setWindowTitle("Clean up")
        self.label = ChoiceBox(label="Class")
        self.method = ChoiceBox(label="What", choices=[(method.name, key) for key, method in CLEANUP_METHODS.items()])
        self.amount, self.new_label = ScientificFloat(label=""), ChoiceBox(label="")
        self.amount.native.setAccessibleName("Amount")
        self.new_label.native.setAccessibleName("New class")
        self.scope = ChoiceBox(label="Where")
        self._help, self._status = SecondaryLabel(), SecondaryLabel()
        self.apply = push_button("Apply", "Clean up. Ctrl+Z undoes it.")
        close = push_button("Close", "Keep the settings and close.")
        rows = field_rows(self.label, self.method, self.amount, self.scope)
        add_alternative(rows, self.amount, self.new_label)
        layout = column(self, rows, self._help, row(self._status, None, self.apply, close))
        layout.setContentsMargins(*(2 * SPACING,) * 4)
        self.apply.clicked.connect(self.clean_up)
        close.clicked.connect(self.close)
        self._bind_undo()
        self.method.changed.connect(self._on_method_changed)
        session.project_changed.connect(self._fill_classes)
        session.slide_changed.connect(self._show_method)
        session.selection.changed.connect(self._follow_selection)
        self._show_places()
        self._fill_classes()
        self._restore()

    # -- actions

    def open_beside(self) -> None:
        """Show the dialog for the selected class; the slide remains usable."""
        layer = self._session.layers.mask
        if layer is not None:
            _choose(self.label, layer.selected_label)
        self._show_places()
        if self._session.selection.mask_shapes():
            self.scope.value = SELECTION
        self._status.setText("")
        if not self._was_open:
            self._was_open = True
            self._move_beside_dock()
        self.show()
        self.raise_()

    def clean_up(self) -> None:
        """Clean up; the dock shows the progress of a long clean-up, which can be cancelled there."""
        request = self.request
        with show_errors():
            self._status.setText("Cleaning up…")
            self._session.editor.clean(request, self._on_done)
            with self._session.require_project().edit_state() as state:
                state.cleanup = request.to_json()

    def _on_done(self, changed: bool) -> None:
        self._status.setText("Done." if changed else "Nothing changed.")

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
            method=self.method.value,
            label=self.label.value or 0,
            amount=self.amount.value,
            new_label=self.new_label.value or 0,
            scope=self.scope.value,
        )

    # -- display

    def _fill_classes(self) -> None:
        """Show the project's classes with their colours; methods without an amount also offer any class."""
        project = self._session.project
        specs = () if project is None else project.classes.specs
        classes = [(spec.name, spec.index) for spec in specs]
        any_class = [] if CLEANUP_METHODS[self.method.value].amount else [(_ANY, 0)]
        self.label.show_choices(classes + any_class)
        self.new_label.show_choices(classes)
        for number, spec in enumerate(specs):
            for box in (self.label, self.new_label):
                box.native.setItemIcon(number, swatch(spec.color))
        self._show_method()

    def _on_method_changed(self) -> None:
        self._fill_classes()
        self.amount.native.setValue(CLEANUP_METHODS[self.method.value].default)

    def _show_method(self) -> None:
        method, record = CLEANUP_METHODS[self.method.value], self._session.slide
        self._help.setText(method.help)
        self.amount.native.setVisible(bool(method.amount))
        self.new_label.native.setVisible(method.relabels)
        if method.amount:
            unit = amount_unit(self.method.value, None if record is None else record.mask_mpp)
            self.amount.native.setSuffix(f" {unit}")
            self.amount.native.set_range(0.0, _MAX_AMOUNT[method.amount], None)
        self.apply.setEnabled(record is not None and not self._session.read_only)

    def _follow_selection(self) -> None:
        """Switch to the selection as soon as there is one."""
        self._show_places()
        if self.isVisible() and self._session.selection.mask_shapes():
            self.scope.value = SELECTION

    def _show_places(self) -> None:
        """Enable the selection entry if there is a selection."""
        selected = bool(self._session.selection.mask_shapes())
        names = _PLACES if selected else {**_PLACES, SELECTION: _NONE}
        self.scope.show_choices([(name, key) for key, name in names.items()])
        model = self.scope.native.model()
        assert isinstance(model, QStandardItemModel)
        item = model.item(list(names).index(SELECTION))
        assert item is not None
        item.setEnabled(selected)
        self.scope.tooltip = "" if selected else f"{NONE_SELECTED} {DRAW_SELECTION}"
        if not selected and self.scope.value == SELECTION:
            self.scope.value = VIEW

    def _undo(self, *, redo: bool = False) -> None:
        if not self._session.read_only:
            with show_errors():
                (self._session.undo_order.redo if redo else self._session.undo_order.undo)()
            self._session.mask_changed.emit()

    # -- construction

    def _bind_undo(self) -> None:
        """Bind the undo keys, as while the slide has the focus."""
        for keys, redo in (("Ctrl+Z", False), ("Ctrl+Shift+Z", True)):
            QShortcut(QKeySequence(keys), self).activated.connect(lambda redo=redo: self._undo(redo=redo))
        self.amount.native.installEventFilter(self)

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
        _choose(self.method, method)
        for box, name in ((self.label, "label"), (self.new_label, "onto"), (self.scope, "where")):
            _choose(box, stored.get(name))
        amount = stored.get("amount", CLEANUP_METHODS[self.method.value].default)
        self.amount.native.setValue(float(amount) if isinstance(amount, int | float) else 0.0)


def _choose(box: ChoiceBox, value: object) -> None:
    """Choose a value if it is available."""
    if value in box.choices:
        box.value = value
