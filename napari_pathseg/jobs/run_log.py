"""Run folders: the events of a training in ``events.jsonl`` and its state in ``status.json``, for later readers."""

import json
import os
import platform
import time
from pathlib import Path
from typing import TypeVar

from napari_pathseg.engine.events import Event, Job, Started, relay
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json

_Result = TypeVar("_Result")


def record_run(job: Job[_Result], project: Project) -> Job[_Result]:
    """Run a training and write its events and its state to its folder below ``runs/``."""
    folder: Path | None = None

    def record(event: Event) -> None:
        nonlocal folder
        if isinstance(event, Started):
            folder = project.folder / "runs" / event.run
            _save_status(folder, "running")
        if folder is not None:
            line = json.dumps({"time": round(time.time(), 2), **event.to_json()})
            with (folder / "events.jsonl").open("a", encoding="utf8") as file:
                file.write(line + "\n")

    try:
        result = yield from relay(job, record)
    except BaseException:  # including GeneratorExit, when the caller drops the job
        _save_status(folder, "failed")
        raise
    _save_status(folder, "finished")
    return result


def _save_status(folder: Path | None, state: str) -> None:
    if folder is not None:
        save_json(
            folder / "status.json", {"state": state, "pid": os.getpid(), "host": platform.node(), "time": time.time()}
        )
