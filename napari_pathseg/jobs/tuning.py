"""Hyperparameter tuning: trainings with different settings, ranked by their scores.

Each trial is a whole training with its own run and model, recorded like any other.  The trials
of a tuning are saved in ``runs/tune-NAME/study.json`` and, as a table, in ``table.csv`` next to it.
Both are rewritten after each change, so that a killed tuning can be resumed.
"""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from napari_pathseg.config import TrainConfig
from napari_pathseg.engine.bundle import Bundle, check_classes, find_bundle, load_bundle, make_newest
from napari_pathseg.engine.events import Command, Event, Job, Note, RequestPreview, Started, Stop, Trial, relay
from napari_pathseg.engine.search_space import Settings, TuneRequest
from napari_pathseg.engine.training.tensorboard import check_tensorboard, log_trial
from napari_pathseg.errors import ConfigError, PathsegError, ProjectError
from napari_pathseg.jobs.training import record_training
from napari_pathseg.projects.checks.trainability import assign_train_val_split
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import load_json, replace_file, save_json
from napari_pathseg.storage.json_schema import Count, Fraction, SchemaError, conform
from napari_pathseg.storage.lock import ProjectLock

RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"
_FILE = "study.json"
_FolderName = Annotated[str, Meta(pattern=r"^\w*$")]  # of a run or a model, or none


@dataclass
class TrialRecord:
    """A trial of a tuning: its settings, state and result."""

    settings: Settings
    state: str = RUNNING
    run: _FolderName = ""
    model: _FolderName = ""
    score: Fraction | None = None
    steps: Count = 0
    seconds: float = 0.0
    problem: str = ""

    def end(self, bundle: Bundle, state: str = FINISHED) -> None:
        """Record the model that was trained."""
        self.state, self.model, self.run = state, bundle.id, bundle.run
        self.score, self.steps, self.seconds = bundle.mean_dice, bundle.steps, round(bundle.seconds, 2)

    def fail(self, problem: str) -> None:
        """Record the reason why the training failed."""
        self.state, self.problem = FAILED, problem


class _StoredStudy(TypedDict):
    shared: dict[str, Any]
    trials: list[TrialRecord]


@dataclass(frozen=True)
class TuneResult:
    """The trials of the tuning `name`, best first."""

    name: str
    trials: list[TrialRecord] = field(default_factory=list)

    @property
    def best(self) -> TrialRecord | None:
        """The finished trial with the highest score, or the best stopped one; None if no trial has a score."""
        return self.trials[0] if self.trials and self.trials[0].score is not None else None

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "name": self.name,
            "best": asdict(self.best) if self.best is not None else None,
            "trials": [asdict(trial) for trial in self.trials],
        }


def tune(project: Project, request: TuneRequest) -> Job[TuneResult]:
    """Train once with each combination of settings that `request` describes.

    Repeating a request resumes its tuning: finished trials are kept, an interrupted one is resumed,
    and failed or stopped ones start again.  If a trial fails with a `PathsegError`, the error is
    recorded and the next trial starts.

    Returns
    -------
    job
        A generator of the trainings' events, with a `Trial` before and after each training.  It accepts
        `Stop` and `RequestPreview`, and returns the started trials, best first.  At the end, the best
        model becomes the newest of the project, if necessary by copying it.

    Raises
    ------
    PathsegError
        The errors of `engine.training.train`, before the first trial or if all trials failed, and those
        of `open_study`.
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
            best, newest = result.best.model, make_newest(project, result.best.model)
            if newest != best:
                yield Note(f"{best} is the best of the trials; its copy {newest} is now the newest model.")
        return result


class _Tuning:
    """Runs the trials of a tuning and remembers the commands it received."""

    def __init__(self, project: Project, study: "Study") -> None:
        self._project, self._study = project, study
        self.failure: PathsegError | None = None
        self.stopped = False
        self._preview: RequestPreview | None = None  # repeated to each new training

    def run(self, trial: TrialRecord) -> Job[None]:
        """Train with a trial's settings and record the result."""
        number = self._study.trials.index(trial) + 1
        self._handle_command((yield self._event(number, trial)))
        if self.stopped:
            return
        try:
            bundle = yield from self._train(trial)
        except PathsegError as error:
            if self.stopped:  # before the first step, so there is neither a run nor a model
                trial.state, trial.run, trial.model = STOPPED, "", ""
            else:
                self.failure = error
                trial.fail(str(error))
        else:
            trial.end(bundle, STOPPED if self.stopped else FINISHED)
        self._study.save()
        if trial.state == FINISHED and self._study.request.config.tensorboard and trial.score is not None:
            log_trial(self._study.folder / "tensorboard", trial.model, trial.settings, trial.score)
        self._handle_command((yield self._event(number, trial)))

    def _train(self, trial: TrialRecord) -> Job[Bundle]:
        def on_event(event: Event) -> None:
            if isinstance(event, Started):
                trial.run, trial.model = event.run, event.model
                self._study.save()

        def on_command(event: Event, command: Command | None) -> Command | None:
            self._handle_command(command)
            if isinstance(event, Started):  # commands to earlier trials apply to this one as well
                return Stop() if self.stopped else self._preview
            return command

        request = self._study.request
        config = request.config.replace(**trial.settings, last_pass=False)  # trials are compared by what is held out
        job = record_training(self._project, config, request.parent, resume=trial.run or None)
        return (yield from relay(job, on_event, on_command))

    def _handle_command(self, command: Command | None) -> None:
        if isinstance(command, Stop):
            self.stopped = True
        elif isinstance(command, RequestPreview):
            self._preview = command

    def _event(self, number: int, trial: TrialRecord) -> Trial:
        return Trial(number, self._study.planned, trial.model, trial.settings, trial.score, trial.problem)


class Study:
    """The trials of a tuning on disk, in the order in which they started."""

    def __init__(self, project: Project, folder: Path, request: TuneRequest) -> None:
        self.request, self.folder, self._project = request, folder, project
        self.trials: list[TrialRecord] = []
        if (folder / _FILE).exists():
            self._load()

    def next_trial(self) -> TrialRecord | None:
        """Return the interrupted trial, or a new one; None if all are done."""
        for trial in self.trials:
            if trial.state == RUNNING:
                return trial
        tried, scores = [trial.settings for trial in self.trials], [trial.score for trial in self.trials]
        settings = self.request.next_settings(tried, scores)
        if settings is None:
            return None
        self.trials.append(TrialRecord(settings))
        return self.trials[-1]

    @property
    def planned(self) -> int:
        """The number of trials, including those not started yet."""
        return len(self.trials) + self.request.remaining([trial.settings for trial in self.trials])

    def result(self) -> TuneResult:
        """Return the started trials, best first; stopped ones come after all finished ones."""
        started = [trial for trial in self.trials if trial.run or trial.state != RUNNING]
        ranked = sorted(
            started, key=lambda t: (t.state == FINISHED, -1.0 if t.score is None else t.score), reverse=True
        )
        return TuneResult(self.folder.name.removeprefix("tune-"), ranked)

    def save(self) -> None:
        """Write the trials and their table to disk."""
        trials = [asdict(trial) for trial in self.trials]
        save_json(self.folder / _FILE, {"shared": self.request.shared, "trials": trials})
        with (
            replace_file(self.folder / "table.csv") as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            csv.writer(file).writerows(table(self.result(), self.request.fields))

    def _load(self) -> None:
        path = self.folder / _FILE
        content = load_json(path)
        try:
            stored = conform(content, _StoredStudy)
            settings, trials = stored["shared"], stored["trials"]
            varied = dict.fromkeys(conform(settings.get("varied"), list[str]))
        except SchemaError as error:
            raise ProjectError(f"{path} is damaged: {error}. Delete it, or give the tuning another name.") from error
        shared = {**TrainConfig.renamed(settings), "varied": sorted(TrainConfig.renamed(varied))}
        for name, value in self.request.shared.items():
            if name in shared and shared[name] != value:
                raise ConfigError(
                    f"{name} is {value!r}; the tuning {self.request.name} was started with {shared[name]!r}. "
                    "Give it another name, or the same settings."
                )
        self.trials = [trial for trial in trials if trial.state in (RUNNING, FINISHED)]
        for trial in self.trials:
            trial.settings = TrainConfig.renamed(trial.settings)
            if trial.state == RUNNING:
                self._recover(trial)

    def _recover(self, trial: TrialRecord) -> None:
        """Update a trial whose process was killed: unstarted, trained, or to be resumed."""
        if not trial.run or not (self._project.folder / "runs" / trial.run / "config.json").exists():
            trial.run = trial.model = ""
            return
        model = self._project.folder / "models" / trial.model
        if (model / "bundle.json").exists() and (bundle := load_bundle(model)).finished:
            trial.end(bundle)


@contextmanager
def open_study(project: Project, request: TuneRequest) -> Iterator[Study]:
    """Open or create the study of a tuning; failed and stopped trials are removed, so that they restart.

    Raises
    ------
    ProjectError
        If another process has opened it, it cannot be read or written, or a link in the project leads out of it.
    ConfigError
        If the settings that all trials share differ from those in the study.
    """
    project.check_links()
    folder, legacy = (project.folder / "runs" / f"tune-{name}" for name in (request.name, request.legacy_name))
    if legacy.exists():
        folder = legacy
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProjectError(
            f"{folder} could not be created ({error.strerror}). Allow writing to the project."
        ) from error
    lock = ProjectLock(folder)
    lock.acquire()
    try:
        yield Study(project, folder, request)
    finally:
        lock.release()


def table(result: TuneResult, fields: list[str]) -> list[list[Any]]:
    """Return the rows of a result's table, with the header first; *steps* are those made, not the varied setting."""
    varied = ["setting steps" if name == "steps" else name for name in fields]
    header: list[Any] = ["model", "score", "steps", "seconds", *varied, "state", "problem"]
    rows = [
        [t.model, t.score, t.steps, t.seconds, *(t.settings[name] for name in fields), t.state, t.problem]
        for t in result.trials
    ]
    return [header, *rows]
