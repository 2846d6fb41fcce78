"""What a crash of the window leaves behind, and what the next start says about it."""

import subprocess
import sys

import pytest
from napari.utils.notifications import notification_manager

from napari_pathseg.ui.crash_log import CrashLog, unreported_crashes
from napari_pathseg.ui.launch import report_crashes
from napari_pathseg.ui.panels.doctor import DoctorDialog

CRASH = """
import faulthandler, sys
from pathlib import Path
from napari_pathseg.ui.crash_log import CrashLog

log = CrashLog(Path(sys.argv[1]))
faulthandler._sigsegv()
"""


@pytest.fixture
def crashed(tmp_path):
    folder = tmp_path / "crashes"
    ended = subprocess.run([sys.executable, "-c", CRASH, str(folder)], capture_output=True, timeout=240)
    assert ended.returncode != 0
    return folder


def test_a_crash_in_a_library_leaves_the_stack_of_each_thread(crashed):
    (log,) = unreported_crashes(crashed)
    assert "Segmentation fault" in log.read_text()
    assert 'File "<string>", line 7' in log.read_text()


def test_a_crash_is_reported_by_the_next_start_only_and_offers_the_doctor(crashed, dock, caplog, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.launch.crash_folder", lambda: crashed)
    heard = []
    notification_manager.notification_ready.connect(heard.append)
    report_crashes(dock.show_doctor)
    report_crashes(dock.show_doctor)
    notification_manager.notification_ready.disconnect(heard.append)
    (message,) = heard
    assert message.severity == "warning"
    assert str(crashed) in message.message
    assert "Segmentation fault" in caplog.text
    actions = dict(message.actions)
    assert list(actions) == ["More", "Doctor"]
    actions["Doctor"](dock)
    assert dock.findChild(DoctorDialog).running
    dock.findChild(DoctorDialog).close()


def test_a_window_that_closes_well_leaves_no_log(tmp_path):
    log = CrashLog(tmp_path / "crashes")
    assert unreported_crashes(tmp_path / "crashes") == []
    log.close()
    assert not list((tmp_path / "crashes").iterdir())
