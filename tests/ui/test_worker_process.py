"""The worker process and the program that started it."""

import subprocess
import sys
import time

import psutil

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


def test_program_that_ends_without_closing_its_window_ends_its_worker_too():
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=240)
    assert (ended.returncode, ended.stderr) == (3, "")
    end = time.monotonic() + 60
    while psutil.pid_exists(int(ended.stdout)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not psutil.pid_exists(int(ended.stdout))
