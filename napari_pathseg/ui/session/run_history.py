"""Rebuild the displayed state of a past training from its event log."""

from dataclasses import replace
from pathlib import Path

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import parse_event
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.job_state import JobKind, JobState

_MAX_STEPS = 1000  # points of the loss curve that are read; hours of steps would take long
_STEP = '"progress"'  # in the line of a step; looked for as text, since parsing all lines would take long


def load_run(folder: Path) -> JobState | None:
    """Return the state of the training that was logged in a run's folder, or None without any curve."""
    try:
        lines = (folder / "events.jsonl").read_text(encoding="utf8").splitlines()
    except OSError:
        return None
    steps = sum(_STEP in line for line in lines)
    every, number, run = steps // _MAX_STEPS + 1, 0, JobState(JobKind.TRAIN)
    for line in lines:
        if _STEP in line:
            number += 1
            if number % every:
                continue
        try:
            event = parse_event(line)
        except ValueError:  # the last line of a killed process
            continue
        if event is not None:
            run = run.after(event)
    if not run.losses and not run.dices:
        return None
    samples = folder / "examples.png"  # the project may have been moved since
    return replace(run, active=False, fraction=1.0, samples_path=str(samples) if samples.exists() else "")


def latest_training_run(project: Project) -> JobState | None:
    """Return the training that made a project's newest model, or None where it left no log."""
    models = project.model_ids()
    if not models:
        return None
    try:
        bundle = load_bundle(project.folder / "models" / models[-1])
    except PathsegError:  # reported where the model is used
        return None
    run = load_run(project.folder / "runs" / bundle.run)
    return None if run is None else replace(run, model=bundle.id)
