"""A program that was suspended while it wrote a project, and goes on after another has taken the project over."""

import os
import signal
import subprocess
import sys
import time

import pytest

from napari_pathseg.projects.project import Project

HEARTBEAT_S = 0.05
ADDING = f"""
import sys
from napari_pathseg.storage import lock
lock.LEASE_TIMING = lock.LeaseTiming({HEARTBEAT_S}, 0.6)
from pathlib import Path
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project

def report(fraction):
    if fraction > 0.5:  # the first slide is in the project's folder, the second is not
        print("adding", flush=True)
        sys.stdin.readline()
    return False

slides = [Path(name) for name in sys.argv[2:]]
try:
    add_slides(Project.open(sys.argv[1]), slides, AddOptions(contours=slides[0].parent), report)
except ProjectError as error:
    print(error, flush=True)
"""


def files(folder):
    """Return the content of all files of a project but its locks."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".lock"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP")
def test_suspended_import_that_was_taken_over_writes_nothing_more(tmp_path, slides):
    folder = Project.create(tmp_path / "test.pathseg").folder
    command = [sys.executable, "-c", ADDING, str(folder), *map(str, slides[:3])]
    adding = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert adding.stdout.readline() == "adding\n"
    adding.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, adding.pid, os.WSTOPPED | os.WNOWAIT)  # no heartbeat any more from here on
    stopped = time.monotonic()
    for path in folder.glob(".lock-*"):
        os.utime(path, (0, 0))  # as after a minute
    project = Project.open(folder)
    project.acquire_lock("the other")
    with project.edit_state() as state:
        state.locked_classes = frozenset([2])
    left = files(folder)
    while time.monotonic() < stopped + 3 * HEARTBEAT_S:  # until then it trusts its last heartbeat
        time.sleep(HEARTBEAT_S)
    adding.send_signal(signal.SIGCONT)
    answer, _ = adding.communicate("\n\n\n\n")
    assert "was taken over by the other of " in answer
    assert files(folder) == left
    project.lock.check()
    project.release_lock()
