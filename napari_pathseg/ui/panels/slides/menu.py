"""The context menu of a slide: role, patient, tissue, versions, pixel size, moved files."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QInputDialog,
    QMenu,
    QSpinBox,
    QWidget,
)

from napari_pathseg.projects.patients import suggest_pattern
from napari_pathseg.projects.relink import find_moved, missing, relink
from napari_pathseg.projects.roles import ROLES
from napari_pathseg.projects.slide_settings import SlideChanges
from napari_pathseg.projects.splits import split_project
from napari_pathseg.ui.panels.slides.patients_dialog import PatientsDialog
from napari_pathseg.ui.panels.slides.rows import ROLE_WORDS
from napari_pathseg.ui.panels.slides.versions import VersionsDialog
from napari_pathseg.ui.session.background import Report, Steps, Work
from napari_pathseg.ui.session.formatting import plural
from napari_pathseg.ui.session.session import Session
from napari_pathseg.ui.session.tissue import TissueOverlay
from napari_pathseg.ui.widgets.notifications import notify, show_errors
from napari_pathseg.ui.widgets.plain_text import menu_text, plain
from napari_pathseg.ui.widgets.theme import SecondaryLabel

_READ_ONLY_ACTIONS = ("Show tissue", "Hide tissue", "Versions…")
_START = r"^[^-_]+"
_SHARES = {"train": 70, "val": 15, "test": 15}  # percent


class SlideMenu(QMenu):
    """The menu of one slide; roles, patients and pixel sizes are set for all `selected` ones."""

    def __init__(
        self,
        session: Session,
        tissue: TissueOverlay,
        slide_id: str,
        parent: QWidget,
        selected: Sequence[str] = (),
    ) -> None:
        super().__init__(parent)
        self._session, self._tissue, self._slide, self._window = session, tissue, slide_id, parent
        self._slides = list(selected) or [slide_id]
        project = session.require_project()
        if len(self._slides) > 1:
            title = self.addAction(self._named)
            assert title is not None
            title.setEnabled(False)
            self.addSeparator()
        given = {project.slide(one).role for one in self._slides}
        for role in ROLES:
            action = self.addAction(ROLE_WORDS[role])
            assert action is not None
            action.setCheckable(True)
            action.setChecked(given == {role})
            action.triggered.connect(lambda _=False, role=role: self._set_role(role))
        self.addSeparator()
        patients = {project.slide(one).patient for one in self._slides}
        patient = patients.pop() if len(patients) == 1 else f"of {self._named}"
        self.addAction(menu_text(f"Patient {patient}…"), self.ask_for_patient)
        self.addAction("Patients from names or a table…", self.ask_for_pattern)
        self.addAction("Split all by patient…", self.ask_to_split)
        self.addSeparator()
        shown = tissue.shown and self._in_view
        self.addAction("Hide tissue" if shown else "Show tissue", self._toggle_tissue)
        if shown:
            self.addAction("Find tissue again", self._find_tissue)
        self.addAction("Versions…", self._show_versions)
        self.addAction("Pixel size…", self.ask_for_mpp)
        if missing(project):
            self.addAction("Find moved files…", self.ask_where_moved)
        for action in self.actions() if session.read_only else ():
            action.setEnabled(action.text() in _READ_ONLY_ACTIONS)

    # -- role and patient

    def ask_for_patient(self) -> None:
        """Ask for the patient of the slide."""
        record = self._session.require_project().slide(self._slide)
        label = plain(f"Patient of {self._named}")
        name, given = QInputDialog.getText(self._window, "Patient", label, text=record.patient)
        if given and name.strip():
            with show_errors():
                self._session.change_slides(self._slides, SlideChanges(patient=name))

    def ask_for_pattern(self) -> None:
        """Ask for the part of the names that is the patient, or for a table, with a preview."""
        project = self._session.require_project()
        names = list(project.slides)
        dialog = PatientsDialog(project, suggest_pattern(names) or _usual_pattern(names), self._window)
        dialog.accepted.connect(lambda: self._set_patients(dialog))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _set_patients(self, dialog: PatientsDialog) -> None:
        with show_errors():
            notify(dialog.apply())
            self._session.project_changed.emit()

    def ask_to_split(self) -> None:
        """Ask for the shares of the roles, and split all slides again."""
        dialog = SplitDialog(self._window)
        dialog.accepted.connect(lambda: self._split(dialog.shares))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.open()

    def _split(self, shares: Mapping[str, float]) -> None:
        with show_errors():
            split_project(self._session.require_project(), shares)
            self._session.project_changed.emit()

    def _set_role(self, role: str) -> None:
        with show_errors():
            self._session.change_slides(self._slides, SlideChanges(role=role))

    # -- the slide itself

    def ask_for_mpp(self) -> None:
        """Ask for the pixel size of the slide."""
        record = self._session.require_project().slide(self._slide)
        text = plain(f"Micrometres per pixel of {self._named}")
        mpp, given = QInputDialog.getDouble(self._window, "Pixel size", text, record.mpp or 0.5, 0.01, 100, 4)
        if given:
            with show_errors():
                self._session.change_slides(self._slides, SlideChanges(pixel_size=mpp))

    def ask_where_moved(self) -> None:
        """Ask for a folder, and search it for missing slides."""
        start = str(self._session.require_project().folder.parent)
        folder = QFileDialog.getExistingDirectory(self._window, "Where the moved files are", start)
        if folder:
            with show_errors():
                self.find_moved(Path(folder))

    def find_moved(self, folder: Path) -> None:
        """Search a folder for missing slides, and relink those found."""
        session, project = self._session, self._session.require_project()

        def search(report: Report) -> dict[str, Path]:
            steps, found = find_moved(project, folder), dict[str, Path]()
            while not report(-1.0):
                try:
                    found = dict(next(steps).paths)
                except StopIteration as end:
                    found = end.value
                    break
            return found

        def searching() -> Steps[dict[str, Path]]:
            found: dict[str, Path] = yield Work(search, "Searching for moved files")
            relink(project, found)
            return found

        def done(found: dict[str, Path]) -> None:
            session.project_changed.emit()
            left = len(missing(project))
            text = f"{plural(len(found), 'slide')} found again." if found else f"None of them was found below {folder}."
            notify(f"{text} {plural(left, 'file')} still missing." if left and found else text)

        session.background.start(searching(), done, lambda error: notify(str(error), kind="error"))

    @property
    def _named(self) -> str:
        return self._slide if len(self._slides) == 1 else plural(len(self._slides), "slide")

    @property
    def _in_view(self) -> bool:
        return self._session.slide is not None and self._session.slide.id == self._slide

    def _bring_into_view(self) -> None:
        if not self._in_view:
            self._session.show_slide(self._slide)

    def _show_versions(self) -> None:
        with show_errors():
            self._bring_into_view()
            dialog = VersionsDialog(self._session, self._window)
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            dialog.open()

    def _toggle_tissue(self) -> None:
        with show_errors():
            self._bring_into_view()
            self._tissue.toggle()
            area = self._tissue.area_mm2
            if self._tissue.shown:
                size = "" if area is None else f" of {area:.2f} mm²"
                notify(f"The tissue{size} is a layer that you can paint on; changes are saved.")

    def _find_tissue(self) -> None:
        with show_errors():
            self._tissue.detect_again()


def _usual_pattern(names: Sequence[str]) -> str:
    """Return the pattern of the start of the names, or of all if that would make one patient of all slides."""
    found = {match.group() for name in names if (match := re.match(_START, name))}
    return _START if len(found) > 1 else ".+"


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
