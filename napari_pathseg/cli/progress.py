"""How a job is followed on a terminal."""

import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from napari_pathseg.engine.events import Event, Job, Note, Progress, Started, Stop, Trial, Validated

if TYPE_CHECKING:
    from napari_pathseg.projects.relink import Search

_Result = TypeVar("_Result")
_LAST = "Scoring"  # the stage after a training, which takes as long as it takes
_LEAST = 1.0  # seconds between lines of a job
_PAUSE = 5.0  # seconds between lines of a search


def follow(job: Job[_Result]) -> _Result:
    """Run a job to its end with lines of progress on stderr.

    Ctrl+C stops it at its next event and keeps what was won; a second one ends it at once.
    """
    shown = 0.0
    with _interrupts() as interrupts:
        command = None
        while True:
            try:
                event = job.send(command)
            except StopIteration as end:
                result: _Result = end.value
                return result
            command = Stop() if interrupts else None
            line, now = _line(event), time.monotonic()
            if line and (not isinstance(event, Progress) or now - shown > _LEAST):
                print(line, file=sys.stderr, flush=True)
                shown = now


def look(search: Generator["Search", None, dict[str, Path]]) -> dict[str, Path]:
    """Run a search for moved files to its end with a line on stderr now and then; return what it found."""
    shown = time.monotonic()
    while True:
        try:
            here = next(search)
        except StopIteration as end:
            found: dict[str, Path] = end.value
            return found
        if time.monotonic() - shown > _PAUSE:
            shown = time.monotonic()
            found_of = f"{len(here.paths)} of {here.missing} found"
            print(f"Looking in {here.folder}: {here.files:,} files, {found_of}", file=sys.stderr, flush=True)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Collect the first Ctrl+C inside the block instead of raising it."""
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
            done = "" if event.stage == _LAST else f"{event.fraction:.0%}"
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
