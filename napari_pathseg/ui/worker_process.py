"""The window's end of the worker process: a `QProcess`, which needs no thread.

The process starts once the window is at rest and is kept warm.  If it dies, `died` is emitted and a new
one starts.  When the window closes, the process stops its job, saves, and ends by itself.
"""

import atexit
import logging
import sys
from functools import partial
from typing import ClassVar
from weakref import WeakSet

from psygnal import Signal
from qtpy.QtCore import QProcess, QTimer

from napari_pathseg.engine.events import Command, Event, Note
from napari_pathseg.errors import ConfigError
from napari_pathseg.jobs.protocol import (
    LineSplitter,
    LiveCommand,
    MessageError,
    describe_unreadable,
    parse_event,
    to_line,
)

_logger = logging.getLogger(__name__)
_MAX_ERROR_LINES = 40  # of the process's error stream, shown behind "More"
_MAX_ERROR_CHARACTERS = 1000  # of each
_REST_MS = 3000  # torch is imported after the first frame, which would have to share the disk and the processor with it
_WRITE_MS = 5  # at most, if the process does not read
_TELL_MS = 200  # for the last command to reach a process that is still importing


class _Process(QProcess):
    """A process that may outlive the window, and the program."""

    _ending: ClassVar[set["_Process"]] = set()
    _all: ClassVar["WeakSet[_Process]"] = WeakSet()

    def __init__(self) -> None:
        super().__init__()
        self._all.add(self)

    def leave(self) -> None:
        """End its input, and keep the object until it has ended: Qt kills the process of an object that is deleted."""
        self._ending.add(self)
        self.finished.connect(partial(QTimer.singleShot, 0, partial(self._ending.discard, self)))
        self.closeWriteChannel()

    @classmethod
    def outlive_program(cls) -> None:
        """Tell those that still run to end, and let Qt take them to have ended, so that it lets them go.

        Their signals would reach objects of which Qt has deleted some by then.
        """
        for process in cls._all:
            process.blockSignals(True)
            process.closeWriteChannel()
            process.setProcessState(QProcess.ProcessState.NotRunning)


atexit.register(_Process.outlive_program)


class WorkerProcess:
    """Sends commands to the worker and emits its events.

    Signals are psygnal's: `event` carries one event of the worker, `died` the end of the error stream of a
    process that ended unexpectedly.
    """

    event = Signal(Event)
    died = Signal(str)

    def __init__(self) -> None:
        self._process: _Process | None = None
        self._lines, self._told = LineSplitter(), False
        self._errors: list[str] = []
        self._closing = self._writing = False
        self._used = False  # whether a command was sent: a process without one has nothing to end
        self._warm_up = QTimer()
        self._warm_up.setSingleShot(True)
        self._warm_up.setInterval(_REST_MS)
        self._warm_up.timeout.connect(self._start_now)

    def start(self) -> None:
        """Start the process soon unless it runs; the first command starts it at once."""
        if self._process is None:
            self._warm_up.start()

    def _start_now(self) -> None:
        self._warm_up.stop()
        if self._process is not None:
            return
        process = _Process()
        process.readyReadStandardOutput.connect(self._read)
        process.readyReadStandardError.connect(self._read_errors)
        process.finished.connect(self._ended)
        process.start(sys.executable, ["-m", "napari_pathseg.jobs.worker"])
        self._process, self._lines, self._told = process, LineSplitter(), False

    def send(self, command: Command) -> None:
        """Send a command to the worker; start it first unless it runs."""
        self._start_now()
        assert self._process is not None
        self._used = True
        self._process.write(to_line(command).encode() + b"\n")
        if isinstance(command, LiveCommand) and self._process.state() == QProcess.ProcessState.Running:
            self._write_now(self._process)

    def _write_now(self, process: _Process) -> None:
        """Let the process have a stroke before the window draws its next frame; what it sends meanwhile waits."""
        self._writing = True
        try:
            process.waitForBytesWritten(_WRITE_MS)
        finally:
            self._writing = False

    @property
    def pid(self) -> int:
        """The process id, 0 unless it runs."""
        return 0 if self._process is None else int(self._process.processId())

    def close(self) -> None:
        """Tell the process to stop its job and to end, and leave it: what it has reached it still saves."""
        self._closing = True
        self._warm_up.stop()
        process, self._process = self._process, None
        if process is None:
            return
        if not self._used:
            process.kill()
            process.waitForFinished(_REST_MS)
            return
        if process.bytesToWrite():
            process.waitForBytesWritten(_TELL_MS)
        process.leave()

    def _read(self) -> None:
        if self._process is None:
            return
        if self._writing:  # Qt reads, too, while it writes; the events must not come in the middle of what is sent
            QTimer.singleShot(0, self._read)
            return
        for line in self._lines.feed(self._process.readAllStandardOutput().data()):
            try:
                event = parse_event(line)
            except (MessageError, ConfigError) as error:
                event = self._note_unreadable(line, error)
            if event is not None:
                self.event.emit(event)

    def _note_unreadable(self, line: bytes, error: Exception) -> Note | None:
        """Log a line that is no event; return a message about the first of a process."""
        text, told, self._told = describe_unreadable(line, error), self._told, True
        _logger.warning(text)
        return None if told else Note(text, warning=True)

    def _read_errors(self) -> None:
        if self._process is not None:
            text = self._process.readAllStandardError().data().decode(errors="replace")
            lines = [line[:_MAX_ERROR_CHARACTERS] for line in text.splitlines()]
            self._errors = (self._errors + lines)[-_MAX_ERROR_LINES:]

    def _ended(self) -> None:
        self._process = None
        if self._closing:
            return
        _logger.warning("The worker ended:\n%s", "\n".join(self._errors))
        self.died.emit("\n".join(self._errors))
        self.start()
