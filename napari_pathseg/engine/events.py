"""What a job says while it runs, and what may be said to it.

A job is a generator: it yields events, takes a command where one is sent, and returns its
result.  Events are plain values, so that they travel as JSON lines.
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from napari_pathseg.geometry import EMPTY_REGION, Region

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Event:
    """Something that happened in a job."""

    def to_json(self) -> dict[str, Any]:
        """Return the event as plain values; ``event`` names its kind."""
        return {"event": type(self).__name__.lower(), **asdict(self)}


@dataclass(frozen=True)
class Started(Event):
    """A run began: its folder's name, the model it makes, the model it starts from."""

    run: str
    model: str
    parent: str | None
    train: list[str]
    val: list[str]


@dataclass(frozen=True)
class Progress(Event):
    """How far a job is.

    `fraction` goes from 0 to 1; `seconds_left` is 0 where it cannot be told; `rate` is the step size; `seconds` have
    passed.
    """

    stage: str
    fraction: float
    seconds_left: float
    step: int = 0
    loss: float | None = None
    rate: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Validated(Event):
    """Scores on the held-out slides: Dice by class name, their mean over the classes to find."""

    step: int
    seconds: float
    loss: float | None
    dice: dict[str, float]
    mean_dice: float
    best: bool
    rate: float | None = None


@dataclass(frozen=True)
class Examples(Event):
    """Held-out patches lie in `path`, a PNG: a row each of the image, what a person and what the network says."""

    path: str


@dataclass(frozen=True)
class View(Event):
    """The classes of a box of a slide's mask grid lie in `path`, a ``.npy`` file of uint8."""

    slide: str
    region: Region
    path: str


@dataclass(frozen=True)
class Note(Event):
    """A sentence for the user that ends nothing; a `warning` where something should be done."""

    text: str
    warning: bool = False


@dataclass(frozen=True)
class Trial(Event):
    """A trial of a tuning begins, the first being number 1, or is over: then it has a `score` or a `problem`.

    What it trains with is in `settings`; `model` is "" until its run began.
    """

    number: int
    of: int
    model: str
    settings: dict[str, Any]
    score: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class SlideDone(Event):
    """A box of a slide's mask grid was predicted."""

    slide: str
    seconds: float
    pixels: int
    region: Region


@dataclass(frozen=True)
class Command:
    """Something said to a running job."""


@dataclass(frozen=True)
class Stop(Command):
    """End soon and keep what was won."""


@dataclass(frozen=True)
class Show(Command):
    """Predict a box of a slide's mask grid now and after each validation."""

    slide: str
    region: Region = field(default=EMPTY_REGION)


Job = Generator[Event, Command | None, _Result]


def run(job: Job[_Result]) -> _Result:
    """Run a job to its end and return its result."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            result: _Result = end.value
            return result
