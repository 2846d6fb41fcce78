"""Every command to the worker process and every event from it, as JSON lines.

One dataclass a message, used at both ends; those that a job itself yields or takes are
`engine.events`'.  A message of a newer version that is unknown here is skipped.
"""

import json
import logging
from dataclasses import dataclass, field
from typing import Any, TypeVar

from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.engine.events import (
    Command,
    Event,
    Note,
    PreviewReady,
    Progress,
    RequestPreview,
    SlideDone,
    Started,
    Stop,
    Trial,
    Validated,
    ValidationSamplesReady,
)
from napari_pathseg.geometry import Region

_Message = TypeVar("_Message", Command, Event)
_logger = logging.getLogger(__name__)

# -- commands


@dataclass(frozen=True, kw_only=True)
class StartJob(Command):
    """Run a job on the project in the folder `project`; it ends with a `JobFinished` or a `JobFailed`."""

    project: str


@dataclass(frozen=True, kw_only=True)
class Train(StartJob):
    """Fine-tune the model `parent` ("latest" for the newest, None for new weights), or resume the run `resume`."""

    wire_name = "train"
    config: TrainConfig
    parent: str | None = None
    resume: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tune(StartJob):
    """Train once with each combination of settings; the fields are those of `TuneRequest.read`."""

    wire_name = "tune"
    vary: list[str]
    config: TrainConfig
    trials: int = 0
    search: str = "grid"


@dataclass(frozen=True, kw_only=True)
class Predict(StartJob):
    """Predict slides, or a box of the mask grid of one, with a model."""

    wire_name = "predict"
    model: str
    slides: list[str]
    region: Region | None = None
    config: PredictConfig = field(default_factory=PredictConfig)


@dataclass(frozen=True, kw_only=True)
class Score(StartJob):
    """Score a model on the slides of a role."""

    wire_name = "score"
    role: str
    model: str


@dataclass(frozen=True, kw_only=True)
class SampleAugmentation(StartJob):
    """Draw a tile from the training slides and augment it; the same seed gives the same samples."""

    wire_name = "preview"
    config: TrainConfig
    seed: int


@dataclass(frozen=True, kw_only=True)
class ComputeSuperpixels(Command):
    """Divide a box of a slide into superpixels and write them to `path` as ``.npy``; no job, so it never waits for one.

    Attributes
    ----------
    region
        The box on the grid that is `downsample` times coarser than level 0.
    size
        Side of a superpixel in pixels of that grid.
    number
        Comes back with the answer.
    """

    wire_name = "superpixels"
    project: str
    slide: str
    region: Region
    downsample: int
    size: int
    number: int
    path: str


# -- events


@dataclass(frozen=True)
class WorkerReady(Event):
    """The worker has loaded what a first training needs."""

    wire_name = "ready"


@dataclass(frozen=True)
class JobFailed(Event):
    """A job ended with an error; `details` hold the traceback where it is a bug."""

    wire_name = "failed"
    text: str
    details: str = ""


@dataclass(frozen=True)
class JobFinished(Event):
    """A job returned its result."""


@dataclass(frozen=True)
class TrainingFinished(JobFinished):
    """A model was trained, or stopped and its best kept."""

    wire_name = "training-finished"
    model: str
    mean_dice: float


@dataclass(frozen=True)
class TuningFinished(JobFinished):
    """A tuning ended; the trials come best first and are numbered by rank."""

    wire_name = "tuning-finished"
    trials: list[Trial]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, None where none has one."""
        return self.trials[0] if self.trials and self.trials[0].score is not None else None


@dataclass(frozen=True)
class PredictionFinished(JobFinished):
    """The slides were predicted; each was reported by a `SlideDone`."""

    wire_name = "prediction-finished"


@dataclass(frozen=True)
class ScoringFinished(JobFinished):
    """A model was scored: Dice by class name."""

    wire_name = "scoring-finished"
    model: str
    dice: dict[str, float]


@dataclass(frozen=True)
class AugmentationSampled(JobFinished):
    """Augmented samples were written to `path`, a PNG."""

    wire_name = "augmentation-sampled"
    path: str


@dataclass(frozen=True)
class SuperpixelsReady(Event):
    """The superpixels of `region`, the part of the box asked for that lies on the slide, were written to `path`."""

    wire_name = "superpixels"
    number: int
    path: str
    region: Region


@dataclass(frozen=True)
class SuperpixelsFailed(Event):
    """Superpixels could not be computed."""

    wire_name = "superpixels-failed"
    number: int
    text: str


COMMANDS: dict[str, type[Command]] = {
    kind.wire_name: kind
    for kind in (Train, Tune, Predict, Score, SampleAugmentation, ComputeSuperpixels, Stop, RequestPreview)
}
EVENTS: dict[str, type[Event]] = {
    kind.wire_name: kind
    for kind in (
        *(Started, Progress, Validated, ValidationSamplesReady, PreviewReady, Note, Trial, SlideDone),
        *(WorkerReady, JobFailed, TrainingFinished, TuningFinished, PredictionFinished, ScoringFinished),
        *(AugmentationSampled, SuperpixelsReady, SuperpixelsFailed),
    )
}


def to_line(message: Command | Event) -> str:
    """Return a message as one line of JSON, without the line's end."""
    return json.dumps(message.to_json())


def parse_command(line: str | bytes) -> Command | None:
    """Return the command in a line of JSON, or None and log it where its kind is unknown.

    Raises
    ------
    ValueError
        If the line is not JSON or lacks a field.
    ConfigError
        If a setting lies outside its limits.
    """
    return _parse(line, COMMANDS, Command)


def parse_event(line: str | bytes) -> Event | None:
    """Return the event in a line of JSON, or None and log it where its kind is unknown.

    Raises
    ------
    ValueError
        If the line is not JSON or lacks a field.
    """
    return _parse(line, EVENTS, Event)


def _parse(line: str | bytes, known: dict[str, type[_Message]], base: type[_Message]) -> _Message | None:
    values: dict[str, Any] = json.loads(line)
    name = values.get(base.wire_key)
    if not isinstance(name, str) or name not in known:
        _logger.info("Skipped a message of unknown kind: %s %r", base.wire_key, name)
        return None
    return known[name].from_json(values)
