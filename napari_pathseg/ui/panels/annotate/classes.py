"""The table of classes: colour, name, key, visibility, lock and area on the current slide."""

from functools import partial

from qtpy.QtCore import QEvent, QItemSelectionModel, QModelIndex, QPoint, QSize, Qt, QTimer
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QColorDialog, QHeaderView, QMenu, QTreeWidget, QTreeWidgetItem, QWidget

from napari_pathseg.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.ui.session.class_areas import ClassAreas
from napari_pathseg.ui.session.class_removal import remove_class
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.icons import themed_icon
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.plain_text import menu_text, plain
from napari_pathseg.ui.widgets.theme import swatch

_SWATCH, _NAME, _KEY, _EYE, _LOCK, _AREA, _PERCENT = range(7)
_WIDTHS = {_SWATCH: 26, _KEY: 40, _EYE: 22, _LOCK: 22, _AREA: 86, _PERCENT: 42}
_FLAGS = (_EYE, _LOCK)
_ROW, _MAX_ROWS = 24, 6
_KEYS = 9
_CTRL_SHIFT = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
_MOVES = {(_CTRL_SHIFT, Qt.Key.Key_Up): -1, (_CTRL_SHIFT, Qt.Key.Key_Down): 1}
_REMOVE = (Qt.KeyboardModifier.ShiftModifier, Qt.Key.Key_Delete)
_POLL_MS = 300  # between two checks whether the tissue has been found


class ClassTableView(QTreeWidget):
    """One row for each class; the brush paints the selected one."""

    passes_keys = True  # on to the window, but for its own

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._areas = session, ClassAreas(session.workspace)
        self._filling = False
        self._tissue_timer = QTimer(self)  # the tissue is found in a background thread, after the slide is shown
        self._tissue_timer.setInterval(_POLL_MS)
        self._tissue_timer.timeout.connect(self._poll_tissue)
        self.setColumnCount(len(_WIDTHS) + 1)
        self.setHeaderHidden(True)
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setEditTriggers(QTreeWidget.EditTrigger.NoEditTriggers)
        self.setIconSize(QSize(16, 16))
        header = self.header()
        if header is not None:
            header.setStretchLastSection(False)
            header.setMinimumSectionSize(20)
            header.setSectionResizeMode(_NAME, QHeaderView.ResizeMode.Stretch)
        for number, width in _WIDTHS.items():
            self.setColumnWidth(number, width)
        self.itemClicked.connect(self._clicked)
        self.itemDoubleClicked.connect(self._double_clicked)
        self.itemChanged.connect(self._changed)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.customContextMenuRequested.connect(self._open_menu)
        self.refresh()

    @property
    def selected(self) -> int:
        """The index of the selected class; 0 without a slide."""
        layer = self._session.layers.mask
        return 0 if layer is None else int(layer.selected_label)

    def select(self, index: int) -> None:
        """Select a class and show it if it was hidden."""
        layer, project = self._session.layers.mask, self._session.project
        if layer is not None and project is not None and index in project.classes.numbers:
            layer.selected_label = index
            self._set_hidden(index, False)  # new strokes must be visible

    def select_place(self, place: int) -> None:
        """Select the class at a place of the list, from 1."""
        project = self._session.project
        if project is not None and place <= len(project.classes):
            self.select(project.classes.specs[place - 1].index)

    def refresh(self) -> None:
        """Fill the table with the project's classes."""
        project = self._session.project
        specs = () if project is None else project.classes.specs
        self._filling = True
        self.clear()
        for place, spec in enumerate(specs, 1):
            key = f"Alt+{place}" if place <= _KEYS else ""
            item = QTreeWidgetItem(["", spec.name, key])
            item.setData(_SWATCH, Qt.ItemDataRole.UserRole, spec.index)
            item.setIcon(_SWATCH, swatch(spec.color))
            item.setSizeHint(_SWATCH, QSize(0, _ROW))
            if not self._session.read_only:
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setToolTip(_SWATCH, "Click to change the colour.")
            item.setToolTip(_NAME, plain(f"{spec.name}\nDouble-click to rename, right-click to merge, move or remove."))
            item.setToolTip(_EYE, "Show or hide the class.")
            item.setToolTip(_LOCK, "Lock the class: no tool changes its pixels.")
            item.setToolTip(_AREA, "Area on this slide, predictions included.")
            for number in (_KEY, _AREA, _PERCENT):
                item.setTextAlignment(number, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.addTopLevelItem(item)
        if project is not None and not self._session.read_only:
            self.addTopLevelItem(self._add_row())
        if project is None:
            self._show_empty()
        self._filling = False
        self.setFixedHeight(max(3, min(_MAX_ROWS, len(specs) + 1)) * _ROW + 6)
        self.show_selected()
        self.show_flags()
        self.show_areas()

    def show_flags(self) -> None:
        """Show which classes are hidden and which are locked."""
        hidden, locked = self._session.class_flags.hidden, self._session.class_flags.locked
        self._filling = True
        for item in self._items():
            index = item.data(_SWATCH, Qt.ItemDataRole.UserRole)
            if index is not None:
                item.setIcon(_EYE, themed_icon("hidden" if index in hidden else "shown", self))
                item.setIcon(_LOCK, themed_icon("locked" if index in locked else "unlocked", self))
        self._filling = False

    def show_selected(self, *_: object) -> None:
        """Highlight the selected class."""
        for item in self._items():
            if item.data(_SWATCH, Qt.ItemDataRole.UserRole) == self.selected:
                self.setCurrentItem(item, _NAME)
                return
        self.clearSelection()

    def show_areas(self) -> None:
        """Show the area of each class on the current slide."""
        if self._areas.tissue.needs_update and not self._tissue_timer.isActive():
            self._tissue_timer.start()
        areas = self._areas.by_class()
        of_tissue = self._areas.of_tissue
        share = "Share of the tissue on this slide." if of_tissue else "The tissue of this slide is not known yet."
        self._filling = True
        for item in self._items():
            area = areas.get(item.data(_SWATCH, Qt.ItemDataRole.UserRole))
            item.setText(_AREA, "" if area is None else area.area)
            item.setText(_PERCENT, "" if area is None else area.percent)
            item.setToolTip(_PERCENT, share)
        self._filling = False

    def _poll_tissue(self) -> None:
        if not self._areas.tissue.update():
            self._tissue_timer.stop()
            self.show_areas()

    def selectionCommand(  # noqa: N802
        self, index: QModelIndex, event: QEvent | None = None
    ) -> QItemSelectionModel.SelectionFlag:
        """Leave the highlight on the class of the brush after a click on an eye or a lock."""
        if event is not None and index.column() in _FLAGS:
            return QItemSelectionModel.SelectionFlag.NoUpdate
        return super().selectionCommand(index, event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Act on the keys of the menu; pass all others on to the window, since Qt would search the names for them."""
        if event is None:
            return
        number, pressed = self.selected, (event.modifiers(), event.key())
        if self._session.read_only or number == UNLABELLED:
            event.ignore()
        elif pressed in _MOVES:
            self.move_class(number, _MOVES[pressed])
        elif pressed == _REMOVE:
            self.remove_class(number)
        else:
            event.ignore()

    def add_class(self) -> None:
        """Append a class and edit its name."""
        with show_errors():
            classes = self._session.require_project().classes
            self._session.change_classes(classes.add(_free_name(classes)))
            item = self._items()[len(classes)]
            self.select(classes.highest + 1)
            self.editItem(item, _NAME)

    def ask_for_color(self, index: int) -> None:
        """Ask for the colour of a class and change it."""
        spec = self._session.require_project().classes.numbered(index)
        assert spec is not None
        color = QColorDialog.getColor(QColor(spec.color), self, f"Colour of {spec.name}")
        if color.isValid():
            self.set_color(index, color.name())

    def set_color(self, index: int, color: str) -> None:
        """Change the colour of a class."""
        self._replace(index, color=color)

    def rename(self, index: int, name: str) -> None:
        """Rename a class."""
        self._replace(index, name=name)

    def move_class(self, index: int, step: int) -> None:
        """Move a class up (-1) or down (1) in the list."""
        with show_errors():
            classes = self._session.require_project().classes
            place = next(place for place, spec in enumerate(classes, 1) if spec.index == index)
            self._session.change_classes(classes.moved(index, place + step))

    def remove_class(self, index: int, into: int = UNLABELLED) -> None:
        """Remove a class; the class `into` takes over its pixels."""
        with show_errors():
            remove_class(self._session, index, into)

    def menu(self, index: int) -> QMenu:
        """Return the menu of a class."""
        menu, classes = QMenu(self), self._session.require_project().classes
        spec, place = classes.numbered(index), [other.index for other in classes].index(index) + 1
        assert spec is not None
        menu.addAction("Rename", lambda: self.editItem(self._items()[place - 1], _NAME))
        menu.addAction("Change colour…", partial(self.ask_for_color, index))
        for text, step, possible in (
            ("Move up\tCtrl+Shift+Up", -1, place > 2),
            ("Move down\tCtrl+Shift+Down", 1, 1 < place < len(classes)),
        ):
            action = menu.addAction(text, partial(self.move_class, index, step))
            if action is not None:
                action.setEnabled(possible)
        merge = menu.addMenu("Merge into")
        remove = menu.addAction("Remove\tShift+Del", partial(self.remove_class, index))
        if merge is not None and remove is not None:
            for other in classes:
                if other.index != index:
                    merge.addAction(
                        swatch(other.color), menu_text(other.name), partial(self.remove_class, index, other.index)
                    )
            merge.setEnabled(index != BACKGROUND and len(classes) > 2)
            remove.setEnabled(index != BACKGROUND and len(classes) > 2)
            remove.setToolTip("Its pixels become unlabelled. Undo brings both back, slide by slide.")
        menu.addSeparator()
        menu.addAction("Add a class", self.add_class)
        menu.setToolTipsVisible(True)
        return menu

    def _open_menu(self, where: QPoint) -> None:
        item, viewport = self.itemAt(where), self.viewport()
        index = None if item is None else item.data(_SWATCH, Qt.ItemDataRole.UserRole)
        if index is not None and viewport is not None and not self._session.read_only:
            menu = self.menu(index)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            menu.popup(viewport.mapToGlobal(where))

    def toggle_hidden(self, index: int) -> None:
        """Hide or show a class."""
        self._set_hidden(index, index not in self._session.class_flags.hidden)

    def toggle_locked(self, index: int) -> None:
        """Lock or unlock a class."""
        with show_errors():
            self._session.class_flags.set_locked(index, index not in self._session.class_flags.locked)
            self.show_flags()

    def _set_hidden(self, index: int, is_hidden: bool) -> None:
        self._session.class_flags.set_hidden(index, is_hidden)
        self.show_flags()

    def _replace(self, index: int, *, name: str | None = None, color: str | None = None) -> None:
        with show_errors():
            classes = self._session.require_project().classes
            self._session.change_classes(classes.changed(index, name, color))

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        index = item.data(_SWATCH, Qt.ItemDataRole.UserRole)
        if index is None:
            self.add_class()
            return
        if column in _FLAGS:
            (self.toggle_hidden if column == _EYE else self.toggle_locked)(index)
            self.show_selected()
            return
        self.select(index)
        if column == _SWATCH and not self._session.read_only:
            self.ask_for_color(index)

    def _double_clicked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == _NAME and item.data(_SWATCH, Qt.ItemDataRole.UserRole) is not None:
            self.editItem(item, column)

    def _changed(self, item: QTreeWidgetItem, column: int) -> None:
        if self._filling or column != _NAME:
            return
        self.rename(item.data(_SWATCH, Qt.ItemDataRole.UserRole), item.text(_NAME))
        self.refresh()

    def _add_row(self) -> QTreeWidgetItem:
        item = QTreeWidgetItem(["", "Add a class…"])
        item.setIcon(_SWATCH, themed_icon("add", self))
        item.setFlags(Qt.ItemFlag.ItemIsEnabled)
        return item

    def _show_empty(self) -> None:
        item = QTreeWidgetItem(["The classes of a project appear here."])
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        self.addTopLevelItem(item)
        item.setFirstColumnSpanned(True)

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.topLevelItem(number) for number in range(self.topLevelItemCount()))
        return [item for item in found if item is not None]


def _free_name(classes: ClassTable) -> str:
    number = classes.highest + 1
    while classes.named(f"Class {number}") is not None:
        number += 1
    return f"Class {number}"
