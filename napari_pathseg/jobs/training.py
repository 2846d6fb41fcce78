"""A training as every way to start one runs it: what happens is recorded in its run and in the annotation log."""

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.evaluation.before_after import before_after, choose_current
from napari_pathseg.engine.evaluation.prequential import prequential_scores
from napari_pathseg.engine.events import Event, Job, Note, Progress, Started, relay
from napari_pathseg.engine.training import training
from napari_pathseg.errors import ProjectError
from napari_pathseg.jobs.run_log import record_run
from napari_pathseg.projects.annotation_log import count_lines, log_begun, log_learnt, log_scores
from napari_pathseg.projects.project import Project


def train(
    project: Project, config: TrainConfig | None = None, parent: str | None = "latest", *, resume: str | None = None
) -> Job[Bundle]:
    """Fine-tune a network on the human-confirmed labels of a project, and make the better model the current one.

    The parameters, the job and the errors are those of `engine.training.training.train`.  The new model becomes the
    project's current one unless it is worse by more than noise than the model before it, which a note says then.
    """
    bundle = yield from record_training(project, config, parent, resume=resume)
    try:
        project.reload()  # the training took its time
        compared = choose_current(project, bundle)
    except ProjectError as error:  # the model is there all the same
        yield Note(f"{bundle.id} is kept, but which model is current was not saved: {error}", warning=True)
    else:
        if compared is not None and compared.worse:
            yield Note(compared.warning, warning=True)
    return bundle


def record_training(
    project: Project, config: TrainConfig | None = None, parent: str | None = "latest", *, resume: str | None = None
) -> Job[Bundle]:
    """Fine-tune a network as :func:`train` does, and record the run; which model is current does not change.

    The events are written to ``runs/rNNN/events.jsonl``, the state to ``status.json`` beside it.  The annotation log
    hears how the current model did on the labels that are new, when they begin to be learnt, and what that brought.
    """
    current, lines = project.current_model, count_lines(project)
    scores, model, begun = prequential_scores(project, current) if current else {}, "", False

    def begin() -> None:
        nonlocal begun
        if not begun:
            log_scores(project, scores)
            log_begun(project, model, lines)
        begun = True

    def note(event: Event) -> None:
        nonlocal model
        if isinstance(event, Started):
            model = event.model
        elif isinstance(event, Progress) and event.step:  # one that is stopped before its first step leaves nothing
            begin()

    job = record_run(training.train(project, config, parent, resume=resume), project)
    bundle = yield from relay(job, note)
    begin()
    compared = before_after(project, bundle)
    gain = 0.0 if bundle.is_copy else None if compared is None else compared.mean
    log_learnt(project, bundle.id, bundle.mean_dice, gain)
    return bundle
