"""The table of classes: colour, name, key, visibility, lock and area on the current slide."""

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QColor, QKeyEvent
from qtpy.QtWidgets import QColorDialog, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_pathseg.classes import ClassTable, class_table
from napari_pathseg.ui.session.class_areas import ClassAreas
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.icons import themed_icon
from napari_pathseg.ui.widgets.notifications import show_errors
from napari_pathseg.ui.widgets.theme import swatch

_SWATCH, _NAME, _KEY, _EYE, _LOCK, _AREA, _PERCENT = range(7)
_WIDTHS = {_SWATCH: 30, _KEY: 48, _EYE: 24, _LOCK: 24, _AREA: 76, _PERCENT: 54}
_ROW, _MAX_ROWS = 24, 6
_KEYS = 9
_POLL_MS = 300  # between two checks whether the tissue has been found


class ClassTableView(QTreeWidget):
    """One row for each class; the brush paints the selected one."""

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
        self.refresh()

    @property
    def selected(self) -> int:
        """The index of the selected class; 0 without a slide."""
        layer = self._session.layers.mask
        return 0 if layer is None else int(layer.selected_label)

    def select(self, index: int) -> None:
        """Select a class and show it if it was hidden."""
        layer, project = self._session.layers.mask, self._session.project
        if layer is not None and project is not None and 1 <= index <= len(project.classes):
            layer.selected_label = index
            self._set_hidden(index, False)  # new strokes must be visible

    def refresh(self) -> None:
        """Fill the table with the project's classes."""
        project = self._session.project
        specs = () if project is None else project.classes.specs
        self._filling = True
        self.clear()
        for spec in specs:
            key = f"Alt+{spec.index}" if spec.index <= _KEYS else ""
            item = QTreeWidgetItem(["", spec.name, key])
            item.setData(_SWATCH, Qt.ItemDataRole.UserRole, spec.index)
            item.setIcon(_SWATCH, swatch(spec.color))
            item.setSizeHint(_SWATCH, QSize(0, _ROW))
            if not self._session.read_only:
                item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setToolTip(_SWATCH, "Click to change the colour.")
            item.setToolTip(_NAME, "Double-click to rename.")
            item.setToolTip(_EYE, "Show or hide the class.")
            item.setToolTip(_LOCK, "Lock the class: no tool changes its pixels.")
            item.setToolTip(_AREA, "Area on this slide, predictions included.")
            for number in (_KEY, _AREA, _PERCENT):
                item.setTextAlignment(number, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.addTopLevelItem(item)
        if project is not None and not self._session.read_only:
            self.addTopLevelItem(self._add_row())
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
        share = "Share of the tissue" if self._areas.of_tissue else "Share of the labelled area"
        self._filling = True
        for item in self._items():
            area = areas.get(item.data(_SWATCH, Qt.ItemDataRole.UserRole))
            item.setText(_AREA, "" if area is None else area.area)
            item.setText(_PERCENT, "" if area is None else area.percent)
            item.setToolTip(_PERCENT, f"{share} on this slide.")
        self._filling = False

    def _poll_tissue(self) -> None:
        if not self._areas.tissue.update():
            self._tissue_timer.stop()
            self.show_areas()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Pass all keys on to the window, so that shortcuts work; Qt would search the names for them."""
        if event is not None:
            event.ignore()

    def add_class(self) -> None:
        """Append a class and edit its name."""
        with show_errors():
            classes = self._session.require_project().classes
            self._session.change_classes(classes.add(_free_name(classes)))
            item = self._items()[len(classes)]
            self.select(len(classes) + 1)
            self.editItem(item, _NAME)

    def set_color(self, index: int, color: str) -> None:
        """Change the colour of a class."""
        self._replace(index, color=color)

    def rename(self, index: int, name: str) -> None:
        """Rename a class."""
        self._replace(index, name=name)

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
            specs = self._session.require_project().classes
            entries = [
                (name or spec.name, color or spec.color) if spec.index == index else (spec.name, spec.color)
                for spec in specs
            ]
            self._session.change_classes(class_table(entries))

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        index = item.data(_SWATCH, Qt.ItemDataRole.UserRole)
        if index is None:
            self.add_class()
            return
        if column == _EYE:
            self.toggle_hidden(index)
            return
        if column == _LOCK:
            self.toggle_locked(index)
            return
        self.select(index)
        if column == _SWATCH and not self._session.read_only:
            spec = self._session.require_project().classes.specs[index - 1]
            color = QColorDialog.getColor(QColor(spec.color), self, f"Colour of {spec.name}")
            if color.isValid():
                self.set_color(index, color.name())

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

    def _items(self) -> list[QTreeWidgetItem]:
        found = (self.topLevelItem(number) for number in range(self.topLevelItemCount()))
        return [item for item in found if item is not None]


def _free_name(classes: ClassTable) -> str:
    number = len(classes) + 1
    while classes.named(f"Class {number}") is not None:
        number += 1
    return f"Class {number}"
