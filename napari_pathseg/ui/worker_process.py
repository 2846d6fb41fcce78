"""The window's end of the worker process: a `QProcess`, so that no thread lies between.

The process starts with the window and is kept warm.  If it dies, `died` is emitted and a new
one starts.
"""

import logging
import sys

from psygnal import Signal
from qtpy.QtCore import QProcess

from napari_pathseg.engine.events import Command, Event
from napari_pathseg.jobs.protocol import parse_event, to_line

_logger = logging.getLogger(__name__)
_MAX_ERROR_LINES = 40  # of the process's error stream, shown behind "More"


class WorkerProcess:
    """Sends commands to the worker and emits its events.

    Signals are psygnal's: `event` carries one event of the worker, `died` the last lines that a
    process which ended by itself wrote to its error stream.
    """

    event = Signal(Event)
    died = Signal(str)

    def __init__(self) -> None:
        self._process: QProcess | None = None
        self._rest = b""
        self._errors: list[str] = []
        self._closing = False
        self._used = False  # whether a command was sent; close() waits only for a worker that may be busy

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

    def send(self, command: Command) -> None:
        """Send a command to the worker; start it first unless it runs."""
        self.start()
        assert self._process is not None
        self._used = True
        self._process.write(to_line(command).encode() + b"\n")

    @property
    def pid(self) -> int:
        """The process id, 0 unless it runs."""
        return 0 if self._process is None else int(self._process.processId())

    def close(self) -> None:
        """End the process; everything that counts is on disk."""
        self._closing = True
        if self._process is not None:
            self._process.closeWriteChannel()
            if not self._used or not self._process.waitForFinished(1500):
                self._process.kill()
                self._process.waitForFinished(1500)
        self._process = None

    def _read(self) -> None:
        if self._process is None:
            return
        *lines, self._rest = (self._rest + self._process.readAllStandardOutput().data()).split(b"\n")
        for line in lines:
            if (event := parse_event(line)) is not None:
                self.event.emit(event)

    def _read_errors(self) -> None:
        if self._process is not None:
            text = self._process.readAllStandardError().data().decode(errors="replace")
            self._errors = (self._errors + text.splitlines())[-_MAX_ERROR_LINES:]

    def _ended(self) -> None:
        self._process = None
        if self._closing:
            return
        _logger.warning("The worker ended:\n%s", "\n".join(self._errors))
        self.died.emit("\n".join(self._errors))
        self.start()
