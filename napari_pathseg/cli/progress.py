"""How a job is followed on a terminal."""

import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_pathseg.engine.events import Event, Job, Stop

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
            if line and (event.to_json()["event"] != "progress" or now - shown > _LEAST):
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
    said = event.to_json()
    match said["event"]:
        case "progress":
            loss = "" if said["loss"] is None else f", loss {said['loss']:.3f}"
            done = "" if said["stage"] == _LAST else f"{said['fraction']:.0%}"
            return f"{said['stage']}: {', '.join(part for part in (done, _time(said)) if part)}{loss}"
        case "validated":
            dice = ", ".join(f"{name} {value:.3f}" for name, value in said["dice"].items())
            return f"After {said['seconds']:.0f} s on held-out slides: Dice {dice}{' (best)' if said['best'] else ''}"
        case "note":
            return str(said["text"])
        case "trial":
            settings = ", ".join(f"{name} {value}" for name, value in said["settings"].items())
            outcome = said["problem"] if said["score"] is None else f"Dice {said['score']:.3f}"
            return f"Trial {said['number']} of {said['of']}, {settings}{': ' if outcome else ''}{outcome}"
        case "started":
            return f"{said['model']} learns from {len(said['train'])} slides, {len(said['val'])} held out"
    return ""


def _time(said: dict[str, Any]) -> str:
    """Return how long a job goes on or, where that cannot be told, how long it has gone on."""
    left, passed = said["seconds_left"], said["seconds"]
    if round(left) > 0:
        return f"{_span(left)} left"
    return "" if passed is None else f"{_span(passed)} so far"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
