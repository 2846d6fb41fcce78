"""Tuning: many trainings, each with other settings, and which of them scored highest.

Each trial is a whole training with a run and a model of its own, recorded like any other.
"""

from collections.abc import Iterator

from napari_pathseg.engine.bundle import Bundle, check_classes, find_bundle, load_bundle, make_newest
from napari_pathseg.engine.events import Command, Job, Note, RequestPreview, Started, Stop, Trial
from napari_pathseg.engine.search_space import TuneRequest
from napari_pathseg.engine.training.tensorboard import check_tensorboard, log_trial
from napari_pathseg.engine.training.training import train
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.run_log import recorded
from napari_pathseg.jobs.study import FINISHED, STOPPED, Study, TrialRecord, TuneResult, open_study
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.project import Project


def tune(project: Project, request: TuneRequest) -> Job[TuneResult]:
    """Train with each combination of settings that a request asks for.

    The same request again goes on where it stopped: finished trials stay, an interrupted one is
    resumed; those that failed or were stopped begin anew.  A trial that fails for a reason that
    a user can mend is noted, and the next begins.

    Returns
    -------
    job
        A generator of the trainings' events, with a `Trial` before and after each of them, that
        takes `Stop` and `RequestPreview` and returns the trials that began, best first.  In the end the
        best model is the newest of the project, as a copy where it was not.

    Raises
    ------
    PathsegError
        As `engine.training.train` does, before the first trial, or where all trials failed; as
        `open_study` does.
    """
    check_tensorboard(request.config)
    assign_train_val_split(project)
    if request.parent is not None:
        check_classes(project, load_bundle(find_bundle(project, request.parent)))
    with open_study(project, request) as study:
        tuning = _Tuning(project, study)
        while not tuning.stopped and (trial := study.next_trial()) is not None:
            yield from tuning.run(trial)
        result = study.result()
        if result.best is None and tuning.failure is not None:
            raise tuning.failure
        if result.best is not None:
            yield from _go_on_from(project, result.best.model)
        return result


def _go_on_from(project: Project, best: str) -> Iterator[Note]:
    """Let the best model be what is predicted with, and fine-tuned next."""
    newest = make_newest(project, best)
    if newest != best:
        yield Note(f"{newest} is {best}, the best of the trials, once more: the newest model is what is used next.")


class _Tuning:
    """A tuning under way: what is running, and what was said to it."""

    def __init__(self, project: Project, study: Study) -> None:
        self._project, self._study = project, study
        self.failure: PathsegError | None = None
        self.stopped = False
        self._show: RequestPreview | None = None  # each new training is told of it again

    def run(self, trial: TrialRecord) -> Job[None]:
        """Train with a trial's settings."""
        number = self._study.trials.index(trial) + 1
        self._heed((yield self._event(number, trial)))
        if self.stopped:
            return
        try:
            bundle = yield from self._train(trial)
        except PathsegError as error:
            self.failure = error
            trial.fail(str(error))
        else:
            trial.end(bundle, STOPPED if self.stopped else FINISHED)
        self._study.save()
        if trial.state == FINISHED and self._study.request.config.tensorboard and trial.score is not None:
            log_trial(self._study.folder / "tensorboard", trial.model, trial.settings, trial.score)
        self._heed((yield self._event(number, trial)))

    def _train(self, trial: TrialRecord) -> Job[Bundle]:
        request = self._study.request
        config = request.config.replace(**trial.settings)
        job = recorded(train(self._project, config, request.parent, resume=trial.run or None), self._project)
        command: Command | None = None
        while True:
            try:
                event = job.send(command)
            except StopIteration as end:
                bundle: Bundle = end.value
                return bundle
            if isinstance(event, Started):
                trial.run, trial.model = event.run, event.model
                self._study.save()
            command = yield event
            self._heed(command)
            if isinstance(event, Started):  # what was said before is for this training, too
                command = Stop() if self.stopped else self._show

    def _heed(self, command: Command | None) -> None:
        if isinstance(command, Stop):
            self.stopped = True
        elif isinstance(command, RequestPreview):
            self._show = command

    def _event(self, number: int, trial: TrialRecord) -> Trial:
        return Trial(number, self._study.planned, trial.model, trial.settings, trial.score, trial.problem)
