"""Commands to the worker process and events from it, as JSON lines.

Each message is one dataclass, used at both ends; those that a job itself yields or receives are
in `engine.events`.  An unknown message, from a newer version, is skipped.
"""

import json
import logging
from dataclasses import dataclass, field
from typing import Any, TypeVar

from napari_pathseg.config import LiveConfig, PredictConfig, TrainConfig
from napari_pathseg.engine.events import (
    Command,
    Event,
    LiveCompared,
    LiveFilled,
    LiveKept,
    LiveStatus,
    LiveTile,
    Note,
    PreviewReady,
    Progress,
    RequestPreview,
    SlideDone,
    Started,
    Stop,
    TileDone,
    Trial,
    Validated,
    ValidationSamplesReady,
)
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.storage.json_schema import conform

_Message = TypeVar("_Message", Command, Event)
_MAX_LINE_BYTES = 16 << 20  # a prediction of 100,000 slides by name has half of that
_SHOWN_BYTES = 100  # of a line that cannot be read
_logger = logging.getLogger(__name__)

# -- commands


@dataclass(frozen=True, kw_only=True)
class StartJob(Command):
    """Run a job on the project in the folder `project`; answered by a `JobFinished` or a `JobFailed`."""

    project: str


@dataclass(frozen=True, kw_only=True)
class Train(StartJob):
    """Fine-tune the model `parent` ("latest" for the current one, None to train from scratch), or resume a run.

    With `beside_live` the live model is kept first, and the training answers for the view once it is better.
    """

    wire_name = "train"
    config: TrainConfig
    parent: str | None = None
    resume: str | None = None
    beside_live: bool = False


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
    """Predict slides, or a region of one slide in level-0 pixels, with a model."""

    wire_name = "predict"
    model: str
    slides: list[str]
    region: Region | None = None
    config: PredictConfig = field(default_factory=PredictConfig)


@dataclass(frozen=True, kw_only=True)
class Score(StartJob):
    """Score a model on the slides of a role, or only on `slides` of them; with `adapt` also adapted to each slide."""

    wire_name = "score"
    role: str
    model: str
    slides: list[str] | None = None
    adapt: bool = False


@dataclass(frozen=True, kw_only=True)
class Report(StartJob):
    """Write the report of a model into a folder."""

    wire_name = "report"
    model: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class ExportModel(StartJob):
    """Write a model into a folder in one of `EXPORT_FORMATS`."""

    wire_name = "export-model"
    model: str
    format: str
    folder: str


@dataclass(frozen=True, kw_only=True)
class SampleAugmentation(StartJob):
    """Draw a tile from the training slides and augment it; the same seed gives the same samples."""

    wire_name = "preview"
    config: TrainConfig
    seed: int


@dataclass(frozen=True, kw_only=True)
class FindPlaces(StartJob):
    """Find at most `count` places to annotate next."""

    wire_name = "places"
    count: int
    config: LiveConfig = field(default_factory=LiveConfig)


@dataclass(frozen=True, kw_only=True)
class FindDisagreements(StartJob):
    """Find at most `count` places where labels and a model disagree; with a `pair` of class numbers, of these only.

    `pair` is what is labelled and what the model found; without a `model` each slide is compared with the best for it.
    Without `slides` all are searched.
    """

    wire_name = "disagreements"
    count: int
    slides: list[str] | None = None
    model: str | None = None
    pair: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ComputeSuperpixels(Command):
    """Divide a region of a slide into superpixels and write them to `path` as ``.npy``; it never waits for a job.

    The region is on the grid that is `downsample` times coarser than level 0, and `size` the side of a superpixel
    there; `number` is repeated in the answer.
    """

    wire_name = "superpixels"
    project: str
    slide: str
    region: Region
    downsample: int
    size: int
    number: int
    path: str


@dataclass(frozen=True)
class LiveCommand(Command):
    """A request to the live model, which works while no job runs and between the events of one."""


@dataclass(frozen=True, kw_only=True)
class StartLive(LiveCommand):
    """Fit the live model to the strokes of a project from now on, beside jobs, too; answered by a `LiveStatus`."""

    wire_name = "live"
    project: str
    config: LiveConfig = field(default_factory=LiveConfig)


@dataclass(frozen=True)
class StopLive(LiveCommand):
    """Forget the live model and let its features go."""

    wire_name = "live-stop"


@dataclass(frozen=True)
class ShowLive(LiveCommand):
    """Answer for a box of a slide's mask grid first, one answer for `step` mask pixels along a side.

    Sent again, it says that a stroke has begun.
    """

    wire_name = "live-show"
    slide: str
    region: Region
    step: int = 1


@dataclass(frozen=True)
class UpdateLive(LiveCommand):
    """The labels of a box of a slide's mask grid have changed.

    Attributes
    ----------
    pixels
        Labels and provenance, shape (2, rows, columns), as text made by `engine.live.packed`; empty if they are to be
        read from the project, in which case `region` is ignored: all of the slide may have changed.
    """

    wire_name = "live-update"
    slide: str
    region: Region
    pixels: str = ""


@dataclass(frozen=True)
class FillLive(LiveCommand):
    """Send what the live model finds in a box of a mask's grid, answered by `LiveFilled`; an empty box ends it."""

    wire_name = "live-fill"
    slide: str
    region: Region


@dataclass(frozen=True)
class KeepLive(LiveCommand):
    """Bring the live model that the project keeps up to date with what was saved; answered by `LiveKept`."""

    wire_name = "live-keep"


# -- events


@dataclass(frozen=True)
class WorkerReady(Event):
    """The worker has loaded the modules that a training needs."""

    wire_name = "ready"


@dataclass(frozen=True)
class JobFailed(Event):
    """A job ended with an error; `details` is the traceback if it is a bug."""

    wire_name = "failed"
    text: str
    details: str = ""


@dataclass(frozen=True)
class JobFinished(Event):
    """A job returned its result."""


@dataclass(frozen=True)
class TrainingFinished(JobFinished):
    """A model was trained to the end, or stopped and its best weights kept.

    `text` says in sentences how good it is; `reliable` whether its predictions are good enough to be accepted.
    `live_dice` is the mean Dice of the live model on the same, None if the two do not compare.
    """

    wire_name = "training-finished"
    model: str
    mean_dice: float
    caveat: str = ""
    text: str = ""
    reliable: bool = True
    live_dice: float | None = None


@dataclass(frozen=True)
class TuningFinished(JobFinished):
    """A tuning ended; the trials are sorted best first and numbered by rank."""

    wire_name = "tuning-finished"
    trials: list[Trial]

    @property
    def best(self) -> Trial | None:
        """The trial with the highest score, or None if no trial has a score."""
        return self.trials[0] if self.trials and self.trials[0].score is not None else None


@dataclass(frozen=True)
class PredictionFinished(JobFinished):
    """The slides were predicted, each reported by a `SlideDone`, or as far as they were when it was `stopped`."""

    wire_name = "prediction-finished"
    stopped: bool = False


@dataclass(frozen=True)
class ScoringFinished(JobFinished):
    """A model was scored on `slides`, or on parts of them: Dice by class name, None if the class does not occur.

    `adapted` is the same of the model adapted to the scanner of each slide; empty if that was not asked for.

    Attributes
    ----------
    confusion
        Labelled mask pixels by true class and predicted one, both counted from class 1.
    confusion_mm2
        The same as areas; empty if the pixel size of a slide is unknown.
    text, notes
        The main scores in words, and what limits them.
    """

    wire_name = "scoring-finished"
    model: str
    dice: dict[str, float | None]
    slides: list[str] = field(default_factory=list)
    parts: bool = False
    adapted: dict[str, float | None] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    confusion_mm2: list[list[float]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FilesWritten(JobFinished):
    """The report of a model, or the model for other programs, was written; the main one of the files is the first."""

    wire_name = "files-written"
    files: list[str]


@dataclass(frozen=True)
class AugmentationSampled(JobFinished):
    """Augmented samples were written to `path`, a PNG."""

    wire_name = "augmentation-sampled"
    path: str


@dataclass(frozen=True)
class OfferedPlace:
    """A place to look at: its box in level-0 pixels, why it is worth it, its size if known, and how it looks.

    Attributes
    ----------
    between
        The names of the classes that a model is unsure between, if that is why.
    pair, confidence, model, learnt
        The numbers of the class that is labelled and of that which a model found, if they contradict each other; how
        sure that model is, its name, and whether it has learnt these labels.
    sides, pixels
        Rows and columns of an RGB picture, and the picture as text made by `engine.live.packed`; empty if the slide
        could not be read.
    """

    slide: str
    region: Region
    reason: str
    area_mm2: float | None = None
    between: tuple[str, ...] = ()
    sides: tuple[int, int] = (0, 0)
    pixels: str = ""
    pair: tuple[int, ...] = ()
    confidence: float = 0.0
    model: str = ""
    learnt: bool = False


@dataclass(frozen=True)
class PlacesFound(JobFinished):
    """Places were found, the best first; `note` says what could not be looked at."""

    wire_name = "places-found"
    places: list[OfferedPlace]
    note: str = ""


@dataclass(frozen=True)
class SuperpixelsReady(Event):
    """The superpixels of `region`, the requested region clipped to the slide, were written to `path`."""

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
    for kind in (
        *(Train, Tune, Predict, Score, Report, ExportModel, SampleAugmentation, FindPlaces, FindDisagreements),
        *(ComputeSuperpixels, Stop, RequestPreview),
        *(StartLive, StopLive, ShowLive, UpdateLive, FillLive, KeepLive),
    )
}
EVENTS: dict[str, type[Event]] = {
    kind.wire_name: kind
    for kind in (
        *(Started, Progress, Validated, ValidationSamplesReady, PreviewReady, Note, Trial, TileDone, SlideDone),
        *(WorkerReady, JobFailed, TrainingFinished, TuningFinished, PredictionFinished, ScoringFinished, FilesWritten),
        *(AugmentationSampled, PlacesFound, SuperpixelsReady, SuperpixelsFailed),
        *(LiveTile, LiveFilled, LiveStatus, LiveKept, LiveCompared),
    )
}


def to_line(message: Command | Event) -> str:
    """Return a message as one line of JSON, without a line break."""
    return json.dumps(message.to_json())


def parse_command(line: str | bytes) -> Command | None:
    """Return the command in a line of JSON; log an unknown kind and return None.

    Raises
    ------
    MessageError
        If the line is not JSON, lacks a field or has one of another type.
    ConfigError
        If a setting is outside its limits.
    """
    return _parse(line, COMMANDS, Command)


def parse_event(line: str | bytes) -> Event | None:
    """Return the event in a line of JSON, as `parse_command` does."""
    return _parse(line, EVENTS, Event)


class LineSplitter:
    """Splits what arrives through a pipe into lines, whose pieces it keeps until they are whole.

    Of a line that is longer than any message only the beginning is kept, which cannot be read as a message.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, received: bytes) -> list[bytes]:
        """Return the lines that are whole now, without their line breaks."""
        *ends, rest = received.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            lines.append(b"".join(self._pieces)[: _SHOWN_BYTES if self._length > _MAX_LINE_BYTES else None])
            self._pieces, self._length = [], 0
        self._keep(rest)
        return lines

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length <= _MAX_LINE_BYTES:
            self._pieces.append(piece)
        else:
            self._pieces = [b"".join(self._pieces or [piece])[:_SHOWN_BYTES]]


class MessageError(ValueError):
    """A line is not a message; `kind` is the kind that it says it is, None if that is unknown."""

    def __init__(self, text: str, kind: type[Command | Event] | None = None) -> None:
        super().__init__(text)
        self.kind = kind


def describe_unreadable(line: bytes, error: Exception) -> str:
    """Return a sentence about a line that is not a message."""
    shown = repr(line[:_SHOWN_BYTES].decode(errors="replace"))
    return f"A line between the window and its worker could not be read and was skipped: {shown} ({error})."


def _parse(line: str | bytes, known: dict[str, type[_Message]], base: type[_Message]) -> _Message | None:
    try:
        values = conform(json.loads(line), dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise MessageError(str(error)) from error
    name = values.get(base.wire_key)
    if not isinstance(name, str) or name not in known:
        _logger.info("Skipped a message of unknown kind: %s %r", base.wire_key, name)
        return None
    try:
        return known[name].from_json(values)
    except ConfigError:
        raise
    except ValueError as error:
        raise MessageError(str(error), known[name]) from error
