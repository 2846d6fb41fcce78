"""How much of a run is over: by its minutes or, where it has them, by its steps."""

import time


class TrainingBudget:
    """Counts the seconds and the steps of a run, and of the last of its stages that learn.

    Parameters
    ----------
    minutes
        The longest time.
    steps
        Steps of the whole run; 0 where only the time counts.
    elapsed
        Seconds that the run took before it was interrupted.

    Attributes
    ----------
    stage_began
        Second and step at which the last stage that learns began; None before it.
    """

    def __init__(self, minutes: float, steps: int, elapsed: float = 0.0) -> None:
        self._seconds, self._steps, self._ended = 60 * minutes, steps, False
        self._start = time.perf_counter() - elapsed
        self.stage_began: tuple[float, int] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, without those in which it was interrupted."""
        return time.perf_counter() - self._start

    @property
    def left(self) -> float:
        """Seconds until the longest time is over."""
        return max(0.0, self._seconds - self.elapsed)

    @property
    def counts_steps(self) -> bool:
        """Whether steps count, so that a seed repeats a run."""
        return self._steps > 0

    def begin_stage(self, step: int) -> None:
        """Begin the last stage that learns: it takes what is left of the run."""
        self.stage_began = self.elapsed, step

    def finish(self) -> None:
        """Learning is over, maybe before its time."""
        self._ended = True

    def steps_in_stage(self, step: int) -> int:
        """Return the steps made in the last stage."""
        return step - self._began(step)[1]

    def stage_progress(self, step: int) -> float:
        """Return how much of the last stage is over, 1 or more when it is."""
        seconds, first = self._began(step)
        if self.counts_steps:
            return (step - first) / (self._steps - first) if self._steps > first else 1.0
        return (self.elapsed - seconds) / max(self._seconds - seconds, 1e-9)

    def progress(self, step: int) -> float:
        """Return how much of the run is over, 0 to 1."""
        if self._ended:
            return 1.0
        if self.counts_steps:
            return min(1.0, step / self._steps)
        return min(1.0, self.elapsed / max(self._seconds, 1e-9))

    def seconds_left(self, step: int) -> float:
        """Return the seconds that are left, 0 where that cannot be told.

        A step of an earlier stage takes another time than one of the last: where steps count, it says nothing.
        """
        if self._ended:
            return 0.0
        if not self.counts_steps:
            return self.left
        seconds, first = self._began(step)
        made = step - first
        return (self.elapsed - seconds) / made * max(0, self._steps - step) if made > 0 else 0.0

    def _began(self, step: int) -> tuple[float, int]:
        return (self.elapsed, step) if self.stage_began is None else self.stage_began
