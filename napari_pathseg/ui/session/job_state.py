"""The state of a worker's job, as the window shows it: updated event by event, or rebuilt from the event log."""

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.events import Event, Progress, Started, Trial, Validated, ValidationSamplesReady
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import AugmentationSampled, JobFailed, JobFinished, TuningFinished, parse_event
from napari_pathseg.projects.project import Project

_MAX_POINTS = 2000  # of a curve; beyond it every second point is dropped, so that hours draw as fast as minutes
_MAX_LOGGED_STEPS = 1000  # read from a log; parsing hours of steps would take long
_STEP = '"progress"'  # found in the line of a step without parsing it

Points = tuple[tuple[float, float], ...]


class JobKind(Enum):
    """The kind of a job; the value names it for the user."""

    TRAIN = "Training"
    TUNE = "Finding settings"
    PREDICT = "Predicting"
    SCORE = "Scoring"
    PREVIEW = "Drawing the augmentation"


@dataclass(frozen=True)
class JobState:
    """A job of the worker: its kind, its progress, and the curves so far.

    Attributes
    ----------
    losses, dices, dices_by_class
        Points (seconds, value) of the training curves; `dices` are means over all classes but Background.
    rate
        The learning rate.
    fraction, seconds_left
        The progress from 0 to 1, and the estimated time left.
    model
        The model that it trains or uses; empty until known.
    samples_path, samples_count
        The PNG of validation or augmentation samples, and how often it was written.
    trials
        The trials so far, the running one last; the best first once the tuning has ended.
    waiting
        Models that are still to be scored.
    broken, error
        Whether it ended by an error or because the worker died; the error's text.
    """

    kind: JobKind
    minutes: float = 0.0
    active: bool = True
    stopping: bool = False
    stage: str = "Starting"
    fraction: float = 0.0
    seconds_left: float = 0.0
    model: str = ""
    has_best: bool = False
    losses: Points = ()
    dices: Points = ()
    dices_by_class: dict[str, Points] = field(default_factory=dict)
    dice_by_class: dict[str, float] = field(default_factory=dict)
    rate: float | None = None
    samples_path: str = ""
    samples_count: int = 0
    trials: tuple[Trial, ...] = ()
    waiting: list[str] = field(default_factory=list)
    broken: bool = False
    error: str = ""

    @property
    def kind_label(self) -> str:
        """The kind of job in words."""
        return self.kind.value

    @property
    def title(self) -> str:
        """The kind of job and its model, in words."""
        return f"{self.kind_label} {self.model}".strip()

    @property
    def trains(self) -> bool:
        """True if the job trains models."""
        return self.kind in (JobKind.TRAIN, JobKind.TUNE)

    def after(self, event: Event) -> "JobState":
        """Return the state after an event of the worker."""
        match event:
            case Started(model=model):
                return replace(self._without_curves() if self.kind == JobKind.TUNE else self, model=model)
            case Progress():
                return self._after_progress(event)
            case Validated():
                return self._after_validation(event)
            case ValidationSamplesReady(path=path):
                return replace(self, samples_path=path, samples_count=self.samples_count + 1)
            case Trial():
                return replace(self, trials=(*(t for t in self.trials if t.number != event.number), event))
            case JobFailed(text=text):
                return replace(self, active=False, broken=True, error=text)
            case JobFinished():
                return self._after_finish(event)
        return self

    def _without_curves(self) -> "JobState":
        """Return the state without the curves of the previous trial."""
        return replace(self, losses=(), dices=(), dices_by_class={}, dice_by_class={}, rate=None)

    def _after_progress(self, event: Progress) -> "JobState":
        losses = self.losses
        if event.loss is not None and event.seconds is not None:  # else no step was made yet
            losses = _append(losses, event.seconds, event.loss)
        fraction, left = event.fraction, event.seconds_left
        if self.trials:
            trial = self.trials[-1]
            fraction = (trial.number - 1 + fraction) / trial.of
            left += (trial.of - trial.number) * 60 * self.minutes
        return replace(
            self,
            stage=event.stage,
            fraction=fraction,
            seconds_left=left,
            losses=losses,
            rate=event.rate or self.rate,
        )

    def _after_validation(self, event: Validated) -> "JobState":
        before = self.dices_by_class
        return replace(
            self,
            has_best=True,
            dices=_append(self.dices, event.seconds, event.mean_dice),
            dices_by_class={
                name: _append(before.get(name, ()), event.seconds, value) for name, value in event.dice.items()
            },
            dice_by_class=event.dice,
        )

    def _after_finish(self, event: JobFinished) -> "JobState":
        finished = replace(self, active=False, fraction=1.0)
        match event:
            case TuningFinished(trials=trials):
                return replace(finished, trials=tuple(trials))
            case AugmentationSampled(path=path):
                return replace(finished, samples_path=path)
        return finished


def load_run(folder: Path) -> JobState | None:
    """Return the state of the training logged in a run's folder, or None if it has no curve."""
    try:
        lines = (folder / "events.jsonl").read_text(encoding="utf8").splitlines()
    except OSError:
        return None
    steps = sum(_STEP in line for line in lines)
    every, number, run = steps // _MAX_LOGGED_STEPS + 1, 0, JobState(JobKind.TRAIN)
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
    """Return the training of a project's newest model, or None if it left no log."""
    models = project.model_ids()
    if not models:
        return None
    try:
        bundle = load_bundle(project.folder / "models" / models[-1])
    except PathsegError:  # reported where the model is used
        return None
    run = load_run(project.folder / "runs" / bundle.run)
    return None if run is None else replace(run, model=bundle.id)


def _append(points: Points, seconds: float, value: float) -> Points:
    """Return the points with one more; beyond the maximum every second point is dropped."""
    longer = (*points, (seconds, value))
    return longer if len(longer) <= _MAX_POINTS else (*longer[:-1:2], longer[-1])
