"""How a job is followed on a terminal."""

import sys
import time
from typing import TypeVar

from napari_pathseg.engine.events import Event, Job, Stop

_Result = TypeVar("_Result")


def follow(job: Job[_Result]) -> _Result:
    """Run a job to its end with a line of progress on stderr; Ctrl+C stops it and keeps what was won."""
    command = None
    shown = 0.0
    while True:
        try:
            event = job.send(command)
            command = None
            if (line := _line(event)) and (event.to_json()["event"] != "progress" or time.monotonic() - shown > 1):
                print(line, file=sys.stderr, flush=True)
                shown = time.monotonic()
        except StopIteration as end:
            result: _Result = end.value
            return result
        except KeyboardInterrupt:
            command = Stop()


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
        case "started":
            return f"{said['model']} learns from {len(said['train'])} slides, {len(said['val'])} held out"
    return ""
