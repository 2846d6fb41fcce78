"""Ask a question in another Python process: whatever it does there, this process goes on."""

import json
import signal
import subprocess
import sys
from typing import Any

HIDDEN = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows, no console flashes up
_LIMIT_S = 180.0  # torch from a slow network drive takes a minute
_MAX_CHARACTERS = 300


class ProbeError(Exception):
    """A process did not answer; the text says why, as the end of a sentence."""


def ask(probe: str, *arguments: str, limit_s: float = _LIMIT_S) -> dict[str, Any]:
    """Run a function of `probes.py` in another process and return its answer.

    Raises
    ------
    ProbeError
        If it cannot be started, crashes, fails or takes longer than `limit_s` seconds.
    """
    command = [sys.executable, "-m", "napari_pathseg.doctor.probes", probe, *arguments]
    try:
        ended = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s, creationflags=HIDDEN
        )
    except subprocess.TimeoutExpired as error:
        raise ProbeError(f"no answer within {limit_s:g} seconds") from error
    except OSError as error:
        raise ProbeError(f"no process could be started: {error.strerror}") from error
    if ended.returncode:
        raise ProbeError(reason(ended.returncode, ended.stderr))
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def reason(code: int, errors: bytes) -> str:
    """Return why a process has ended, from its exit code and its error stream."""
    lines = [line.strip() for line in errors.decode("utf8", "replace").splitlines() if line.strip()]
    traceback = any(line.startswith("Traceback") for line in lines)
    said = (lines[-1] if traceback else lines[0])[:_MAX_CHARACTERS] if lines else ""
    if code < 0:
        name = signal.Signals(-code).name
        said = f"{name}, {said}" if said else name
    return said or f"exit code {code}"
