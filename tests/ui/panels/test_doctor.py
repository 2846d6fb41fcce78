"""Doctor, under ?: the checks of the installation in a dialog."""

from pathlib import Path

import psutil
import pytest
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QLabel

from napari_pathseg.doctor.examination import CHECKS
from napari_pathseg.ui.panels.doctor import DoctorDialog


@pytest.fixture
def doctor(dock):
    """The dialog, opened from the menu of help."""
    dock.help.choices.aboutToShow.emit()
    (entry,) = (action for action in dock.help.choices.actions() if action.text() == "Doctor")
    entry.trigger()
    dialog = dock.findChild(DoctorDialog)
    yield dialog
    for open_one in dock.findChildren(DoctorDialog):
        open_one.close()


def test_findings_appear_one_by_one_and_are_copied_as_a_report(doctor, qtbot):
    assert doctor.state.text() == f"Checking Python (1 of {len(CHECKS)})…"
    assert not doctor.copy.isEnabled()
    qtbot.waitUntil(lambda: len(doctor.findings) > 2)
    assert doctor.running
    assert f"of {len(CHECKS)})…" in doctor.state.text()
    shown = [label.text() for label in doctor.area.findChildren(QLabel)]
    assert doctor.findings[0].what in shown
    doctor.copy.click()
    copied = QApplication.clipboard().text()
    assert "Python" in copied
    assert str(Path.home()) + "/" not in copied


def test_checks_end_with_the_dialog(doctor, qtbot):
    qtbot.waitUntil(lambda: len(doctor.findings) > 2)
    checks = psutil.Process(doctor._process.processId())
    doctor.close()
    assert not checks.is_running() or checks.status() == psutil.STATUS_ZOMBIE


def test_checks_can_be_made_again(doctor, qtbot):
    qtbot.waitUntil(lambda: len(doctor.findings) > 2)
    doctor.again.click()
    assert doctor.findings == []
    qtbot.waitUntil(lambda: len(doctor.findings) > 0)
    assert doctor.findings[0].name == "Python"


def test_process_that_crashes_is_said(doctor, qtbot):
    qtbot.waitUntil(lambda: len(doctor.findings) > 2)
    psutil.Process(doctor._process.processId()).kill()
    qtbot.waitUntil(lambda: not doctor.running)
    assert "were not all made" in doctor.state.text()


def test_menu_opens_one_dialog(doctor, dock):
    dock.show_doctor()
    QTest.qWait(0)
    assert dock.findChildren(DoctorDialog) == [doctor]
