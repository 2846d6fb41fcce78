"""The two tables of the import dialog: files with their slides, and names with their classes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_pathseg.classes import ClassTable
from napari_pathseg.contours.alignment import IDENTITY
from napari_pathseg.projects.importing.contour_import import WHITE, ImportOptions, class_number
from napari_pathseg.projects.importing.import_preview import AnnotationClassInfo, AnnotationFileInfo
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.import_inspector import ImportTask
from napari_pathseg.ui.widgets.spin_box import ignore_unfocused_wheel
from napari_pathseg.ui.widgets.theme import swatch

_FILE, _OUTLINES, _SLIDE, _PLACE = range(4)
_NAME, _COUNT, _AREA, _BECOMES = range(4)
_LEAVE_OUT, _ASK, _NEW = "", -1, -2
_UNNAMED = "(no name)"


class FilesTable(QTableWidget):
    """A row for each file; `changed` tells the file and the slide that was chosen for it."""

    changed = Signal(object, str)

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._rows: dict[Path, int] = {}
        self._found: dict[Path, AnnotationFileInfo] = {}
        _prepare(self, ["File", "Outlines", "Slide", "Place"], stretched=_FILE)

    @property
    def found(self) -> list[AnnotationFileInfo]:
        """The files that were read, in the order of the rows."""
        return list(self._found.values())

    def show_file(self, file: AnnotationFileInfo) -> None:
        """Show a file, or what another slide makes of it."""
        self._found[file.path] = file
        row = self._rows.get(file.path)
        if row is None:
            row = self._rows[file.path] = self.rowCount()
            self.insertRow(row)
            self.setCellWidget(row, _SLIDE, self._slide_box(file))
        name = QTableWidgetItem(f"⚠ {file.path.name}" if file.problem else file.path.name)
        name.setToolTip(file.problem or str(file.path))
        self.setItem(row, _FILE, name)
        self.setItem(row, _OUTLINES, _number("" if file.problem else "image" if file.is_picture else file.contours))
        box = self.cellWidget(row, _SLIDE)
        assert box is not None
        box.setEnabled(not file.problem or file.slide is not None)
        self.setCellWidget(row, _PLACE, _place_box(file))

    def choices(self, meanings: Mapping[str, int], *, complete: bool) -> list[ImportTask]:
        """Return what is to be imported; `meanings` are the classes of names."""
        chosen = []
        for path, file in self._found.items():
            slide = self._slide(path)
            if not slide or file.problem:
                continue
            place = self.cellWidget(self._rows[path], _PLACE)
            remedy = place.currentData() if isinstance(place, QComboBox) else IDENTITY
            own = {found.name: meanings[found.name] for found in file.classes if found.name in meanings}
            chosen.append(ImportTask(path, slide, ImportOptions(own, remedy), complete))
        return chosen

    def _slide(self, path: Path) -> str:
        box = self.cellWidget(self._rows[path], _SLIDE)
        assert isinstance(box, QComboBox)
        return str(box.currentData())

    def _slide_box(self, file: AnnotationFileInfo) -> QComboBox:
        box = _box("The slide that the outlines of this file belong to.")
        box.addItem("leave out", _LEAVE_OUT)
        for name in self._project.slides:
            box.addItem(name, name)
        box.setCurrentIndex(max(0, box.findData(file.slide)))
        box.currentIndexChanged.connect(lambda: self.changed.emit(file.path, str(box.currentData())))
        return box


class ClassesTable(QTableWidget):
    """A row for each name in the files, with the class that it becomes; `changed` tells that one did."""

    changed = Signal()

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._names: list[str] = []
        self._chosen: dict[str, int] = {}  # by a person, so that it stays when more files are read
        self._colors: dict[str, str | None] = {}
        _prepare(self, ["Name", "Outlines", "Area", "Becomes"], stretched=_NAME)

    @property
    def open_names(self) -> list[str]:
        """Names for which no class is chosen yet."""
        return [name for name in self._names if self._meaning(name) == _ASK]

    @property
    def new_classes(self) -> list[tuple[str, str | None]]:
        """The names, with their colours, that are to be classes of the project."""
        found: dict[str, tuple[str, str | None]] = {}
        for name in self._names:
            if self._meaning(name) == _NEW:  # two spellings are one class
                found.setdefault(name.strip().casefold(), (name.strip(), self._colors[name]))
        return list(found.values())

    def meanings(self) -> dict[str, int]:
        """Return the class of each name for which there is one; new ones come after those of the project."""
        first = len(self._project.classes) + 1
        numbers = {name.casefold(): first + place for place, (name, _) in enumerate(self.new_classes)}
        known = {name: self._meaning(name) for name in self._names}
        return {
            name: numbers[name.strip().casefold()] if number == _NEW else number
            for name, number in known.items()
            if number != _ASK
        }

    def show_files(self, files: Sequence[AnnotationFileInfo]) -> None:
        """Show the names of all files."""
        classes: dict[str, list[tuple[AnnotationFileInfo, AnnotationClassInfo]]] = {}
        for file in files:
            for found in file.classes:
                classes.setdefault(found.name, []).append((file, found))
        self._names = list(classes)
        self._colors = {name: next((f.color for _, f in parts if f.color), None) for name, parts in classes.items()}
        self.setRowCount(len(classes))
        for row, (name, parts) in enumerate(classes.items()):
            item = QTableWidgetItem(name or _UNNAMED)
            if color := self._colors[name]:
                item.setIcon(swatch(color))
            self.setItem(row, _NAME, item)
            outlines = sum(found.contours for _, found in parts)
            self.setItem(row, _COUNT, _number(outlines or "image"))
            self.setItem(row, _AREA, _number(self._area(parts)))
            self.setCellWidget(row, _BECOMES, self._class_box(name, parts[0][0]))

    def _area(self, parts: Sequence[tuple[AnnotationFileInfo, AnnotationClassInfo]]) -> str:
        sizes = {None if f.slide is None else self._project.slide(f.slide).mpp for f, _ in parts}
        pixels = sum(found.pixels for _, found in parts)
        return format_area(pixels, sizes.pop() if len(sizes) == 1 else None)

    def _class_box(self, name: str, file: AnnotationFileInfo) -> QComboBox:
        box = _box("The class of the project that this name becomes.")
        usual = _usual(name, file, self._project.classes)
        if usual is None:
            box.addItem("choose…", _ASK)
        for spec in self._project.classes:
            box.addItem(swatch(spec.color), spec.name, spec.index)
        box.addItem("Unlabelled", 0)
        if name and not file.is_picture and usual is None:
            box.addItem(f"+ new class {name.strip()}", _NEW)
        wanted = self._chosen.get(name, _ASK if usual is None else usual)
        box.setCurrentIndex(max(0, box.findData(wanted)))
        box.currentIndexChanged.connect(lambda: self._choose(name, int(box.currentData())))
        return box

    def _choose(self, name: str, number: int) -> None:
        self._chosen[name] = number
        self.changed.emit()

    def _meaning(self, name: str) -> int:
        box = self.cellWidget(self._names.index(name), _BECOMES)
        return int(box.currentData()) if isinstance(box, QComboBox) else _ASK


def _usual(name: str, file: AnnotationFileInfo, classes: ClassTable) -> int | None:
    """Return what a name, or a value of a label image, means where nobody says otherwise."""
    if not file.is_picture:
        return class_number(classes, name)
    if name == WHITE:
        return classes.specs[1].index
    return int(name) if int(name) <= len(classes) else None


def _place_box(file: AnnotationFileInfo) -> QWidget:
    box = _box("Where the outlines lie: as the file says, or after a remedy.")
    box.addItem("as in the file", IDENTITY)
    if file.proposal is not None:
        box.addItem(f"⚠ {file.proposal.description}", file.proposal)
        box.setToolTip(f"The outlines seem misplaced: the file would fit {file.proposal.description}.")
    box.setEnabled(file.proposal is not None)
    return box


def _box(help: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(help)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    ignore_unfocused_wheel(box)
    return box


def _number(value: object) -> QTableWidgetItem:
    item = QTableWidgetItem(f"{value:,}" if isinstance(value, int) else str(value))
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


def _prepare(table: QTableWidget, titles: list[str], stretched: int) -> None:
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(titles)
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
    header, numbers = table.horizontalHeader(), table.verticalHeader()
    assert header is not None
    assert numbers is not None
    numbers.hide()
    header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
    header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
