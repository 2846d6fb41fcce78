"""The worker process: it reads commands and writes events, one JSON line each (see `jobs.protocol`).

The window starts one (``python -m napari_pathseg.jobs.worker``) and keeps it running.  It may be
killed at any moment; everything that matters is on disk.  It runs one job at a time and ends when
its input ends; a running job is stopped then and saves what it has reached.  Superpixels are not a
job: the listening thread computes them, even while a job runs or torch is still loading.  The live
model is not one either: it works while no job runs, and a little after each event of a job.
"""

import contextlib
import logging
import os
import queue
import sys
import threading
import time
import traceback
from typing import BinaryIO, TextIO

from napari_pathseg.engine.events import Command, Event, Note, RequestPreview, Stop, run
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.handlers import compute_superpixels, create_job
from napari_pathseg.jobs.live import LiveService
from napari_pathseg.jobs.protocol import (
    ComputeSuperpixels,
    JobFailed,
    LineSplitter,
    LiveCommand,
    MessageError,
    StartJob,
    SuperpixelsFailed,
    WorkerReady,
    describe_unreadable,
    parse_command,
    to_line,
)
from napari_pathseg.storage.scratch import remove_orphans

_PIPE_BYTES = 1 << 16
_GONE_S, _LOOK_S = 1.0, 0.05  # until a program that was killed is gone, after its end of the pipe
_logger = logging.getLogger(__name__)


class Worker:
    """Runs jobs one after another while it listens for commands."""

    def __init__(self, commands: BinaryIO, events: TextIO) -> None:
        self._events, self._write_lock = events, threading.Lock()
        self._inbox: queue.Queue[Command | None] = queue.Queue()  # None at the end of the input
        self._live = LiveService(self._report)
        self._next_job: StartJob | None = None  # it came while a job was running; what is in the inbox came after it
        threading.Thread(target=self._listen, args=(commands,), name="listener", daemon=True).start()

    def run(self) -> None:
        """Run jobs as they are requested until the input ends."""
        self._report(WorkerReady())
        while (command := self._wait()) is not None:
            if isinstance(command, StartJob):
                self._run_job(command)
            elif isinstance(command, LiveCommand):
                self._live.take(command)
            # others were meant for a job that has already ended
        self._live.close()

    def _wait(self) -> Command | None:
        """Return the next command, None at the end of the input; the live model works until it comes."""
        if self._next_job is not None:
            job, self._next_job = self._next_job, None
            return job
        while not self._live.idle:
            with contextlib.suppress(queue.Empty):
                pause = self._live.pause_s
                return self._inbox.get(timeout=pause) if pause else self._inbox.get_nowait()
            self._live.work()
        return self._inbox.get()

    def _listen(self, commands: BinaryIO) -> None:
        splitter = LineSplitter()
        while received := os.read(commands.fileno(), _PIPE_BYTES):
            for line in splitter.feed(received):
                self._take(line)
        self._inbox.put(None)
        _silence()

    def _take(self, line: bytes) -> None:
        """Pass on the command in a line, or answer it here."""
        try:
            command = parse_command(line)
        except Exception as error:  # the listener must go on
            self._report(_unreadable(line, error))
            return
        if isinstance(command, ComputeSuperpixels):
            self._report(_compute_superpixels(command))
        elif command is not None:
            self._inbox.put(command)

    def _report(self, event: Event) -> None:
        with self._write_lock, contextlib.suppress(OSError):  # the window has closed: the job still has to end well
            self._events.write(to_line(event) + "\n")
            self._events.flush()

    def _run_job(self, command: StartJob) -> None:
        self._live.make_way()
        try:
            finished = run(create_job(command, self._live), self._on_event)
        except Exception as error:  # a bug is reported to the window, and the worker survives
            self._report(_failure(command.wire_name.capitalize(), error))
        else:
            self._report(finished)

    def _on_event(self, event: Event) -> Command | None:
        self._report(event)
        command = self._next_command()
        if not isinstance(command, Stop):
            self._live.work_beside_job()
        return command

    def _next_command(self) -> Command | None:
        """Return the next command for the running job, if there is one: a stop, or the last view that was requested."""
        view: RequestPreview | None = None
        while self._next_job is None:
            try:
                command = self._inbox.get_nowait()
            except queue.Empty:
                return view
            if command is None:
                self._inbox.put(None)
                return Stop(now=True)
            if isinstance(command, Stop):
                return command
            if isinstance(command, RequestPreview):
                view = command
            elif isinstance(command, LiveCommand):
                self._live.take(command)
            elif isinstance(command, StartJob):
                self._next_job = command
        return view


def _failure(what: str, error: Exception) -> JobFailed:
    if isinstance(error, PathsegError):
        return JobFailed(str(error))
    return JobFailed(
        f"{what} ended with an unexpected error ({type(error).__name__}: {error}).",
        "".join(traceback.format_exception(error)),
    )


def _unreadable(line: bytes, error: Exception) -> Event:
    """Return the answer to a line that is no command: a failure if it asked for a job, as the sender waits for it."""
    if isinstance(error, MessageError) and (error.kind is None or not issubclass(error.kind, StartJob)):
        text = describe_unreadable(line, error)
        _logger.warning(text)
        return Note(text, warning=True)
    return _failure("A command", error)


def _compute_superpixels(command: ComputeSuperpixels) -> Event:
    try:
        return compute_superpixels(command)
    except Exception as error:  # the listener must go on
        failure = _failure("Superpixels", error)
        if failure.details:
            _logger.error(failure.details)
        return SuperpixelsFailed(command.number, failure.text)


def _silence() -> None:
    """Lead what libraries print nowhere: the window that read it has closed."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _warm_up() -> None:
    """Import the slow modules that the first training needs."""
    import napari_pathseg.engine.networks.smp
    import napari_pathseg.jobs.training
    import napari_pathseg.slides.readers.image_file
    import napari_pathseg.slides.readers.tiff  # noqa: F401


def _remove_what_a_killed_window_left(window: int) -> None:
    """Remove the temporary folders of the program that started this one, if it ends now."""
    until = time.monotonic() + _GONE_S
    while os.getppid() == window and time.monotonic() < until:
        time.sleep(_LOOK_S)
    remove_orphans()


def main() -> None:
    """Run the worker on the standard input and output of this process."""
    window = os.getppid()
    if hasattr(os, "nice"):
        os.nice(5)  # the window has priority: it leaves the worker 0.5 of its speed at niceness 5, 0.37 at 10
    events = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not reach the window
    worker = Worker(sys.stdin.buffer, events)  # starts to listen
    _warm_up()
    worker.run()
    _remove_what_a_killed_window_left(window)


if __name__ == "__main__":
    main()
