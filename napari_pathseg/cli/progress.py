"""Print the progress of jobs on a terminal."""

import signal
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_pathseg.cli.terminal import say
from napari_pathseg.engine.events import Event, Job, Note, Progress, Started, Stop, Trial, Validated, run

if TYPE_CHECKING:
    from napari_pathseg.projects.relink import Search

_Result = TypeVar("_Result")
_MIN_INTERVAL_S = 1.0  # between progress lines of a job
_SEARCH_INTERVAL_S = 5.0  # between progress lines of a search, and of adding slides


class StopSignals:
    """The signals that ask a command to stop: Ctrl+C, and SIGTERM, which clusters send.

    The first one ends a job at its next event and keeps its results so far; outside a job, or the second time,
    it raises KeyboardInterrupt.

    Attributes
    ----------
    received
        The first signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._in_job = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals inside the block."""
        self.received = None
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def in_job(self) -> Iterator[None]:
        """Note that the block runs a job, which a signal ends gently."""
        self._in_job = True
        try:
            yield
        finally:
            self._in_job = False

    @property
    def exit_code(self) -> int:
        """The exit code of a command that was stopped, as shells expect it: 130 or 143; 0 if it was not."""
        return 0 if self.received is None else 128 + self.received

    def _note(self, number: int, _: object) -> None:
        again, self.received = self.received is not None, number
        if again or not self._in_job:
            raise KeyboardInterrupt


stop_signals = StopSignals()  # of this process; `main` handles them


def follow(job: Job[_Result]) -> _Result:
    """Run a job to its end and print its progress to stderr; see `StopSignals` for how it is stopped."""
    last_printed, last_line = 0.0, ""

    def show(event: Event) -> Stop | None:
        nonlocal last_printed, last_line
        line, now = _line(event), time.monotonic()
        soon = now - last_printed <= _MIN_INTERVAL_S or line == last_line
        if line and not (soon and isinstance(event, Progress)):
            say(line)
            last_printed, last_line = now, line
        return None if stop_signals.received is None else Stop(now=True)

    with stop_signals.in_job():
        return run(job, show)


def report_fraction(what: str) -> Callable[[float], bool]:
    """Return a function that prints the fraction that is done to stderr, now and then; it never cancels."""
    last_printed = time.monotonic()

    def report(fraction: float) -> bool:
        nonlocal last_printed
        if time.monotonic() - last_printed > _SEARCH_INTERVAL_S:
            last_printed = time.monotonic()
            say(f"{what}: {fraction:.0%}")
        return False

    return report


def follow_search(search: Generator["Search", None, dict[str, Path]]) -> dict[str, Path]:
    """Run a search for moved files to its end, print its progress to stderr, and return the files found."""
    last_printed = time.monotonic()
    while True:
        try:
            progress = next(search)
        except StopIteration as end:
            found: dict[str, Path] = end.value
            return found
        if time.monotonic() - last_printed > _SEARCH_INTERVAL_S:
            last_printed = time.monotonic()
            count = f"{len(progress.paths)} of {progress.missing} found"
            say(f"Searching {progress.folder}: {progress.files:,} files, {count}")


def _line(event: Event) -> str:
    match event:
        case Progress():
            loss = "" if event.loss is None else f", loss {event.loss:.3f}"
            parts = (f"{event.fraction:.0%}", _format_time(event))
            return f"{event.stage}: {', '.join(part for part in parts if part)}{loss}"
        case Validated():
            dice = ", ".join(f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in event.dice.items())
            where = "held-out slides"
            if event.tiles:
                where = f"{event.tiles} held-out tile{'' if event.tiles == 1 else 's'}"
            return f"After {event.seconds:.0f} s on {where}: Dice {dice}{' (best)' if event.best else ''}"
        case Note():
            return event.text
        case Trial():
            settings = ", ".join(f"{name} {value}" for name, value in event.settings.items())
            outcome = event.problem if event.score is None else f"Dice {event.score:.3f}"
            return f"Trial {event.number} of {event.of}, {settings}{': ' if outcome else ''}{outcome}"
        case Started():
            held_out = f"parts of {len(event.val)}" if event.parts else str(len(event.val))
            return f"{event.model} trains on {len(event.train)} slides, {held_out} held out"
    return ""


def _format_time(progress: Progress) -> str:
    """Return the remaining time of a job or, if that is unknown, the elapsed time."""
    if round(progress.seconds_left) > 0:
        return f"{_format_seconds(progress.seconds_left)} left"
    return "" if progress.seconds is None else f"{_format_seconds(progress.seconds)} so far"


def _format_seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
