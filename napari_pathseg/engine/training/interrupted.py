"""Find an interrupted run that can be resumed.  It needs no torch."""

import platform
import re
import time
from pathlib import Path
from typing import Any

import psutil

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import load_json

_TIMEOUT_S = 600  # without a new event, after which a run on another computer counts as interrupted


def find_resumable_run(project: Project, run_id: str = "") -> Path:
    """Return the folder of an interrupted run; "" is the newest.

    Raises
    ------
    ProjectError
        If no run was interrupted, or the run is still going.
    """
    runs = [
        path for path in sorted((project.folder / "runs").glob("r*"), reverse=True) if _is_unfinished(project, path)
    ]
    if run_id:
        runs = [path for path in runs if path.name == run_id]
    if not runs:
        what = f"run {run_id}" if run_id else "training"
        raise ProjectError(f"{project.folder.name} has no interrupted {what}. Train without resuming.")
    status = load_json(runs[0] / "status.json") if (runs[0] / "status.json").exists() else {}
    if status.get("state") == "running" and _is_running(status, runs[0]):
        where = f"process {status['pid']} of {status.get('host', platform.node())}"
        raise ProjectError(f"{runs[0].name} is still running in {where}. Wait for it, or stop it first.")
    return runs[0]


def _is_unfinished(project: Project, run: Path) -> bool:
    if not re.fullmatch(r"r\d+", run.name) or not (run / "config.json").exists():
        return False
    model = project.folder / "models" / run.name.replace("r", "m", 1)
    return not (model / "bundle.json").exists() or not load_bundle(model).finished


def _is_running(status: dict[str, Any], run: Path) -> bool:
    """Return whether a run's process exists; on another computer, whether its last event is recent."""
    if status.get("host", platform.node()) != platform.node():
        events = run / "events.jsonl"
        return events.exists() and time.time() - events.stat().st_mtime < _TIMEOUT_S
    pid = status.get("pid")
    try:
        return isinstance(pid, int) and psutil.Process(pid).create_time() <= status.get("time", 0)
    except psutil.Error:
        return False
