"""Every dialog and menu of the package, one after the other, with names that hold markup."""

import ast
import importlib
import pkgutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from hostile_names import hostile_project, markup_shown_by
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialog, QMenu, QProgressDialog, QWidget

import napari_pathseg.ui
from napari_pathseg.config import TrainConfig
from napari_pathseg.projects.exporting.area_table import AreaRow
from napari_pathseg.ui.panels.annotate.cleanup import CleanupDialog
from napari_pathseg.ui.panels.area_table import AreaTableDialog
from napari_pathseg.ui.panels.doctor import DoctorDialog
from napari_pathseg.ui.panels.header import NewProjectDialog
from napari_pathseg.ui.panels.help import HelpWindow
from napari_pathseg.ui.panels.project_cleanup import ProjectCleanupDialog
from napari_pathseg.ui.panels.slides.import_dialog import ImportDialog
from napari_pathseg.ui.panels.slides.menu import SlideMenu, SplitDialog
from napari_pathseg.ui.panels.slides.patients_dialog import PatientsDialog
from napari_pathseg.ui.panels.slides.pyramid_conversion import PyramidProgress, ask_to_convert
from napari_pathseg.ui.panels.slides.versions import VersionsDialog
from napari_pathseg.ui.panels.train.samples import AugmentationPreviewDialog
from napari_pathseg.ui.session.background import run_now
from napari_pathseg.ui.session.job_state import JobKind, JobState
from napari_pathseg.ui.session.project_cleanup import measuring
from napari_pathseg.ui.tools.context import ToolContext
from napari_pathseg.ui.widgets.notifications import notify, show_messages

UI = Path(napari_pathseg.ui.__file__).parent
ELSEWHERE = {ImportDialog, HelpWindow}  # walked in test_hostile_names.py; shows the README alone
MADE_BY_CALLS = {  # by file: the dialogs and menus of Qt itself that are made there, all of them below
    "panels/annotate/classes.py": {"QMenu"},
    "panels/annotate/region_buttons.py": {"QMenu"},  # with one fixed entry
    "panels/header.py": {"QMenu", "QMessageBox"},
    "panels/help.py": {"QMenu"},  # fixed entries
    "panels/model_choice.py": {"QInputDialog"},  # names the model's own number
    "panels/slides/filter_row.py": {"QMenu"},
    "panels/slides/menu.py": {"QInputDialog"},
    "panels/slides/pyramid_conversion.py": {"QMessageBox"},
    "panels/slides/slides.py": {"QMenu"},
    "widgets/layout.py": {"QMenu"},  # fixed entries
    "widgets/notifications.py": {"QDialog"},
}


@pytest.fixture
def hostile(dock, tmp_path):
    return hostile_project(dock, tmp_path)


def slide_menu(dock):
    return dock.slides.slide_menu(dock.session.slide.id)


def asked_by(ask):
    """Return what a question that waits for its answer shows, and cancel it."""
    found = []

    def look():
        dialog = QApplication.activeModalWidget()
        found.extend(markup_shown_by(dialog))
        dialog.reject()

    QTimer.singleShot(0, look)
    ask()
    return found


def messages(dock):
    notify(f"{dock.session.project.folder.name} was changed.", "details <b>x<")
    show_messages(dock)
    return dock.findChild(QDialog)


def question(dock, tag):
    path = Path("/slides") / f"{tag}.tif"
    ask_to_convert(path, path, 10**9, dock, lambda _: None)
    return QApplication.activeModalWidget()


def progress(dock, tag):
    return PyramidProgress(Path("/absent") / f"{tag}.tif", Path(dock.session.project.folder), lambda _: None, dock)


DIALOGS = {
    AreaTableDialog: lambda dock, tag: AreaTableDialog([AreaRow(tag, tag, 1, 1.0, None, None, None)], Path(), dock),
    DoctorDialog: lambda dock, _: DoctorDialog(dock.session.project.folder, dock),
    CleanupDialog: lambda dock, _: CleanupDialog(dock.session, dock),
    ProjectCleanupDialog: lambda dock, _: ProjectCleanupDialog(dock.session, run_now(measuring(dock.session)), dock),
    SplitDialog: lambda dock, _: SplitDialog(dock),
    PatientsDialog: lambda dock, tag: PatientsDialog(dock.session.project, f"{tag}[", dock),
    VersionsDialog: lambda dock, _: VersionsDialog(dock.session, dock),
    AugmentationPreviewDialog: lambda dock, _: AugmentationPreviewDialog(dock.session, TrainConfig, dock),
    PyramidProgress: progress,
    SlideMenu: lambda dock, _: slide_menu(dock),
    NewProjectDialog: lambda dock, _: NewProjectDialog(dock.session.project.folder, dock).native,
}
CALLS = {
    "class": lambda dock, _: dock.annotate.classes.menu(2),
    "project menu": lambda dock, _: dock.header.menu,
    "filter": lambda dock, _: dock.slides.filter.menu,
    "convert": question,
    "messages": lambda dock, _: messages(dock),
}


def packaged(base):
    """Return the classes of the package that are dialogs or menus."""
    found = set()
    for kind in base.__subclasses__():
        found |= ({kind} if kind.__module__.startswith("napari_pathseg.") else set()) | packaged(kind)
    return found


def test_no_dialog_or_menu_of_the_package_is_left_out():
    for module in pkgutil.walk_packages([str(UI)], "napari_pathseg.ui."):
        importlib.import_module(module.name)
    assert (
        packaged(QDialog) | packaged(QMenu) | packaged(QProgressDialog)
        == DIALOGS.keys() - {NewProjectDialog} | ELSEWHERE
    )
    made = {}
    for path in UI.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            function = node.func if isinstance(node, ast.Call) else None
            if isinstance(function, ast.Attribute):  # QInputDialog.getText
                function = function.value
            if isinstance(function, ast.Name) and function.id in {"QMenu", "QMessageBox", "QInputDialog", "QDialog"}:
                made.setdefault(path.relative_to(UI).as_posix(), set()).add(function.id)
    assert made == MADE_BY_CALLS


def test_no_dialog_menu_or_message_shows_markup_of_a_name(hostile):
    dock, tag = hostile
    found = {}
    for name, make in {**DIALOGS, **CALLS}.items():
        widget = make(dock, tag)
        QTest.qWait(20)
        found[name] = markup_shown_by(widget)
        widget.hide()
    menu = slide_menu(dock)
    found["patient"] = asked_by(menu.ask_for_patient)
    found["pixel size"] = asked_by(menu.ask_for_mpp)
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_no_widget_of_the_window_shows_markup_of_a_name(hostile, viewer):
    dock, tag = hostile
    session = dock.session
    ToolContext.show_status(SimpleNamespace(session=session), f"{tag} cannot be read")
    assert "cannot be read" in viewer.status
    session.message.emit(f"{tag} was changed", "", "warning")
    session.training.run = JobState(JobKind.PREDICT, model=tag, slides=[session.slide.id], active=True)
    session.training.run_changed.emit()
    QTest.qWait(400)
    windows = [one for one in QApplication.topLevelWidgets() if isinstance(one, QWidget)]
    assert [text for window in windows for text in markup_shown_by(window)] == []


def test_name_with_an_ampersand_is_whole_in_menus(hostile):
    dock, _ = hostile
    classes = dock.session.project.classes.add("Fat & muscle")
    dock.session.change_classes(classes)
    merge = next(action.menu() for action in dock.annotate.classes.menu(2).actions() if action.menu() is not None)
    assert "Fat && muscle" in [action.text() for action in merge.actions()]
