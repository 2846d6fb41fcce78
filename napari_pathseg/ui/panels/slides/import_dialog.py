"""The dialog that shows the content of annotation files, and lets the user decide what is imported.

A worker thread reads the files.  Nothing is imported before the button is pressed, and no file is transformed unless
the user chose so.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from psygnal import Signal
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.classes import ClassTable
from napari_pathseg.contours.alignment import IDENTITY
from napari_pathseg.projects.importing.contour_import import WHITE, ImportOptions, class_index
from napari_pathseg.projects.importing.import_preview import AnnotationClassInfo, AnnotationFileInfo
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import format_area, plural
from napari_pathseg.ui.session.import_controller import ImportInspector, ImportTask
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.widgets.layout import set_up_table
from napari_pathseg.ui.widgets.spin_box import ignore_unfocused_wheel
from napari_pathseg.ui.widgets.theme import SPACING, SecondaryLabel, swatch

_FILE, _OUTLINES, _SLIDE, _PLACE = range(4)
_NAME, _COUNT, _AREA, _BECOMES = range(4)
_LEAVE_OUT, _ASK, _NEW = "", -1, -2
_UNNAMED = "(no name)"
_SIZE = QSize(760, 520)
_POLL_MS = 50


class ImportDialog(QDialog):
    """The files, the slides they belong to and the classes they name; :attr:`tasks` is what the user selected."""

    def __init__(
        self,
        session: Session,
        paths: Iterable[Path],
        *,
        complete: bool,
        inspected: Iterable[AnnotationFileInfo] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._session = session
        self.setWindowTitle("Import contours")
        self.resize(_SIZE)
        self.heading, self.hint = QLabel("Reading…"), SecondaryLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.files, self.classes = FilesTable(session.require_project()), ClassesTable(session.require_project())
        self.complete = QCheckBox("Everything that is not outlined on these slides is Background")
        self.complete.setChecked(complete)
        self.complete.setToolTip("Tick this if the outlines are exhaustive; otherwise the rest stays unlabelled.")
        self._make_buttons()
        self._lay_out()
        self.files.changed.connect(self._file_changed)
        self.classes.changed.connect(self._show_summary)
        in_view = None if session.slide is None else session.slide.id
        self._inspector = ImportInspector(session.require_project(), paths, in_view, inspected)
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._show_finished)
        self._timer.start()

    @property
    def tasks(self) -> list[ImportTask]:
        """The imports that the user selected, one for each file."""
        return self.files.tasks(self.classes.class_indices(), complete=self.complete.isChecked())

    @property
    def reading(self) -> bool:
        """True while files are being read."""
        return self._inspector.busy

    def done(self, result: int) -> None:
        """Stop the worker thread, whichever button was pressed."""
        self._timer.stop()
        self._inspector.stop()
        super().done(result)

    # -- display

    def _show_finished(self) -> None:
        """Show the files that the worker has finished reading."""
        found = self._inspector.take_finished()
        for file in found:
            self.files.show_file(file)
        if found:
            self.classes.show_files(self.files.inspected)
            self._show_summary()  # the last file enables the button
        self.bar.setRange(0, self._inspector.total)
        self.bar.setValue(self._inspector.done)
        self.bar.setVisible(self._inspector.busy)

    def _file_changed(self, path: Path, slide: str) -> None:
        """Read a file again for the slide that was chosen for it."""
        self._inspector.inspect(path, slide or None)
        self._show_summary()

    def _show_summary(self) -> None:
        files, tasks = self.files.inspected, self.tasks
        outlines = sum(file.contours for file in files)
        names = len({found.name for file in files for found in file.classes})
        words = "class" if names == 1 else "classes"
        self.heading.setText(f"<b>{plural(len(files), 'file')}</b>: {plural(outlines, 'outline')} of {names} {words}")
        unclear = self.classes.undecided_names
        asked = f"Choose a class for {', '.join(unclear)}. " if unclear else ""
        self.hint.setText(asked + _hint(files))
        self.hint.setVisible(bool(self.hint.text()))
        slides = len({task.slide for task in tasks})
        self.ok.setText(f"Import into {plural(slides, 'slide')}" if slides else "Import")
        self.ok.setEnabled(bool(tasks) and not unclear and not self.reading)

    def _make_buttons(self) -> None:
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        self.buttons = QDialogButtonBox(ok | cancel)
        button = self.buttons.button(ok)
        assert button is not None
        self.ok = button
        self.ok.setText("Import")
        self.ok.setEnabled(False)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setSpacing(SPACING)
        self.heading.setTextFormat(Qt.TextFormat.RichText)
        names = QLabel("Names in the files, and their classes in the project")
        parts = (self.heading, self.bar, self.files, names, self.classes, self.hint, self.complete, self.buttons)
        for part in parts:
            layout.addWidget(part)
        layout.setStretchFactor(self.files, 3)
        layout.setStretchFactor(self.classes, 2)


def _hint(files: Sequence[AnnotationFileInfo]) -> str:
    """Return what the user should check before importing."""
    parts = []
    broken = [file for file in files if file.problem]
    if broken:
        parts.append(f"{plural(len(broken), 'file')} cannot be read; hover over it to see why.")
    unassigned = [file for file in files if file.slide is None and not file.problem]
    if unassigned:
        parts.append(f"{plural(len(unassigned), 'file')} is not named after a slide: choose one, or leave it out.")
    misplaced = [file for file in files if file.proposal is not None]
    if misplaced:
        text = misplaced[0].proposal.description if misplaced[0].proposal is not None else ""
        which = (
            misplaced[0].path.name if len(misplaced) == 1 else f"{misplaced[0].path.name} and {len(misplaced) - 1} more"
        )
        parts.append(f"{which} may be misplaced: it would fit {text}. Choose the right one under Place.")
    elif any(not file.fits for file in files):
        parts.append("Some outlines lie outside their slide, and no common scale explains why.")
    return " ".join(parts)


class FilesTable(QTableWidget):
    """One row for each file; `changed` is emitted with a file and the slide that the user chose for it."""

    changed = Signal(object, str)

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._rows: dict[Path, int] = {}
        self._inspected: dict[Path, AnnotationFileInfo] = {}
        set_up_table(self, ("File", "Outlines", "Slide", "Place"), stretched=(_FILE,))

    @property
    def inspected(self) -> list[AnnotationFileInfo]:
        """The files that were read, in the order of the rows."""
        return list(self._inspected.values())

    def show_file(self, file: AnnotationFileInfo) -> None:
        """Show a file, in its row if it has one."""
        self._inspected[file.path] = file
        row = self._rows.get(file.path)
        if row is None:
            row = self._rows[file.path] = self.rowCount()
            self.insertRow(row)
            self.setCellWidget(row, _SLIDE, self._slide_box(file))
        name = QTableWidgetItem(f"⚠ {file.path.name}" if file.problem else file.path.name)
        name.setToolTip(file.problem or str(file.path))
        self.setItem(row, _FILE, name)
        self.setItem(row, _OUTLINES, _number("" if file.problem else "image" if file.is_label_image else file.contours))
        box = self.cellWidget(row, _SLIDE)
        assert box is not None
        box.setEnabled(not file.problem or file.slide is not None)
        self.setCellWidget(row, _PLACE, _place_box(file))

    def tasks(self, class_indices: Mapping[str, int], *, complete: bool) -> list[ImportTask]:
        """Return what the user selected; `class_indices` maps the names in the files to classes."""
        selected = []
        for path, info in self._inspected.items():
            slide = self._slide(path)
            if info.file is None or slide != info.slide:  # left out, unreadable, or to be read for another slide
                continue
            place = self.cellWidget(self._rows[path], _PLACE)
            transform = place.currentData() if isinstance(place, QComboBox) else IDENTITY
            classes = {found.name: class_indices[found.name] for found in info.classes if found.name in class_indices}
            selected.append(ImportTask(info.file, slide, ImportOptions(classes, transform), complete))
        return selected

    def _slide(self, path: Path) -> str:
        box = self.cellWidget(self._rows[path], _SLIDE)
        assert isinstance(box, QComboBox)
        return str(box.currentData())

    def _slide_box(self, file: AnnotationFileInfo) -> QComboBox:
        box = _combo_box("The slide that the outlines of this file belong to.")
        box.addItem("leave out", _LEAVE_OUT)
        for name in self._project.slides:
            box.addItem(name, name)
        box.setCurrentIndex(max(0, box.findData(file.slide)))
        box.currentIndexChanged.connect(lambda: self.changed.emit(file.path, str(box.currentData())))
        return box


class ClassesTable(QTableWidget):
    """One row for each name in the files, with its class; `changed` is emitted when the user chooses another."""

    changed = Signal()

    def __init__(self, project: Project, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._names: list[str] = []
        self._chosen: dict[str, int] = {}  # by the user, kept when more files are read
        self._colors: dict[str, str | None] = {}
        set_up_table(self, ("Name", "Outlines", "Area", "Becomes"), stretched=(_NAME,))

    @property
    def undecided_names(self) -> list[str]:
        """Names without a class so far."""
        return [name for name in self._names if self._class_index(name) == _ASK]

    @property
    def new_classes(self) -> list[tuple[str, str | None]]:
        """The names, with their colours, that become new classes of the project."""
        found: dict[str, tuple[str, str | None]] = {}
        for name in self._names:
            if self._class_index(name) == _NEW:  # spellings that differ in case are one class
                found.setdefault(name.strip().casefold(), (name.strip(), self._colors[name]))
        return list(found.values())

    def class_indices(self) -> dict[str, int]:
        """Return the class index of each decided name; new classes come after those of the project."""
        first = len(self._project.classes) + 1
        numbers = {name.casefold(): first + place for place, (name, _) in enumerate(self.new_classes)}
        known = {name: self._class_index(name) for name in self._names}
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
        box = _combo_box("The class of the project that this name means.")
        default = _default_class(name, file, self._project.classes)
        if default is None:
            box.addItem("choose…", _ASK)
        for spec in self._project.classes:
            box.addItem(swatch(spec.color), spec.name, spec.index)
        box.addItem("Unlabelled", 0)
        if name and not file.is_label_image and default is None:
            box.addItem(f"+ new class {name.strip()}", _NEW)
        wanted = self._chosen.get(name, _ASK if default is None else default)
        box.setCurrentIndex(max(0, box.findData(wanted)))
        box.currentIndexChanged.connect(lambda: self._choose(name, int(box.currentData())))
        return box

    def _choose(self, name: str, number: int) -> None:
        self._chosen[name] = number
        self.changed.emit()

    def _class_index(self, name: str) -> int:
        box = self.cellWidget(self._names.index(name), _BECOMES)
        return int(box.currentData()) if isinstance(box, QComboBox) else _ASK


def _default_class(name: str, file: AnnotationFileInfo, classes: ClassTable) -> int | None:
    """Return the class index that a name, or a value of a label image, has by default."""
    if not file.is_label_image:
        return class_index(classes, name)
    if name == WHITE:
        return classes.specs[1].index
    return int(name) if int(name) <= len(classes) else None


def _place_box(file: AnnotationFileInfo) -> QWidget:
    box = _combo_box("Where the outlines lie: as in the file, or transformed.")
    box.addItem("as in the file", IDENTITY)
    if file.proposal is not None:
        box.addItem(f"⚠ {file.proposal.description}", file.proposal)
        box.setToolTip(f"The outlines seem misplaced: the file would fit {file.proposal.description}.")
    box.setEnabled(file.proposal is not None)
    return box


def _combo_box(tool_tip: str) -> QComboBox:
    box = QComboBox()
    box.setToolTip(tool_tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    ignore_unfocused_wheel(box)
    return box


def _number(value: object) -> QTableWidgetItem:
    item = QTableWidgetItem(f"{value:,}" if isinstance(value, int) else str(value))
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item
