"""The window's end of the worker process: a `QProcess`, so that no thread lies between.

The process is started with the window and kept warm; if it dies, that is told and a new
one is started.
"""

import json
import logging
import sys
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QProcess

_logger = logging.getLogger(__name__)
_KEPT_LINES = 40  # of what the process wrote to its error stream, for "More"


class WorkerProcess:
    """A worker that takes commands and gives events as they come.

    Signals are psygnal's: `event` carries a message as the worker wrote it, `died` a sentence
    about a process that ended by itself.
    """

    event = Signal(dict)
    died = Signal(str)

    def __init__(self) -> None:
        self._process: QProcess | None = None
        self._rest = b""
        self._errors: list[str] = []
        self._closing = False
        self._asked = False  # whether there may be work in hand; a worker that only warms up is not waited for

    def start(self) -> None:
        """Start the process unless it runs."""
        if self._process is not None:
            return
        process = QProcess()
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._read_errors)
        process.finished.connect(self._ended)
        process.start(sys.executable, ["-m", "napari_pathseg.jobs.worker"])
        self._process, self._rest = process, b""

    def send(self, message: dict[str, Any]) -> None:
        """Say something to the worker, starting it first where it does not run."""
        self.start()
        assert self._process is not None
        self._asked = True
        self._process.write(json.dumps(message).encode() + b"\n")

    @property
    def pid(self) -> int:
        """The process's number, 0 where it does not run."""
        return 0 if self._process is None else int(self._process.processId())

    def close(self) -> None:
        """End the process; what counts is on disk."""
        self._closing = True
        if self._process is not None:
            self._process.closeWriteChannel()
            if not self._asked or not self._process.waitForFinished(1500):
                self._process.kill()
                self._process.waitForFinished(1500)
        self._process = None

    def _read(self) -> None:
        if self._process is None:
            return
        *lines, self._rest = (self._rest + self._process.readAllStandardOutput().data()).split(b"\n")
        for line in lines:
            self.event.emit(json.loads(line))

    def _read_errors(self) -> None:
        if self._process is not None:
            text = self._process.readAllStandardError().data().decode(errors="replace")
            self._errors = (self._errors + text.splitlines())[-_KEPT_LINES:]

    def _ended(self) -> None:
        self._process = None
        if self._closing:
            return
        _logger.warning("The worker ended:\n%s", "\n".join(self._errors))
        self.died.emit("\n".join(self._errors))
        self.start()
