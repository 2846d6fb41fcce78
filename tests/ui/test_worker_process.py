"""The worker process and the program that started it."""

import subprocess
import sys
import time

import psutil
import pytest

from napari_pathseg.engine.events import Note
from napari_pathseg.jobs.protocol import WorkerReady
from napari_pathseg.ui.worker_process import WorkerProcess

PROGRAM = """
import sys
from qtpy.QtWidgets import QApplication
from napari_pathseg.ui.worker_process import WorkerProcess
app = QApplication([])
worker = WorkerProcess()
worker._start_now()
worker._process.waitForStarted()
print(worker.pid, flush=True)
sys.exit(3)
"""
READY = b'{"event": "ready"}\n'
GARBAGE = {
    "bytes": b"\xff\xfe\x00\x80\n",
    "half a line": b'{"event": "rea\n',
    "no object": b'["ready"]\n',
    "deep": b'{"event": ' + b"[" * 100_000 + b"\n",
    "huge line": b"x" * (17 << 20) + b"\n",
    "many lines": b"?\n" * 10_000,
    "wrong type": b'{"event": "tiledone", "slide": 5, "region": "abcd", "share": []}\n',
    "missing field": b'{"event": "progress"}\n',
}


def test_program_that_ends_without_closing_its_window_ends_its_worker_too():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=240)
    assert (ended.returncode, ended.stderr) == (3, "")
    end = time.monotonic() + 60
    while psutil.pid_exists(int(ended.stdout)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(ended.stdout))


@pytest.mark.skipif(sys.platform == "win32", reason="the program that stands for the worker is a shell script")
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_from_the_worker_is_told_once_and_its_next_event_arrives(garbage, tmp_path, monkeypatch, qtbot):
    (tmp_path / "sent").write_bytes(garbage + READY)
    program = tmp_path / "worker"
    program.write_text(f"#!/bin/sh\ncat '{tmp_path / 'sent'}'\nexec cat >/dev/null\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    worker, events = WorkerProcess(), []
    worker.event.connect(events.append)
    worker._start_now()
    qtbot.waitUntil(lambda: events[-1:] == [WorkerReady()])
    (note,) = events[:-1]
    assert isinstance(note, Note)
    assert note.text.startswith("A line between the window and its worker could not be read and was skipped: ")
    worker.close()
