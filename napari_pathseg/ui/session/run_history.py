"""A training of the past as the window shows it: its curves and its last patches, from what it said."""

import json
from dataclasses import replace
from pathlib import Path

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.job_state import Run

_MOST_STEPS = 1000  # of the curve of the loss; hours of them would take long to read
_TOLD = ("started", "progress", "validated", "examples")


def past_run(folder: Path) -> Run | None:
    """Return what a training told in its run's folder, or None where it told nothing."""
    try:
        lines = (folder / "events.jsonl").read_text(encoding="utf8").splitlines()
    except OSError:
        return None
    steps = sum('"progress"' in line for line in lines)
    every, number, run = steps // _MOST_STEPS + 1, 0, Run("train")
    for line in lines:
        if '"progress"' in line:
            number += 1
            if number % every:
                continue
        try:
            message = json.loads(line)
        except ValueError:  # the last line of a killed process
            continue
        if message["event"] in _TOLD:
            run = run.hear(message)
    if not run.losses and not run.dices:
        return None
    picture = folder / "examples.png"  # the project may have been moved since
    return replace(run, active=False, fraction=1.0, picture=str(picture) if picture.exists() else "")


def newest_lesson(project: Project) -> Run | None:
    """Return the training that made a project's newest model, as far as it is known."""
    models = project.model_ids()
    if not models:
        return None
    try:
        bundle = load_bundle(project.folder / "models" / models[-1])
    except PathsegError:  # who uses the model is told
        return None
    run = past_run(project.folder / "runs" / bundle.run)
    return None if run is None else replace(run, model=bundle.id)
