"""A training as every way to start one runs it: its events and its state are recorded in the run's folder."""

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.events import Job
from napari_pathseg.engine.training import training
from napari_pathseg.jobs.run_log import record_run
from napari_pathseg.projects.project import Project


def train(
    project: Project, config: TrainConfig | None = None, parent: str | None = "latest", *, resume: str | None = None
) -> Job[Bundle]:
    """Fine-tune a network on the human-confirmed labels of a project, and record the run.

    The parameters, the job and the errors are those of `engine.training.training.train`; the events are written to
    ``runs/rNNN/events.jsonl``, the state to ``status.json`` beside it.
    """
    return (yield from record_run(training.train(project, config, parent, resume=resume), project))
