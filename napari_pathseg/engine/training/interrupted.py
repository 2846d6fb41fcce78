"""Which run of a project was interrupted; readable without torch."""

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

_SILENCE = 600  # seconds without a word after which a run on another computer counts as interrupted


def find_resumable_run(project: Project, run_id: str = "") -> Path:
    """Return the folder of a run that did not end, the newest where none is named.

    Raises
    ------
    ProjectError
        If there is none, or it still runs.
    """
    runs = [path for path in sorted((project.folder / "runs").glob("r*"), reverse=True) if _interrupted(project, path)]
    if run_id:
        runs = [path for path in runs if path.name == run_id]
    if not runs:
        what = f"run {run_id}" if run_id else "training"
        raise ProjectError(f"{project.folder.name} has no {what} that was interrupted. Train without resuming.")
    status = load_json(runs[0] / "status.json") if (runs[0] / "status.json").exists() else {}
    if status.get("state") == "running" and _lives(status, runs[0]):
        where = f"process {status['pid']} of {status.get('host', platform.node())}"
        raise ProjectError(f"{runs[0].name} still runs in {where}. Wait for it, or end it first.")
    return runs[0]


def _interrupted(project: Project, run: Path) -> bool:
    if not re.fullmatch(r"r\d+", run.name) or not (run / "config.json").exists():
        return False
    model = project.folder / "models" / run.name.replace("r", "m", 1)
    return not (model / "bundle.json").exists() or not load_bundle(model).finished


def _lives(status: dict[str, Any], run: Path) -> bool:
    """Whether a run's process is still there; on another computer, whether it said something lately."""
    if status.get("host", platform.node()) != platform.node():
        events = run / "events.jsonl"
        return events.exists() and time.time() - events.stat().st_mtime < _SILENCE
    pid = status.get("pid")
    try:
        return isinstance(pid, int) and psutil.Process(pid).create_time() <= status.get("time", 0)
    except psutil.Error:
        return False
