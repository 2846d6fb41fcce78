"""What runs in the worker, as the window shows it."""

from dataclasses import dataclass, field, replace
from typing import Any

_DEEDS = {
    "train": "Training",
    "tune": "Finding settings",
    "predict": "Predicting",
    "score": "Scoring",
    "preview": "Drawing the variation",
}
_MOST_POINTS = 2000  # of a curve; then every second one is left out, so that hours are drawn as fast as minutes

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Run:
    """A job of the worker: what it is, how far, and the curves so far.

    Attributes
    ----------
    kind
        "train", "tune", "predict", "score" or "preview".
    losses, dices, dices_by_class
        Points (seconds, value) of the training curves; `dices` are the means of the classes to find.
    rate
        The step size.
    fraction, seconds_left
        How far it is; the fraction from 0 to 1.
    model
        The model it makes or uses; empty until known.
    picture, looks
        Where held-out patches, or samples of the variation, lie, and how often they were written.
    trials
        What was tried so far, and last what is tried now, as the worker told it; the best first once it is over.
    waiting
        Models that are still to be scored.
    broken, error
        Whether it ended before its time, by an error or because the worker died; the error in words.
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
    losses: Points = ()
    dices: Points = ()
    dices_by_class: dict[str, Points] = field(default_factory=dict)
    dice_by_class: dict[str, float] = field(default_factory=dict)
    rate: float | None = None
    picture: str = ""
    looks: int = 0
    trials: tuple[dict[str, Any], ...] = ()
    waiting: list[str] = field(default_factory=list)
    broken: bool = False
    error: str = ""

    @property
    def deed(self) -> str:
        """What kind of work it is, in words."""
        return _DEEDS[self.kind]

    @property
    def title(self) -> str:
        """What runs, in words."""
        return f"{self.deed} {self.model}".strip()

    @property
    def learns(self) -> bool:
        """Whether a model learns in it."""
        return self.kind in ("train", "tune")

    def hear(self, message: dict[str, Any]) -> "Run":
        """Return the run after an event of the worker."""
        match message["event"]:
            case "started":
                return replace(self._fresh() if self.kind == "tune" else self, model=message["model"])
            case "progress":
                return self._progressed(message)
            case "validated":
                return self._validated(message)
            case "examples":
                return replace(self, picture=message["path"], looks=self.looks + 1)
            case "trial":
                before = tuple(trial for trial in self.trials if trial["number"] != message["number"])
                return replace(self, trials=(*before, message))
            case "finished":
                return self._finished(message.get("result"))
            case "failed":
                return replace(self, active=False, broken=True, error=message.get("text", ""))
        return self

    def _fresh(self) -> "Run":
        """Return the run without the curves of the trial before."""
        return replace(self, losses=(), dices=(), dices_by_class={}, dice_by_class={}, rate=None)

    def _progressed(self, message: dict[str, Any]) -> "Run":
        losses = self.losses
        if message["loss"] is not None:  # no step was made yet
            losses = _joined(losses, message["seconds"], message["loss"])
        fraction, left = message["fraction"], message["seconds_left"]
        if self.trials:
            number, of = self.trials[-1]["number"], self.trials[-1]["of"]
            fraction, left = (number - 1 + fraction) / of, left + (of - number) * 60 * self.minutes
        return replace(
            self,
            stage=message["stage"],
            fraction=fraction,
            seconds_left=left,
            losses=losses,
            rate=message.get("rate") or self.rate,
        )

    def _validated(self, message: dict[str, Any]) -> "Run":
        seconds, scores = message["seconds"], message["dice"]
        before = self.dices_by_class
        return replace(
            self,
            has_best=True,
            dices=_joined(self.dices, seconds, message["mean_dice"]),
            dices_by_class={name: _joined(before.get(name, ()), seconds, value) for name, value in scores.items()},
            dice_by_class=scores,
        )

    def _finished(self, result: Any) -> "Run":
        done = replace(self, active=False, fraction=1.0)
        if self.kind == "tune":
            return replace(done, trials=tuple(result["trials"]))
        return replace(done, picture=result["path"]) if self.kind == "preview" else done


def _joined(points: Points, seconds: float, value: float) -> Points:
    joined = (*points, (seconds, value))
    return joined if len(joined) <= _MOST_POINTS else (*joined[:-1:2], joined[-1])
