"""Progress of jobs on a terminal."""

import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_pathseg.engine.events import Event, Job, Note, Progress, Started, Stop, Trial, Validated, run

if TYPE_CHECKING:
    from napari_pathseg.projects.relink import Search

_Result = TypeVar("_Result")
_SCORING = "Scoring"  # the stage after training, whose duration is not known
_MIN_INTERVAL_S = 1.0  # between progress lines of a job
_SEARCH_INTERVAL_S = 5.0  # between progress lines of a search


def follow(job: Job[_Result]) -> _Result:
    """Run a job to its end and print its progress to stderr.

    The first Ctrl+C stops it at its next event and keeps its results so far; the second one aborts it.
    """
    last_printed = 0.0

    def show(event: Event) -> Stop | None:
        nonlocal last_printed
        line, now = _line(event), time.monotonic()
        if line and (not isinstance(event, Progress) or now - last_printed > _MIN_INTERVAL_S):
            print(line, file=sys.stderr, flush=True)
            last_printed = now
        return Stop() if interrupts else None

    with _interrupts() as interrupts:
        return run(job, show)


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
            print(f"Searching {progress.folder}: {progress.files:,} files, {count}", file=sys.stderr, flush=True)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect the first Ctrl+C inside the block; raise KeyboardInterrupt only for the second."""
    seen: list[int] = []

    def note(number: int, _: object) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(number)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _line(event: Event) -> str:
    match event:
        case Progress():
            loss = "" if event.loss is None else f", loss {event.loss:.3f}"
            done = "" if event.stage == _SCORING else f"{event.fraction:.0%}"
            return f"{event.stage}: {', '.join(part for part in (done, _time(event)) if part)}{loss}"
        case Validated():
            dice = ", ".join(f"{name} {value:.3f}" for name, value in event.dice.items())
            return f"After {event.seconds:.0f} s on held-out slides: Dice {dice}{' (best)' if event.best else ''}"
        case Note():
            return event.text
        case Trial():
            settings = ", ".join(f"{name} {value}" for name, value in event.settings.items())
            outcome = event.problem if event.score is None else f"Dice {event.score:.3f}"
            return f"Trial {event.number} of {event.of}, {settings}{': ' if outcome else ''}{outcome}"
        case Started():
            return f"{event.model} learns from {len(event.train)} slides, {len(event.val)} held out"
    return ""


def _time(progress: Progress) -> str:
    """Return how long a job still takes or, where that is unknown, how long it has taken."""
    if round(progress.seconds_left) > 0:
        return f"{_span(progress.seconds_left)} left"
    return "" if progress.seconds is None else f"{_span(progress.seconds)} so far"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
