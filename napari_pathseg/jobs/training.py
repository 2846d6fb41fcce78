"""A training as every way to start one runs it: what happens is recorded in its run and in the annotation log."""

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.evaluation.before_after import before_after
from napari_pathseg.engine.evaluation.prequential import prequential_scores
from napari_pathseg.engine.events import Event, Job, Started, relay
from napari_pathseg.engine.training import training
from napari_pathseg.jobs.run_log import record_run
from napari_pathseg.projects.annotation_log import log_begun, log_learnt, log_scores
from napari_pathseg.projects.project import Project


def train(
    project: Project, config: TrainConfig | None = None, parent: str | None = "latest", *, resume: str | None = None
) -> Job[Bundle]:
    """Fine-tune a network on the human-confirmed labels of a project, and record the run.

    The parameters, the job and the errors are those of `engine.training.training.train`; the events are written to
    ``runs/rNNN/events.jsonl``, the state to ``status.json`` beside it.  The annotation log hears how the current model
    did on the labels that are new, when they begin to be learnt, and what that brought.
    """
    current = project.current_model
    scores = prequential_scores(project, current) if current else {}

    def begin(event: Event) -> None:
        if isinstance(event, Started):
            log_scores(project, scores)
            log_begun(project, event.model)

    job = record_run(training.train(project, config, parent, resume=resume), project)
    bundle = yield from relay(job, begin)
    compared = before_after(project, bundle)
    gain = 0.0 if bundle.is_copy else None if compared is None else compared.mean
    log_learnt(project, bundle.id, bundle.mean_dice, gain)
    return bundle
