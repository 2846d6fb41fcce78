"""Temporary folders of programs that were killed do not stay."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest

from napari_pathseg.storage.scratch import remove_orphans, scratch_folder

PROGRAM = """
import signal
from napari_pathseg.storage.scratch import scratch_folder
folder = scratch_folder()
print(folder.name, flush=True)
signal.pause()
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files of this test alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_next_program_removes_what_a_killed_one_left_and_nothing_else(temporary):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)}
    )
    left = process.stdout.readline().strip()
    (temporary / "pathseg-of-somebody").mkdir()
    remove_orphans()
    assert os.path.isdir(left)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with scratch_folder() as own:
        assert sorted(os.listdir(temporary)) == sorted([os.path.basename(own), "pathseg-of-somebody"])
    assert os.listdir(temporary) == ["pathseg-of-somebody"]
