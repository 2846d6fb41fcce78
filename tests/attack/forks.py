"""Run commands of `pathseg` in children that are forked from a process which has imported it, and measure each.

This file is that process, too: as a program it answers one JSON line with another.  A child ends by SIGALRM where its
time is over, so that nothing that hangs outlives a test.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SLIDES = (
    "projects.importing.add_slides",
    "slides.readers.tiff",
    "slides.readers.ome_zarr",
    "projects.exporting.export",
)
TORCH = ("engine.inference.predict", "engine.networks.build", "engine.networks.smp", "jobs.training", "jobs.tuning")
_MOST_BYTES = 28 << 30  # of address space, so that a bomb that goes off harms no machine


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code, negative for a signal; what it printed; peak memory in MiB; seconds."""

    code: int
    printed: str
    megabytes: float
    seconds: float


class Forks:
    """A process that has imported the package, and forks a child for each command."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: Sequence[str], folder: Path, limit_s: int, imports: Sequence[str] = SLIDES) -> Outcome:
        """Run a command of `pathseg` in a folder; it ends by SIGALRM after `limit_s` seconds."""
        order = {"arguments": arguments, "folder": str(folder), "limit_s": limit_s, "imports": imports}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def _serve() -> None:
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        order = json.loads(line)
        for name in order["imports"]:
            importlib.import_module(f"napari_pathseg.{name}")
        print(json.dumps(_measure(order)), flush=True)


def _measure(order: dict) -> dict:
    with tempfile.TemporaryFile() as printed:
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(order, printed.fileno())
        _, status, usage = os.wait4(child, 0)
        seconds = time.monotonic() - start
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "printed": text, "megabytes": usage.ru_maxrss / 1024, "seconds": seconds}


def _become(order: dict, printed: int) -> None:
    """Run the command in this child, which ends with it."""
    import resource  # Windows has none, and collects this module

    signal.alarm(order["limit_s"])
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    os.chdir(order["folder"])
    for stream in (1, 2):
        os.dup2(printed, stream)
    sys.argv = ["pathseg", *order["arguments"]]
    code = 99  # an error that nobody caught
    try:
        from napari_pathseg.cli import main

        code = main(order["arguments"])
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
