"""What runs in the worker, as the window shows it."""

from dataclasses import dataclass, field, replace
from typing import Any

_TITLES = {"train": "Training", "predict": "Predicting", "score": "Scoring"}


@dataclass(frozen=True)
class Run:
    """A job of the worker: what it is, how far, and the curves so far.

    Attributes
    ----------
    kind
        "train", "predict" or "score".
    losses, dices
        Points (seconds, value) of the training curves; Dice is the mean of the classes to find.
    fraction, seconds_left
        How far it is; the fraction from 0 to 1.
    model
        The model it makes or uses; empty until known.
    waiting
        Models that are still to be scored.
    broken
        Whether it ended before its time, by an error or because the worker died.
    """

    kind: str
    minutes: float = 0.0
    active: bool = True
    stopping: bool = False
    stage: str = "Starting"
    fraction: float = 0.0
    seconds_left: float = 0.0
    model: str = ""
    has_best: bool = False
    losses: tuple[tuple[float, float], ...] = ()
    dices: tuple[tuple[float, float], ...] = ()
    dice_by_class: dict[str, float] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    broken: bool = False

    @property
    def title(self) -> str:
        """What runs, in words."""
        return f"{_TITLES[self.kind]} {self.model}".strip()

    def hear(self, message: dict[str, Any]) -> "Run":
        """Return the run after an event of the worker."""
        match message["event"]:
            case "started":
                return replace(self, model=message["model"])
            case "progress":
                return self._progressed(message)
            case "validated":
                return replace(
                    self,
                    has_best=True,
                    dices=(*self.dices, (message["seconds"], message["mean_dice"])),
                    dice_by_class=message["dice"],
                )
            case "finished":
                return replace(self, active=False, fraction=1.0)
            case "failed":
                return replace(self, active=False, broken=True)
        return self

    def _progressed(self, message: dict[str, Any]) -> "Run":
        losses = self.losses
        if message["loss"] is not None:  # no step was made yet
            seconds = message["fraction"] * 60 * self.minutes
            losses = (*losses, (seconds, message["loss"]))
        return replace(
            self,
            stage=message["stage"],
            fraction=message["fraction"],
            seconds_left=message["seconds_left"],
            losses=losses,
        )
