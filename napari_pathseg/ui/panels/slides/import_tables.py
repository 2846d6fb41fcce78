"""The tables of the import dialog: the files with what happens to them, and the names in them with their classes."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QTableWidget, QTableWidgetItem, QWidget

from napari_pathseg.contours.alignment import IDENTITY, AxisScaleTransform
from napari_pathseg.projects.importing.contour_import import BLACK, ImportOptions
from napari_pathseg.projects.importing.file_survey import ADDED
from napari_pathseg.projects.importing.import_preview import AnnotationClassInfo, AnnotationFileInfo
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.panels.slides.slide_choices import LEAVE_OUT, NEW_SLIDE, SlideChoices, combo_box, slides_key
from napari_pathseg.ui.session.formatting import format_area, plural
from napari_pathseg.ui.session.import_controller import ImportTask
from napari_pathseg.ui.widgets.layout import set_up_table
from napari_pathseg.ui.widgets.plain_text import plain
from napari_pathseg.ui.widgets.theme import swatch

_FILE, _CONTENT, _SLIDE, _PLACE, _RESULT = range(5)
_NAME, _COUNT, _AREA, _BECOMES = range(4)
_ASK, _NEW = -1, -2
_UNNAMED = "(no class)"
_MAX_NAMED = 2  # files in a row's name
_IGNORED, _BROKEN, _IMPORTED = "ignored", "cannot be read", "imported"
_LEFT_OUT, _NO_SLIDE, _READING = "left out", "⚠ matches no slide: choose one", "reading…"

Row = tuple[str, bool]  # a name, and whether its files leave open which of white and black is the object


class FilesTable(QTableWidget):
    """One row for each file, with what happens to it.

    Signals: `changed` (a file is to be read for the slides that the user chose for it), `placed` (the user chose where
    outlines lie, or that a file is left out or added as a slide).
    """

    changed = Signal(object, tuple)
    placed = Signal()

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices = SlideChoices(project, self)
        self._rows: dict[Path, int] = {}
        self._inspected: dict[Path, AnnotationFileInfo] = {}
        self._decided: set[Path] = set()  # whose slide the user chose
        set_up_table(self, ("File", "Content", "Slide", "Place", "Result"), stretched=(_FILE, _SLIDE, _RESULT))
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)  # names of many tiles differ only at their end
        self.setWordWrap(False)

    @property
    def inspected(self) -> list[AnnotationFileInfo]:
        """The files that were looked at, in the order of the rows."""
        return list(self._inspected.values())

    @property
    def unplaced(self) -> list[str]:
        """Files that state another image size than their slide's, before the user chose where their outlines lie."""
        found = [info for info in self._placeable() if info.is_other_size and self._transform(info.path) is None]
        return [info.path.name for info in found]

    @property
    def misplaced(self) -> list[AnnotationFileInfo]:
        """Files that would fit their slide at another place than the one that is chosen now, unless it is asked for."""
        found = [info for info in self._inspected.values() if info.proposal is not None and not info.is_other_size]
        return [info for info in found if self._transform(info.path) != info.proposal]

    @property
    def unassigned(self) -> list[AnnotationFileInfo]:
        """Annotation files that are named after no slide, before the user chose one or to leave them out."""
        found = (info for info in self._inspected.values() if not info.slides and not info.ignored and not info.problem)
        return [info for info in found if info.path not in self._decided]

    @property
    def new_slides(self) -> list[Path]:
        """Images that are added as slides."""
        return [path for path in self._inspected if self._chosen(path) == NEW_SLIDE]

    @property
    def left_out(self) -> int:
        """How many files are neither imported nor added."""
        return sum(self._fate(info) in (_IGNORED, _LEFT_OUT, _BROKEN, _NO_SLIDE) for info in self._inspected.values())

    def show_file(self, file: AnnotationFileInfo) -> None:
        """Show a file, in its row if it has one."""
        self._inspected[file.path] = file
        row = self._rows.get(file.path)
        if row is None:
            row = self._rows[file.path] = self.rowCount()
            self.insertRow(row)
            if not file.ignored:
                self.setCellWidget(row, _SLIDE, self._slide_box(file))
        name = QTableWidgetItem(f"⚠ {file.path.name}" if file.problem else file.path.name)
        name.setToolTip(plain(str(file.path)))
        self.setItem(row, _FILE, name)
        self.setItem(row, _CONTENT, _number(_content(file)))
        if (box := self.cellWidget(row, _SLIDE)) is not None:
            box.setEnabled(not file.problem or bool(file.slides))
            place = _place_box(file)
            place.currentIndexChanged.connect(self.placed.emit)
            self.setCellWidget(row, _PLACE, place)
        self._show_result(file)

    def tasks(self, class_indices: Mapping[Row, int], *, complete: bool) -> list[ImportTask]:
        """Return what the user selected; `class_indices` maps the rows of names in the files to classes."""
        selected = []
        for info in self._placeable():
            if info.file is None:
                continue
            rows = {found.name: row_of(info, found) for found in info.classes}
            classes = {name: class_indices[row] for name, row in rows.items() if row in class_indices}
            options = ImportOptions(classes, self._transform(info.path))
            selected += [ImportTask(info.file, slide, options, complete) for slide in info.slides]
        return selected

    def _placeable(self) -> list[AnnotationFileInfo]:
        """Return the files that are read for the slides that are chosen now."""
        known = (info for info in self._inspected.values() if info.slides)
        return [info for info in known if self._chosen(info.path) == slides_key(info.slides)]

    def _transform(self, path: Path) -> AxisScaleTransform | None:
        box = self.cellWidget(self._rows[path], _PLACE)
        assert isinstance(box, QComboBox)
        chosen = box.currentData()
        assert chosen is None or isinstance(chosen, AxisScaleTransform)
        return chosen

    def _chosen(self, path: Path) -> str:
        """Return the choice for a file: slides, `LEAVE_OUT` or `NEW_SLIDE`."""
        box = self.cellWidget(self._rows[path], _SLIDE)
        return str(box.currentData()) if isinstance(box, QComboBox) else LEAVE_OUT

    def _slide_box(self, file: AnnotationFileInfo) -> QComboBox:
        box = self._choices.box(file)
        box.currentIndexChanged.connect(lambda: self._choose(file.path))
        return box

    def _choose(self, path: Path) -> None:
        chosen = self._chosen(path)
        self._decided.add(path)
        self._show_result(self._inspected[path])
        if chosen in (LEAVE_OUT, NEW_SLIDE):
            self.placed.emit()
        else:
            self.changed.emit(path, tuple(chosen.split("\n")))

    def _fate(self, info: AnnotationFileInfo) -> str:
        """Return what happens to a file."""
        chosen = self._chosen(info.path)
        if info.ignored:
            return ADDED if info.ignored == ADDED else _IGNORED
        if chosen == NEW_SLIDE:
            return ADDED
        if info.problem and chosen == slides_key(info.slides):
            return _BROKEN
        if chosen == LEAVE_OUT:
            return _LEFT_OUT if info.path in self._decided or info.slides else _NO_SLIDE
        return _IMPORTED if chosen == slides_key(info.slides) else _READING

    def _show_result(self, info: AnnotationFileInfo) -> None:
        what = "masks" if len(info.slides) > 1 else "mask" if info.is_label_image else "outlines"
        where = plural(len(info.slides), "slide") if len(info.slides) > 1 else "".join(info.slides)
        texts = {_IGNORED: info.ignored, _BROKEN: f"cannot be read: {info.problem}", _IMPORTED: f"{what} for {where}"}
        fate = self._fate(info)
        item = QTableWidgetItem(texts.get(fate, fate))
        item.setToolTip(plain(item.text()))
        self.setItem(self._rows[info.path], _RESULT, item)


class ClassesTable(QTableWidget):
    """One row for each name in the files, with its class; `changed` is emitted when the user chooses another."""

    changed = Signal()

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._names: dict[Row, str] = {}  # as shown
        self._chosen: dict[Row, int] = {}  # by the user, kept when more files are read
        self._colors: dict[Row, str | None] = {}
        set_up_table(self, ("Name", "Outlines", "Area", "Becomes"), stretched=(_NAME, _BECOMES))

    @property
    def undecided_names(self) -> list[str]:
        """Names without a class so far."""
        return [name for row, name in self._names.items() if self._class_index(row) == _ASK]

    @property
    def new_classes(self) -> list[tuple[str, str | None]]:
        """The names, with their colours, that become new classes of the project."""
        found: dict[str, tuple[str, str | None]] = {}
        for row in self._names:
            if self._class_index(row) == _NEW:  # spellings that differ in case are one class
                name = row[0].strip()
                found.setdefault(name.casefold(), (name, self._colors[row]))
        return list(found.values())

    def class_indices(self) -> dict[Row, int]:
        """Return the class index of each decided row; new classes come after those of the project."""
        first = len(self._project.classes) + 1
        numbers = {name.casefold(): first + place for place, (name, _) in enumerate(self.new_classes)}
        known = {row: self._class_index(row) for row in self._names}
        return {
            row: numbers[row[0].strip().casefold()] if number == _NEW else number
            for row, number in known.items()
            if number != _ASK
        }

    def show_files(self, files: Sequence[AnnotationFileInfo]) -> None:
        """Show the names of all files."""
        classes: dict[Row, list[tuple[AnnotationFileInfo, AnnotationClassInfo]]] = {}
        for file in files:
            for found in file.classes:
                classes.setdefault(row_of(file, found), []).append((file, found))
        self._names = {row: _shown_name(row, parts, classes) for row, parts in classes.items()}
        self._colors = {row: next((f.color for _, f in parts if f.color), None) for row, parts in classes.items()}
        self.setRowCount(len(classes))
        for number, (row, parts) in enumerate(classes.items()):
            item = QTableWidgetItem(self._names[row])
            item.setToolTip(plain("\n".join(dict.fromkeys([self._names[row], *(file.path.name for file, _ in parts)]))))
            if color := self._colors[row]:
                item.setIcon(swatch(color))
            self.setItem(number, _NAME, item)
            outlines = sum(found.contours for _, found in parts)
            self.setItem(number, _COUNT, _number(outlines or "image"))
            self.setItem(number, _AREA, _number(self._area(parts)))
            self.setCellWidget(number, _BECOMES, self._class_box(row, parts))

    def _area(self, parts: Sequence[tuple[AnnotationFileInfo, AnnotationClassInfo]]) -> str:
        """Return the area on the slides; that of files without a slide, in pixels, only if there are no others."""
        placed = [(self._project.slide(f.slides[0]).mpp, found.pixels) for f, found in parts if f.slides]
        known = [mpp * mpp * pixels for mpp, pixels in placed if mpp is not None]
        if placed and len(known) == len(placed):
            return format_area(sum(known), 1.0)
        return format_area(sum(n for _, n in placed) if placed else sum(found.pixels for _, found in parts), None)

    def _class_box(self, row: Row, parts: Sequence[tuple[AnnotationFileInfo, AnnotationClassInfo]]) -> QComboBox:
        box = combo_box("The class of the project that this name means.")
        defaults = {found.default for _, found in parts}
        default = defaults.pop() if len(defaults) == 1 else None
        if default is None:
            box.addItem("choose…", _ASK)
        for spec in self._project.classes:
            box.addItem(swatch(spec.color), spec.name, spec.index)
        box.addItem("Unlabelled", 0)
        name = row[0].strip()
        if name and not parts[0][0].is_label_image and default is None:
            box.addItem(f"+ new class {name}", _NEW)
        wanted = self._chosen.get(row, _ASK if default is None else default)
        box.setCurrentIndex(max(0, box.findData(wanted)))
        box.currentIndexChanged.connect(lambda: self._choose(row, int(box.currentData())))
        return box

    def _choose(self, row: Row, number: int) -> None:
        self._chosen[row] = number
        self.changed.emit()

    def _class_index(self, row: Row) -> int:
        box = self.cellWidget(list(self._names).index(row), _BECOMES)
        return int(box.currentData()) if isinstance(box, QComboBox) else _ASK


def row_of(file: AnnotationFileInfo, found: AnnotationClassInfo) -> Row:
    """Return the row of a name: white may be the object in one file, and what surrounds it in another."""
    return found.name, file.is_label_image and any(one.name == BLACK for one in file.classes)


def _shown_name(row: Row, parts: Sequence[tuple[AnnotationFileInfo, AnnotationClassInfo]], rows: Container[Row]) -> str:
    """Return the text of a row, with its files if there is another row of that name."""
    name, is_open = row
    if (name, not is_open) not in rows:
        return name or _UNNAMED
    files = [file.path.name for file, _ in parts]
    more = f" and {len(files) - _MAX_NAMED} more" if len(files) > _MAX_NAMED else ""
    return f"{name} in {', '.join(files[:_MAX_NAMED])}{more}"


def _place_box(file: AnnotationFileInfo) -> QComboBox:
    box = combo_box("Where the outlines lie: as in the file, or transformed.")
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    if file.is_other_size:
        box.addItem("choose…", None)
    if not (file.is_label_image and file.is_other_size):  # each of its pixels must be one of the slide
        box.addItem("as in the file", IDENTITY)
    if file.proposal is not None:
        box.addItem(f"⚠ {file.proposal.description}", file.proposal)
        box.setToolTip(f"The outlines seem misplaced: the file would fit {file.proposal.description}.")
    box.setEnabled(file.proposal is not None or file.is_other_size)
    return box


def _content(file: AnnotationFileInfo) -> object:
    if file.ignored or file.problem:
        return ""
    if not file.is_label_image:
        return file.contours
    return "image" if file.pages == 1 else f"{file.pages} images"


def _number(value: object) -> QTableWidgetItem:
    item = QTableWidgetItem(f"{value:,}" if isinstance(value, int) else str(value))
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item
