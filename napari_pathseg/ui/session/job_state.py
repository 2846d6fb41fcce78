"""The state of a worker's job, as the window shows it: updated event by event, or rebuilt from the event log."""

from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.events import (
    SCORING,
    Event,
    LiveCompared,
    Progress,
    SlideDone,
    Started,
    TileDone,
    Trial,
    Validated,
    ValidationSamplesReady,
)
from napari_pathseg.errors import PathsegError
from napari_pathseg.jobs.protocol import (
    AugmentationSampled,
    JobFailed,
    JobFinished,
    PredictionFinished,
    TrainingFinished,
    TuningFinished,
    parse_event,
)
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.regular_files import read_regular

_MAX_POINTS = 2000  # of a curve; beyond it every second point is dropped, so that hours draw as fast as minutes
_MAX_LOGGED_STEPS = 1000  # read from a log; parsing hours of steps would take long
_CURVES = ("losses", "validation_losses", "dices", "dices_by_class", "dice_by_class", "accuracies", "best_seconds")
_MAX_LOG_BYTES = 256 << 20
_STARTING = "Starting"  # the stage of a job that has reported none yet
_STEP = '"progress"'  # found in the line of a step without parsing it

Points = tuple[tuple[float, float], ...]


class JobKind(Enum):
    """The kind of a job; the value names it for the user."""

    TRAIN = "Training"
    TUNE = "Finding settings"
    PREDICT = "Predicting"
    SCORE = "Scoring"
    REPORT = "Writing the report of"
    EXPORT = "Exporting"
    PREVIEW = "Drawing the augmentation"
    PLACES = "Looking for places"


@dataclass(frozen=True)
class JobState:
    """A job of the worker: its kind, its progress, and the curves so far.

    Attributes
    ----------
    losses, validation_losses, dices, dices_by_class, accuracies
        Points (seconds, value) of the training curves; `dices` are means over the classes that occur, `accuracies`
        the fraction of held-out pixels that are classified correctly.
    best_seconds
        When the scores of the model that is kept were measured; None until then.
    scored_tiles, parts
        How many held-out tiles the latest scores cover, 0 if unknown; whether they are of slides that are learnt, too.
    live_dice, network_dice, live_leads
        The mean Dice of the live model and of the training on the same held-out tiles, None if unknown, and whether
        the live model still answers for the view: while it is kept, and once it is known to compare.
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
    seconds_per_trial
        How long a trial takes with the scoring of its model, estimated by the running one; 0 if unknown.
    waiting, slides
        Models that are still to be scored, and the slides that they are scored on, or that are predicted.
    view, gives_way
        Whether only what is on screen is predicted, and whether the job is stopped as soon as another one is started.
    slide, share, slides_done
        The slide that is being predicted, how much of what is asked of it is done, 0 to 1, and how many are done.
    stopped
        Whether a prediction ended before its end.
    number, gain, kept
        Of a round of a training that goes on by itself: its number, from 1, else 0; the gain in mean Dice on held-out
        slides, None until it is known or if nothing compares; and whether its model is kept.
    broken, error
        Whether it failed or the worker died, and the text of the error.
    """

    kind: JobKind
    minutes: float = 0.0
    active: bool = True
    stopping: bool = False
    stage: str = _STARTING
    fraction: float = 0.0
    seconds_left: float = 0.0
    seconds_per_trial: float = 0.0
    model: str = ""
    has_best: bool = False
    losses: Points = ()
    validation_losses: Points = ()
    accuracies: Points = ()
    dices: Points = ()
    dices_by_class: dict[str, Points] = field(default_factory=dict)
    dice_by_class: dict[str, float | None] = field(default_factory=dict)
    best_seconds: float | None = None
    scored_tiles: int = 0
    parts: bool = False
    live_dice: float | None = None
    network_dice: float | None = None
    live_leads: bool = False
    rate: float | None = None
    samples_path: str = ""
    samples_count: int = 0
    trials: tuple[Trial, ...] = ()
    waiting: list[str] = field(default_factory=list)
    slides: list[str] = field(default_factory=list)
    view: bool = False
    gives_way: bool = False
    slide: str = ""
    share: float = 0.0
    slides_done: int = 0
    stopped: bool = False
    number: int = 0
    gain: float | None = None
    kept: bool = True
    broken: bool = False
    error: str = ""

    @property
    def kind_label(self) -> str:
        """The kind of job in words."""
        return self.kind.value

    @property
    def title(self) -> str:
        """The kind of job and its model, in words."""
        if self.kind == JobKind.TUNE or not self.model:  # each trial is a model
            return self.kind_label
        if self.kind == JobKind.PREDICT:
            return f"{self.kind_label}{' the view' if self.view else ''} with {self.model}"
        return f"{self.kind_label} {self.model}"

    @property
    def trains(self) -> bool:
        """True if the job trains models."""
        return self.kind in (JobKind.TRAIN, JobKind.TUNE)

    @property
    def offers_live(self) -> bool:
        """True if a training has ended below the live model."""
        live, dice = self.live_dice, self.network_dice
        return not self.active and live is not None and dice is not None and dice < live

    def shown_score(self, points: Points) -> float | None:
        """Return the newest point of a curve of scores; once the job has ended, that of the model that is kept.

        None if the curve has no such point.
        """
        if self.active or self.best_seconds is None:
            return points[-1][1] if points else None
        return dict(points).get(self.best_seconds)

    def after(self, event: Event) -> "JobState":
        """Return the state after an event of the worker."""
        match event:
            case Started(model=model, parts=parts):
                state = self._without_curves() if self.kind == JobKind.TUNE else self
                return replace(state, model=model, parts=parts, stage=_STARTING, live_leads=False)
            case Progress():
                return self._after_progress(event)
            case Validated():
                return self._after_validation(event)
            case LiveCompared(live_dice=live_dice, dice=dice, leads=leads):
                return replace(self, live_dice=live_dice, network_dice=dice, live_leads=leads)
            case ValidationSamplesReady(path=path):
                return replace(self, samples_path=path, samples_count=self.samples_count + 1)
            case Trial():
                return replace(self, trials=(*(t for t in self.trials if t.number != event.number), event))
            case TileDone(slide=slide, share=share):
                return replace(self, slide=slide, share=share)
            case SlideDone():
                return replace(self, slides_done=self.slides_done + 1, share=0.0)
            case PredictionFinished(stopped=True):
                return replace(self, active=False, stopped=True)
            case JobFailed(text=text):
                return replace(self, active=False, broken=True, error=text)
            case JobFinished():
                return self._after_finish(event)
        return self

    def _without_curves(self) -> "JobState":
        """Return the state without the curves of the previous trial."""
        empty = JobState(self.kind)
        curves = {name: getattr(empty, name) for name in _CURVES}
        return replace(self, **curves, rate=None)

    def _after_progress(self, event: Progress) -> "JobState":
        losses = self.losses
        if event.loss is not None and event.seconds is not None:  # else no step was made yet
            losses = _append(losses, event.seconds, event.loss)
        fraction, left = event.fraction, event.seconds_left
        scoring_begins = event.stage == SCORING and self.stage != SCORING  # which can be stopped, too
        each = self.seconds_per_trial
        if self.trials:
            trial = self.trials[-1]
            fraction = (trial.number - 1 + fraction) / trial.of
            if event.seconds is not None:  # none while a model is scored
                each = max(60 * self.minutes, event.seconds + left)
            left += (trial.of - trial.number) * max(60 * self.minutes, each)
        return replace(
            self,
            stage=event.stage,
            stopping=self.stopping and not scoring_begins,
            fraction=fraction,
            seconds_left=left,
            seconds_per_trial=each,
            losses=losses,
            rate=event.rate or self.rate,
        )

    def _after_validation(self, event: Validated) -> "JobState":
        before, loss, accuracy = self.dices_by_class, event.validation_loss, event.accuracy
        return replace(
            self,
            has_best=True,
            validation_losses=_append_if_known(self.validation_losses, event.seconds, loss),
            accuracies=_append_if_known(self.accuracies, event.seconds, accuracy),
            dices=_append(self.dices, event.seconds, event.mean_dice),
            dices_by_class={
                name: _append_if_known(before.get(name, ()), event.seconds, value) for name, value in event.dice.items()
            },
            dice_by_class=event.dice,
            best_seconds=event.seconds if event.best else self.best_seconds,
            scored_tiles=event.tiles,
        )

    def _after_finish(self, event: JobFinished) -> "JobState":
        finished = replace(self, active=False, fraction=1.0)
        match event:
            case TuningFinished(trials=trials):
                return replace(finished, trials=tuple(trials))
            case AugmentationSampled(path=path):
                return replace(finished, samples_path=path)
            case TrainingFinished(mean_dice=dice, live_dice=live_dice):
                leads = self.live_leads and live_dice is not None and dice <= live_dice
                return replace(finished, live_dice=live_dice, network_dice=dice, live_leads=leads)
        return finished


def load_run(folder: Path) -> JobState | None:
    """Return the state of the training logged in a run's folder, or None if it has no curve."""
    try:
        lines = read_regular(folder / "events.jsonl", _MAX_LOG_BYTES).decode("utf8", "replace").splitlines()
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


def _append_if_known(points: Points, seconds: float, value: float | None) -> Points:
    """Return the points with one more, or as they are where a log of an older version has no value."""
    return points if value is None else _append(points, seconds, value)


def _append(points: Points, seconds: float, value: float) -> Points:
    """Return the points with one more; beyond the maximum every second point is dropped."""
    longer = (*points, (seconds, value))
    return longer if len(longer) <= _MAX_POINTS else (*longer[:-1:2], longer[-1])
