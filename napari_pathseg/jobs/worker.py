"""The worker process: takes commands as JSON lines, gives events as JSON lines.

The window starts one (``python -m napari_pathseg.jobs.worker``) and keeps it warm.  It may
be killed at any moment; what counts is on disk.  Commands are ``train``, ``predict``,
``tune``, ``score``, ``preview`` and, for a job that runs, ``show`` and ``stop``; the end of its
input ends it.  ``superpixels`` are no job: they are cut beside one, and while torch is still loading.
"""

import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.events import Command, Job, Show, Stop
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project

_Message = dict[str, Any]


class Worker:
    """Runs one job after another, listening meanwhile."""

    def __init__(self, said: TextIO, answers: TextIO) -> None:
        self._answers, self._speaking = answers, threading.Lock()
        self._inbox: queue.Queue[_Message | None] = queue.Queue()
        threading.Thread(target=self._listen, args=(said,), name="listener", daemon=True).start()

    def run(self) -> None:
        """Do what is asked until the input ends."""
        self._tell({"event": "ready"})
        while (message := self._inbox.get()) is not None:
            if message["command"] not in _JOBS:
                continue  # a stop that came after the end
            self._run_job(message)

    def _listen(self, said: TextIO) -> None:
        for line in said:
            message = json.loads(line)
            if message["command"] == "superpixels":
                self._tell({"event": "superpixels", "number": message["number"], **_superpixels(message)})
            else:
                self._inbox.put(message)
        self._inbox.put(None)

    def _tell(self, message: _Message) -> None:
        with self._speaking:
            self._answers.write(json.dumps(message) + "\n")
            self._answers.flush()

    def _run_job(self, message: _Message) -> None:
        name = message["command"]
        try:
            result = self._advance(_JOBS[name](message))
            self._tell({"event": "finished", "command": name, "result": result})
        except PathsegError as error:
            self._tell({"event": "failed", "command": name, "text": str(error), "details": ""})
        except Exception as error:  # the window shows a bug and goes on
            text = f"{name.capitalize()} ended with an unexpected error ({type(error).__name__}: {error})."
            self._tell({"event": "failed", "command": name, "text": text, "details": traceback.format_exc()})

    def _advance(self, job: Job[Any]) -> Any:
        command: Command | None = None
        while True:
            try:
                self._tell(job.send(command).to_json())
            except StopIteration as end:
                return end.value
            command = self._next_command()

    def _next_command(self) -> Command | None:
        """Return what was said to the job since it was asked last, if anything."""
        with contextlib.suppress(queue.Empty):
            message = self._inbox.get_nowait()
            if message is None:
                self._inbox.put(None)
                return Stop()
            if message["command"] == "stop":
                return Stop()
            if message["command"] == "show":
                return _show(message)
        return None


def _show(message: _Message) -> Show:
    return Show(message["slide"], Region(*message["region"]))


def _train(message: _Message) -> Job[_Message]:
    from napari_pathseg.engine.training.training import train
    from napari_pathseg.jobs.run_log import recorded

    project = Project.open(message["project"])
    config = TrainConfig.from_json(message["config"])
    job = train(project, config, message["parent"], resume=message.get("resume"))
    bundle = yield from recorded(job, project)
    return asdict(bundle)


def _tune(message: _Message) -> Job[_Message]:
    from napari_pathseg.engine.search_space import TuneRequest
    from napari_pathseg.jobs.tuning import tune

    config = TrainConfig.from_json(message["config"])
    others = {name: message[name] for name in ("trials", "search", "name", "parent") if name in message}
    request = TuneRequest.read(message["vary"], config, **others)
    result = yield from tune(Project.open(message["project"]), request)
    return result.to_json()


def _predict(message: _Message) -> Job[_Message]:
    from napari_pathseg.engine.inference.predict import predict

    project = Project.open(message["project"])
    region = Region(*message["region"]) if message.get("region") else None
    config = PredictConfig.from_json(message.get("config", {}))
    done = yield from predict(project, config, message["model"], slides=message["slides"], region=region)
    return {"model": message["model"], "slides": [slide.slide for slide in done], "region": message.get("region")}


def _score(message: _Message) -> Job[_Message]:
    from napari_pathseg.engine.evaluation.evaluation import score_job

    return score_job(Project.open(message["project"]), message["role"], message["model"])


def _preview(message: _Message) -> Job[_Message]:
    from napari_pathseg.jobs.preview import preview_job

    return preview_job(Project.open(message["project"]), TrainConfig.from_json(message["config"]), message["seed"])


def _superpixels(message: _Message) -> _Message:
    """Return what came of cutting superpixels; `text` says what went wrong."""
    from napari_pathseg.jobs.superpixels import cut

    try:
        return {"text": "", **cut(message)}
    except PathsegError as error:
        return {"text": str(error)}
    except Exception as error:  # whoever listens to the window must not end
        return {"text": f"Superpixels ended with an unexpected error ({type(error).__name__}: {error})."}


_JOBS: dict[str, Callable[[_Message], Job[_Message]]] = {
    "train": _train,
    "tune": _tune,
    "predict": _predict,
    "score": _score,
    "preview": _preview,
}


def _warm_up() -> None:
    """Load what a first training would wait for."""
    import napari_pathseg.engine.training.training  # noqa: F401


def main() -> None:
    """Serve the process that started this one."""
    if hasattr(os, "nice"):
        os.nice(5)  # the window comes first; 10 left the worker 0.37 of its rate beside it, 5 leaves 0.5
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print is no answer
    worker = Worker(sys.stdin, answers)  # which listens from now on
    _warm_up()
    worker.run()


if __name__ == "__main__":
    main()
