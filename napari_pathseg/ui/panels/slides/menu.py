"""The context menu of a slide: role, patient, tissue, versions, pixel size, moved files."""

from pathlib import Path

from qtpy.QtCore import QCoreApplication, Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QInputDialog,
    QMenu,
    QProgressDialog,
    QSpinBox,
    QWidget,
)

from napari_pathseg.projects.patients import set_patient, set_patients_by_name, suggest_pattern
from napari_pathseg.projects.relink import find_moved, missing, relink
from napari_pathseg.projects.roles import ROLES
from napari_pathseg.projects.splits import split_project
from napari_pathseg.ui.panels.slides.rows import ROLE_WORDS
from napari_pathseg.ui.panels.slides.versions import VersionsDialog
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.tissue import TissueOverlay
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_READ_ONLY_ACTIONS = ("Show tissue", "Hide tissue", "Versions…")
_SHARES = {"train": 70, "val": 15, "test": 15}  # percent


class SlideMenu(QMenu):
    """The menu of one slide."""

    def __init__(self, session: Session, tissue: TissueOverlay, slide_id: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._tissue, self._slide, self._window = session, tissue, slide_id, parent
        record = session.require_project().slide(slide_id)
        for role in ROLES:
            action = self.addAction(ROLE_WORDS[role])
            assert action is not None
            action.setCheckable(True)
            action.setChecked(role == record.role)
            action.triggered.connect(lambda _=False, role=role: self._set_role(role))
        self.addSeparator()
        self.addAction(f"Patient {record.patient}…", self.ask_for_patient)
        self.addAction("Patients from names…", self.ask_for_pattern)
        self.addAction("Split all by patient…", self.ask_to_split)
        self.addSeparator()
        if session.slide is not None and session.slide.id == slide_id:
            self.addAction("Hide tissue" if tissue.shown else "Show tissue", self._toggle_tissue)
            if tissue.shown:
                self.addAction("Find tissue again", self._find_tissue)
            self.addAction("Versions…", self._show_versions)
        self.addAction("Pixel size…", self.ask_for_mpp)
        if missing(session.require_project()):
            self.addAction("Find moved files…", self.ask_where_moved)
        for action in self.actions() if session.read_only else ():
            action.setEnabled(action.text() in _READ_ONLY_ACTIONS)

    # -- role and patient

    def ask_for_patient(self) -> None:
        """Ask for the patient of the slide."""
        record = self._session.require_project().slide(self._slide)
        name, given = QInputDialog.getText(self._window, "Patient", f"Patient of {record.id}", text=record.patient)
        if given and name.strip():
            with show_errors():
                set_patient(self._session.require_project(), [self._slide], name)
                self._session.project_changed.emit()

    def ask_for_pattern(self) -> None:
        """Ask for the part of the names that is the patient."""
        names = list(self._session.require_project().slides)
        text = "The part of a slide's name that is its patient, as a regular expression"
        usual = suggest_pattern(names) or r"^[^-_]+"
        pattern, given = QInputDialog.getText(self._window, "Patients from names", text, text=usual)
        if given and pattern:
            with show_errors():
                found = set(set_patients_by_name(self._session.require_project(), pattern).values())
                self._session.project_changed.emit()
                notify(f"{plural(len(found), 'patient')} in {plural(len(names), 'slide')}.")

    def ask_to_split(self) -> None:
        """Ask for the shares of the roles, and split all slides again."""
        dialog = SplitDialog(self._window)
        if dialog.exec():
            with show_errors():
                split_project(self._session.require_project(), dialog.shares)
                self._session.project_changed.emit()

    def _set_role(self, role: str) -> None:
        with show_errors():
            self._session.set_role(self._slide, role)

    # -- the slide itself

    def ask_for_mpp(self) -> None:
        """Ask for the pixel size of the slide."""
        record = self._session.require_project().slide(self._slide)
        text = f"Micrometres per pixel of {record.id}"
        mpp, given = QInputDialog.getDouble(self._window, "Pixel size", text, record.mpp or 0.5, 0.01, 100, 4)
        if given:
            with show_errors():
                self._session.require_project().update_slide(self._slide, mpp=mpp)
                if self._session.slide is not None and self._session.slide.id == self._slide:
                    self._session.show_slide(self._slide)
                self._session.project_changed.emit()

    def ask_where_moved(self) -> None:
        """Ask for a folder, and search it for missing slides."""
        start = str(self._session.require_project().folder.parent)
        folder = QFileDialog.getExistingDirectory(self._window, "Where the moved files are", start)
        if folder:
            with show_errors():
                self.find_moved(Path(folder))

    def find_moved(self, folder: Path) -> None:
        """Search a folder for missing slides, and relink those found."""
        project = self._session.require_project()
        progress = QProgressDialog("Searching…", "Stop", 0, 0, self._window)
        search = find_moved(project, folder)
        found: dict[str, Path] = {}
        while not progress.wasCanceled():
            try:
                step = next(search)
            except StopIteration as end:
                found = end.value
                break
            found = dict(step.paths)
            progress.setLabelText(f"{step.files:,} files searched; {len(found)} of {step.missing} found")
            QCoreApplication.processEvents()
        progress.close()
        relink(project, found)
        self._session.project_changed.emit()
        left = len(missing(project))
        text = f"{plural(len(found), 'slide')} found again." if found else f"None of them was found below {folder}."
        notify(f"{text} {plural(left, 'file')} still missing." if left and found else text)

    def _show_versions(self) -> None:
        with show_errors():
            dialog = VersionsDialog(self._session, self._window)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

    def _toggle_tissue(self) -> None:
        with show_errors():
            self._tissue.toggle()
            area = self._tissue.area_mm2
            if self._tissue.shown:
                size = "" if area is None else f" of {area:.2f} mm²"
                notify(f"The tissue{size} is a layer that you can paint on; changes are saved.")

    def _find_tissue(self) -> None:
        with show_errors():
            self._tissue.detect_again()


class SplitDialog(QDialog):
    """Asks for the share of each role."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Split all slides by patient")
        layout = QFormLayout(self)
        self.boxes: dict[str, QSpinBox] = {}
        for role, share in _SHARES.items():
            box = self.boxes[role] = QSpinBox()
            box.setRange(1 if role == "train" else 0, 100)
            box.setSuffix(" %")
            box.setValue(share)
            layout.addRow(ROLE_WORDS[role], box)
        note = SecondaryLabel(
            "All slides of a patient get one role, and every class is in training. Earlier models saw slides "
            "that may now be held out: compare only models trained after the split."
        )
        note.setMinimumWidth(360)
        layout.addRow(note)
        ok, cancel = QDialogButtonBox.StandardButton.Ok, QDialogButtonBox.StandardButton.Cancel
        buttons = QDialogButtonBox(ok | cancel)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        layout.addRow(buttons)

    @property
    def shares(self) -> dict[str, float]:
        """The share of each role."""
        return {role: float(box.value()) for role, box in self.boxes.items()}
