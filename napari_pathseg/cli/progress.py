"""How a job is followed on a terminal."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from napari_pathseg.engine.events import Event, Job, Stop

_Result = TypeVar("_Result")


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
            if line and (event.to_json()["event"] != "progress" or now - shown > 1):
                print(line, file=sys.stderr, flush=True)
                shown = now


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
            return f"{said['stage']}: {said['fraction']:.0%}, {said['seconds_left']:.0f} s left{loss}"
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
