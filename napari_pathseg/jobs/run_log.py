"""Run folders: what a training said, as it said it, for who looks later or from elsewhere."""

import json
import os
import platform
import time
from pathlib import Path
from typing import TypeVar

from napari_pathseg.engine.events import Job, Started
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import save_json

_Result = TypeVar("_Result")


def recorded(job: Job[_Result], project: Project) -> Job[_Result]:
    """Run a training and write its events to ``runs/<id>/events.jsonl`` and its state to ``status``."""
    folder: Path | None = None
    command = None
    while True:
        try:
            event = job.send(command)
            if isinstance(event, Started):
                folder = project.folder / "runs" / event.run
                _note(folder, "running")
            if folder is not None:
                line = json.dumps({"time": round(time.time(), 2), **event.to_json()})
                with (folder / "events.jsonl").open("a", encoding="utf8") as file:
                    file.write(line + "\n")
            command = yield event
        except StopIteration as end:
            _note(folder, "finished")
            result: _Result = end.value
            return result
        except BaseException:  # also when who runs it goes away
            _note(folder, "failed")
            raise


def _note(folder: Path | None, state: str) -> None:
    if folder is not None:
        save_json(
            folder / "status.json", {"state": state, "pid": os.getpid(), "host": platform.node(), "time": time.time()}
        )
