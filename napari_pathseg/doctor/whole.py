"""Checks of the whole: the worker starts, and a small project can be trained and predicted."""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from napari_pathseg.doctor.child import HIDDEN, ProbeError, ask, reason
from napari_pathseg.doctor.finding import Finding

_START_S = 180.0  # torch from a slow network drive takes a minute
_TRIAL_S = 300.0
_SEE_ABOVE = "Follow what the other checks say first. If they are all fine, report this."


def check_worker(_: Path) -> Finding:
    """Start the worker process that trains and predicts for the window, and end it."""
    command = [sys.executable, "-m", "napari_pathseg.jobs.worker"]
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, creationflags=HIDDEN
            )
        except OSError as error:
            return Finding.fault(f"No process can be started: {error.strerror}.", "Close other programs and try again.")
        deadline = threading.Timer(_START_S, process.kill)
        deadline.daemon = True
        deadline.start()
        with process:  # its input ends with the block, and so does the process
            assert process.stdout is not None
            greeting = process.stdout.readline()
        in_time = deadline.is_alive()
        deadline.cancel()
        errors.seek(0)
        why = reason(process.returncode, errors.read())
    if not in_time:
        return Finding.fault(f"The worker did not start within {_START_S:g} seconds.", _SEE_ABOVE)
    if not greeting or process.returncode:
        return Finding.fault(f"The worker, which trains and predicts, does not start: {why}.", _SEE_ABOVE)
    return Finding.ok("The worker, which trains and predicts, starts and ends.")


def check_trial(_: Path) -> Finding:
    """Make a project of three small slides, train a few steps and predict one of them."""
    with tempfile.TemporaryDirectory(prefix="pathseg-") as folder:
        try:
            done = ask("trial", folder, limit_s=_TRIAL_S)
        except ProbeError as error:
            return Finding.fault(f"A small project could not be trained and predicted: {error}.", _SEE_ABOVE)
    if done["pixels"] != done["expected"]:
        return Finding.fault(f"Only {done['pixels']} of {done['expected']} pixels were predicted.", _SEE_ABOVE)
    return Finding.ok(f"A small project was made, trained and predicted in {done['seconds']:.0f} seconds.")
