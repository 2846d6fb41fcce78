"""What a crash of the window leaves behind, and what the next start says about it."""

import subprocess
import sys

import pytest

from napari_pathseg.ui.crash_log import CrashLog, unreported_crashes
from napari_pathseg.ui.launch import report_crashes

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


def test_a_crash_is_reported_by_the_next_start_only(crashed, session, monkeypatch):
    monkeypatch.setattr("napari_pathseg.ui.launch.crash_folder", lambda: crashed)
    heard = []
    session.message.connect(lambda text, details, severity: heard.append((severity, text, details)))
    report_crashes(session)
    report_crashes(session)
    ((severity, text, details),) = heard
    assert severity == "warning"
    assert str(crashed) in text
    assert "Segmentation fault" in details


def test_a_window_that_closes_well_leaves_no_log(tmp_path):
    log = CrashLog(tmp_path / "crashes")
    assert unreported_crashes(tmp_path / "crashes") == []
    log.close()
    assert not list((tmp_path / "crashes").iterdir())
