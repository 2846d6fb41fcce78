"""Write the events of a training to ``events.jsonl`` and its state to ``status.json`` in the run's folder."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any, TypeVar

from napari_pathseg.engine.events import Command, Event, Job, Started, Stop, relay
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json

_Result = TypeVar("_Result")


def record_run(job: Job[_Result], project: Project) -> Job[_Result]:
    """Run a training and write its events and state to its folder in ``runs/``."""
    folder: Path | None = None
    stopped = False

    def note_command(_: Event, command: Command | None) -> Command | None:
        nonlocal stopped
        stopped |= isinstance(command, Stop)
        return command

    def record(event: Event) -> None:
        nonlocal folder
        if isinstance(event, Started):
            folder = project.folder / "runs" / event.run
            _save_status(folder, "running")
        if folder is not None:
            _append(folder / "events.jsonl", {"time": round(time.time(), 2), **event.to_json()})

    try:
        result = yield from relay(job, record, note_command)
    except BaseException as error:  # including GeneratorExit, if the caller closes the job
        _save_status(folder, "stopped" if stopped or isinstance(error, KeyboardInterrupt) else "failed")
        raise
    _save_status(folder, "stopped" if stopped else "finished")
    return result


def _append(path: Path, values: dict[str, Any]) -> None:
    """Add a line to the log of a run."""
    try:
        with path.open("a", encoding="utf8") as file:
            file.write(json.dumps(values) + "\n")
    except OSError as error:
        raise ProjectError(
            f"{path} could not be written ({error.strerror or error}); the training stopped. Free the disk or bring "
            "the project back, then resume it."
        ) from error


def _save_status(folder: Path | None, state: str) -> None:
    if folder is not None and folder.exists():  # a training that was stopped before its first step deletes it
        save_json(
            folder / "status.json", {"state": state, "pid": os.getpid(), "host": platform.node(), "time": time.time()}
        )
