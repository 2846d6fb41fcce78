"""The trainings of a project: what state each is in, and which of them can be resumed.  It needs no torch."""

import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

import psutil

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.json_schema import load_record

_TIMEOUT_S = 600  # without a new event, after which a run on another computer counts as interrupted


class _Status(TypedDict):
    state: str
    pid: int
    time: float
    host: NotRequired[str]


@dataclass(frozen=True)
class StartedRun:
    """A training that was started.

    Attributes
    ----------
    folder
        Its folder, named after it.
    state
        Whether it goes on, ended, was stopped with its best model kept, or was killed or failed, so that it can be
        resumed.
    model
        The model that it has trained so far, if that is still listed.
    """

    folder: Path
    state: Literal["running", "finished", "stopped", "interrupted"]
    model: str | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.folder.name


def started_runs(project: Project) -> list[StartedRun]:
    """Return all trainings, newest first."""
    models = project.model_ids()
    runs = []
    for folder in _started_runs(project):
        status, model = _status_of(folder), _model_of(project, folder).name
        state: Literal["running", "finished", "stopped", "interrupted"] = "interrupted"
        if status is not None and status["state"] == "running" and _is_running(status, folder):
            state = "running"
        elif model in project.state.removed_models or not _is_unfinished(project, folder):
            state = "stopped" if status is not None and status["state"] == "stopped" else "finished"
        runs.append(StartedRun(folder, state, model if model in models else None))
    return runs


def find_resumable_run(project: Project, run_id: str = "") -> Path:
    """Return the folder of an interrupted run; "" is the newest.

    Raises
    ------
    ProjectError
        If no run was interrupted, or the run is still going.
    """
    started = _started_runs(project)
    removed = project.state.removed_models
    runs = [r for r in started if _is_unfinished(project, r) and _model_of(project, r).name not in removed]
    if run_id:
        runs = [path for path in runs if path.name == run_id]
    if not runs:
        raise ProjectError(_nothing_to_resume(project, started, run_id))
    status = _status_of(runs[0])
    if status is not None and status["state"] == "running" and _is_running(status, runs[0]):
        where = f"process {status['pid']} of {status.get('host', platform.node())}"
        raise ProjectError(f"{runs[0].name} is still running in {where}. Wait for it, or stop it first.")
    return runs[0]


def _started_runs(project: Project) -> list[Path]:
    """Return the folders of all trainings, newest first."""
    runs = sorted((project.folder / "runs").glob("r*"), reverse=True)
    return [run for run in runs if re.fullmatch(r"r\d+", run.name) and (run / "config.json").exists()]


def _is_unfinished(project: Project, run: Path) -> bool:
    model = _model_of(project, run)
    if not (model / "bundle.json").exists():  # it has none yet, or it was removed
        return _state_of(run) != "finished"
    return not load_bundle(model).finished


def _model_of(project: Project, run: Path) -> Path:
    return project.folder / "models" / run.name.replace("r", "m", 1)


def _nothing_to_resume(project: Project, started: list[Path], run_id: str) -> str:
    """Return why there is no run to resume, and what to do instead."""
    ended = next((run for run in started if run_id in ("", run.name)), None)
    if ended is None:
        what = f"run {run_id}" if run_id else "training"
        return f"{project.folder.name} has no {what} yet, so there is nothing to resume. Train without resuming."
    model = _model_of(project, ended)
    how = "was stopped and kept its best model" if _state_of(ended) == "stopped" else "ended with its model"
    result = f"{how}, {model.name}" if (model / "bundle.json").exists() else "ended, and its model was removed"
    current = project.current_model
    return (
        f"{project.folder.name} has no interrupted training to resume: {ended.name} {result}. Only a training that was "
        f"killed can be resumed. Train without resuming{f', which goes on from {current}' if current else ''}."
    )


def _status_of(run: Path) -> _Status | None:
    path = run / "status.json"
    if not path.exists():
        return None
    return load_record(path, _Status, "Delete it; the run counts as interrupted then.")


def _state_of(run: Path) -> str:
    status = _status_of(run)
    return "" if status is None else status["state"]


def _is_running(status: _Status, run: Path) -> bool:
    """Return whether a run's process exists; on another computer, whether its last event is recent."""
    if status.get("host", platform.node()) != platform.node():
        events = run / "events.jsonl"
        return events.exists() and time.time() - events.stat().st_mtime < _TIMEOUT_S
    try:
        return psutil.Process(status["pid"]).create_time() <= status["time"]
    except (psutil.Error, ValueError, OverflowError):  # no such process, or no number of one
        return False
