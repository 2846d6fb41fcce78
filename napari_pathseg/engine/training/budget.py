"""How much time, or how many steps, a training may use, and how much of it is spent."""

import math
import time
from collections.abc import Callable

from napari_pathseg.config import TrainConfig

LEAST_STEPS = 30  # before a last pass: fewer teach too little to share them
_LAST_SHARE, _LAST_MINUTES = 0.25, 5.0  # of a training, at most


def last_pass_share(config: TrainConfig) -> float:
    """Return the fraction of a training that its last pass gets, 0 if it has none; see `last_pass`."""
    too_short = 0 < config.steps * (1 - _LAST_SHARE) < LEAST_STEPS
    if not config.last_pass or config.preset != "normal" or config.devices > 1 or too_short:
        return 0.0
    return _LAST_SHARE if config.steps else min(_LAST_SHARE, _LAST_MINUTES / config.longest_minutes)


class TrainingBudget:
    """The time or steps that a run may use, and how much of them is spent.

    Parameters
    ----------
    minutes
        Maximum time.
    steps
        Maximum steps of the whole run; 0 if only time is limited.
    elapsed
        Seconds that the run used before it was interrupted.
    clock
        A function that returns a time in seconds.
    reserve
        The fraction of it that the stages leave, until `use_reserve`.

    Attributes
    ----------
    reserve
        The fraction of it that the stages still leave.
    stage_began
        Second and step at which the last training stage started; None before that.
    """

    def __init__(
        self,
        minutes: float,
        steps: int,
        elapsed: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
        reserve: float = 0.0,
    ) -> None:
        self._seconds, self._steps, self._finished, self.reserve = 60 * minutes, steps, False, reserve
        self._clock, self._start = clock, clock() - elapsed
        self.stage_began: tuple[float, int] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the run started, without interruptions."""
        return self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds until the maximum time is over."""
        return max(0.0, self._seconds - self.elapsed)

    @property
    def counts_steps(self) -> bool:
        """True if steps are limited rather than time, so that the same seed repeats a run."""
        return self._steps > 0

    def begin_stage(self, step: int) -> None:
        """Start the last training stage, which uses the rest of the budget."""
        self.stage_began = self.elapsed, step

    def use_reserve(self, step: int) -> None:
        """Start a stage that uses the reserve, or less of it if the stages before ended early."""
        share, self.reserve = 1 - self.reserve, 0.0
        self._seconds = min(self._seconds, self.elapsed / share)
        self._steps = min(self._steps, math.ceil(step / share))
        self.begin_stage(step)

    def finish(self) -> None:
        """Mark training as over, even if the budget is not spent."""
        self._finished = True

    def steps_in_stage(self, step: int) -> int:
        """Return the number of steps in the last stage so far."""
        return step - self._stage_start(step)[1]

    def stage_progress(self, step: int) -> float:
        """Return the fraction of the last stage that is over, 1 or more at its end."""
        seconds, first = self._stage_start(step)
        if self.counts_steps:
            last = self._steps - math.ceil(self._steps * self.reserve)
            return (step - first) / (last - first) if last > first else 1.0
        return (self.elapsed - seconds) / max(self._seconds * (1 - self.reserve) - seconds, 1e-9)

    def progress(self, step: int) -> float:
        """Return the fraction of the run that is over, 0 to 1."""
        if self._finished:
            return 1.0
        if self.counts_steps:
            return min(1.0, step / self._steps)
        return min(1.0, self.elapsed / max(self._seconds, 1e-9))

    def seconds_left(self, step: int) -> float:
        """Return the estimated seconds left, 0 if unknown.

        If steps are limited, only the pace of the last stage counts, since steps of earlier stages differ in duration.
        """
        if self._finished:
            return 0.0
        if not self.counts_steps:
            return self.left
        seconds, first = self._stage_start(step)
        done = step - first
        return (self.elapsed - seconds) / done * max(0, self._steps - step) if done > 0 else 0.0

    def _stage_start(self, step: int) -> tuple[float, int]:
        return (self.elapsed, step) if self.stage_began is None else self.stage_began
