"""How much of a run is over: by its minutes or, where it has them, by its steps."""

import time


class Clock:
    """Counts the seconds of a run, and of its present stage.

    Parameters
    ----------
    minutes
        The longest time.
    steps
        Steps of the stage in which everything learns; 0 where only the time counts.
    steps_before
        Steps of the stage before it.
    elapsed
        Seconds that the run took before it was interrupted.
    """

    def __init__(self, minutes: float, steps: int, steps_before: int = 0, elapsed: float = 0.0) -> None:
        self._seconds, self._steps, self._steps_before = 60 * minutes, steps, steps_before
        self._start = time.perf_counter() - elapsed
        self.stage_began = elapsed, 0  # seconds and steps

    @property
    def elapsed(self) -> float:
        """Seconds since the run began, without those in which it was interrupted."""
        return time.perf_counter() - self._start

    @property
    def left(self) -> float:
        """Seconds until the longest time is over."""
        return max(0.0, self._seconds - self.elapsed)

    @property
    def by_steps(self) -> bool:
        """Whether steps count, so that a seed repeats a run."""
        return self._steps > 0

    def begin_stage(self, step: int) -> None:
        """Count the share of the stage from here."""
        self.stage_began = self.elapsed, step

    def steps_in_stage(self, step: int) -> int:
        """Return the steps made in the present stage."""
        return step - int(self.stage_began[1])

    def share(self, step: int) -> float:
        """Return how much of the stage is over, 1 or more when it is."""
        seconds, first = self.stage_began
        if self.by_steps:
            return (step - first) / self._steps
        return (self.elapsed - seconds) / max(self._seconds - seconds, 1e-9)

    def fraction(self, step: int) -> float:
        """Return how much of the run is over, 0 to 1."""
        if self.by_steps:
            return min(1.0, step / (self._steps + self._steps_before))
        return min(1.0, self.elapsed / max(self._seconds, 1e-9))

    def seconds_left(self, step: int) -> float:
        """Return the seconds that are left, as far as can be told."""
        if not self.by_steps:
            return self.left
        seconds, first = self.stage_began
        made = step - first
        return (self.elapsed - seconds) / made * max(0, self._steps - made) if made > 0 else 0.0
