"""Jobs, the events they report and the commands they take.

A job is a generator: it yields events, may be sent a command in reply to each, and returns its
result.  Events and commands are plain values that travel between processes as JSON lines;
`jobs.protocol` lists them all and adds those of the worker process.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self, TypeVar, get_type_hints

from napari_pathseg.geometry import Region
from napari_pathseg.settings import Settings
from napari_pathseg.storage.json_schema import SchemaError, conform

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Message:
    """A value that travels between processes as one JSON object.

    `wire_key` distinguishes events from commands, `wire_name` one type from another.  Both are also
    stored in ``runs/<id>/events.jsonl``, so neither may change once released, and a new field needs
    a default.
    """

    wire_key: ClassVar[str]
    wire_name: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """Return the message as plain values, its type first."""
        return {self.wire_key: self.wire_name, **asdict(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the message that `to_json` of this or another version wrote; unknown fields are ignored.

        Raises
        ------
        ValueError
            If a field without a default is missing, or one has a value of another type.
        ConfigError
            If a setting lies outside its limits.
        """
        hints, fields = get_type_hints(cls), dataclasses.fields(cls)
        required = {field.name for field in fields if field.default is field.default_factory is dataclasses.MISSING}
        if missing := sorted(required - values.keys()):
            raise ValueError(f"A message {cls.wire_name} lacks {', '.join(missing)}.")
        return cls(**{f.name: cls._decode(f.name, hints[f.name], values[f.name]) for f in fields if f.name in values})

    @classmethod
    def _decode(cls, name: str, hint: Any, value: Any) -> Any:
        """Convert the JSON value of a field to the type of the field."""
        try:
            if isinstance(hint, type) and issubclass(hint, Settings):
                return hint.from_json(conform(value, dict[str, Any]))
            return conform(value, hint)
        except SchemaError as error:
            raise ValueError(f"{name} of a message {cls.wire_name} cannot be read: {error}.") from error


# -- from a job

KEEPING = "Keeping the live model"  # the stage before a training beside it
LAST_PASS = "Last pass"  # the stage in which what is held out is learnt, too
SCORING = "Scoring"  # the stage after training: the best model is scored on all held-out tiles


@dataclass(frozen=True)
class Event(Message):
    """Something that happened in a job."""

    wire_key = "event"


@dataclass(frozen=True)
class Started(Event):
    """A run started: the name of its folder, the model it trains, the model it starts from.

    With `parts`, only parts of the slides `val` are held out.
    """

    wire_name = "started"
    run: str
    model: str
    parent: str | None
    train: list[str]
    val: list[str]
    parts: bool = False


@dataclass(frozen=True)
class Progress(Event):
    """The progress of a job.

    `fraction` is between 0 and 1, `seconds_left` is 0 if unknown, `rate` is the learning rate and
    `seconds` is the time elapsed.
    """

    wire_name = "progress"
    stage: str
    fraction: float
    seconds_left: float
    step: int = 0
    loss: float | None = None
    rate: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Validated(Event):
    """Scores on `tiles` of the held-out tiles, 0 if unknown: Dice by class, and its mean over those that occur.

    A class that does not occur there has the Dice None.

    `loss` is that of the training tiles; `accuracy` and `validation_loss` are those of the held-out ones, None in logs
    of older versions.
    """

    wire_name = "validated"
    step: int
    seconds: float
    loss: float | None
    dice: dict[str, float | None]
    mean_dice: float
    best: bool
    rate: float | None = None
    tiles: int = 0
    accuracy: float | None = None
    validation_loss: float | None = None


@dataclass(frozen=True)
class ValidationSamplesReady(Event):
    """Held-out patches were written to `path`, a PNG with one row each: the image, its labels, the prediction."""

    wire_name = "examples"
    path: str


@dataclass(frozen=True)
class PreviewReady(Event):
    """The predicted classes of a box of a slide's mask grid were written to `path`, a ``.npy`` file of uint8."""

    wire_name = "view"
    slide: str
    region: Region
    path: str


@dataclass(frozen=True)
class Note(Event):
    """A message for the user; `warning` marks one that needs attention."""

    wire_name = "note"
    text: str
    warning: bool = False


@dataclass(frozen=True)
class Trial(Event):
    """A trial of a tuning, counted from 1; once ended, it has a `score` or a `problem`.

    `settings` are the ones that vary; `model` is "" until its run has started.
    """

    wire_name = "trial"
    number: int
    of: int
    model: str
    settings: dict[str, Any]
    score: float | None = None
    problem: str = ""

    @property
    def ended(self) -> bool:
        """True once the trial has a score or failed."""
        return self.score is not None or bool(self.problem)


@dataclass(frozen=True)
class TileDone(Event):
    """A tile of a slide's mask grid was predicted and stored; `share` is how much of the slide's is done, 0 to 1."""

    wire_name = "tiledone"
    slide: str
    region: Region
    share: float


@dataclass(frozen=True)
class SlideDone(Event):
    """A box of a slide's mask grid was predicted by a runtime in a precision, but for the boxes that `failed`."""

    wire_name = "slidedone"
    slide: str
    seconds: float
    pixels: int
    region: Region
    failed: list[Region] = field(default_factory=list)
    runtime: str = ""


# -- from the live model


@dataclass(frozen=True)
class LiveTile(Event):
    """What the live model finds in a box of a slide's mask grid, as text made by `engine.live.packed`.

    The pixels are two arrays, shape (2, rows, columns): the likeliest class other than Background, and its probability
    from 0 to 255; the window shows Background where that is below a threshold.  Each is the answer for `step` mask
    pixels along a side: rows are the box's height divided by `step`, rounded up.

    Attributes
    ----------
    fit
        How often the model was fitted by then; tiles of an older fit than the newest are about to be replaced.
    """

    wire_name = "live-tile"
    slide: str
    region: Region
    step: int
    fit: int
    pixels: str


@dataclass(frozen=True)
class LiveFilled(Event):
    """What the live model finds in a box of the mask grid, one answer a mask pixel; the `last` one ends the filling.

    Attributes
    ----------
    pixels
        Two arrays as those of a `LiveTile`.
    share
        How much of what was asked for is done by then, 0 to 1.
    """

    wire_name = "live-filled"
    slide: str
    region: Region
    pixels: str
    share: float
    last: bool


@dataclass(frozen=True)
class LiveStatus(Event):
    """What the live model does.

    Attributes
    ----------
    ready
        Whether there is a model.
    text
        Why it rests, or what is missing, as a sentence for the user; empty if it follows.
    fit
        How often it was fitted.
    seconds
        How long the newest fit took.
    encoded, wanted
        Tiles of the slide in view whose features are kept, and all of them.
    warning
        Whether the user should see the text at once.
    """

    wire_name = "live-status"
    ready: bool
    text: str = ""
    fit: int = 0
    seconds: float = 0.0
    encoded: int = 0
    wanted: int = 0
    warning: bool = False


@dataclass(frozen=True)
class LiveKept(Event):
    """The live model that the project keeps is up to date with what was saved."""

    wire_name = "live-kept"


@dataclass(frozen=True)
class LiveCompared(Event):
    """How a training compares with the live model, by the mean Dice on the same held-out tiles.

    It comes once the training has started, and again when the live model no longer `leads`: from then on the training
    answers for the view.

    Attributes
    ----------
    live_dice
        That of the live model.
    dice
        That of the training; None before a validation was better.
    """

    wire_name = "live-compared"
    live_dice: float
    dice: float | None = None
    leads: bool = True


# -- to a job


@dataclass(frozen=True)
class Command(Message):
    """A request to a job."""

    wire_key = "command"


@dataclass(frozen=True)
class Stop(Command):
    """End soon and keep the best result so far.

    A training then scores its model on all held-out tiles; with `now`, or after a second command, it does not.
    """

    wire_name = "stop"
    now: bool = False


@dataclass(frozen=True)
class RequestPreview(Command):
    """Predict a box of a slide's mask grid: a training now and after each validation, a prediction before the rest."""

    wire_name = "show"
    slide: str
    region: Region


Job = Generator[Event, Command | None, _Result]


def run(job: Job[_Result], on_event: Callable[[Event], Command | None] | None = None) -> _Result:
    """Run a job to its end and return its result; `on_event` may answer an event with a command."""
    command: Command | None = None
    while True:
        try:
            event = job.send(command)
        except StopIteration as end:
            result: _Result = end.value
            return result
        command = None if on_event is None else on_event(event)


def relay(
    job: Job[_Result],
    on_event: Callable[[Event], None],
    on_command: Callable[[Event, Command | None], Command | None] | None = None,
) -> Job[_Result]:
    """Run a job inside another one, whose events and commands pass through.

    Parameters
    ----------
    job
        The inner job; it is closed when the outer one is.
    on_event
        Called with each event before it is passed on.
    on_command
        Called with each event and the answer to it; returns the command for the inner job.  Left out,
        the answer itself is passed on.
    """
    command: Command | None = None
    with contextlib.closing(job):
        while True:
            try:
                event = job.send(command)
            except StopIteration as end:
                result: _Result = end.value
                return result
            on_event(event)
            command = yield event
            if on_command is not None:
                command = on_command(event, command)
