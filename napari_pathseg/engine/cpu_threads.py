"""Adapts the number of torch's CPU threads to the load of the machine.

The threads of a training step wait for each other, so a thread that shares its core with the
window slows down all of them: on two cores, one of them busy, two threads reach 0.27 of the speed
on an idle machine, one thread 0.66.
"""

import math
import time

import psutil
import torch

_INTERVAL_S = 1.0  # between measurements
_TOLERANCE = 0.35  # of a core, which other programs may use before torch gives up a thread


class CpuThreadTuner:
    """Sets the number of torch's threads to the number of cores that other programs leave free."""

    def __init__(self) -> None:
        self._max_threads = torch.get_num_threads()
        self._limit = self._adapted = self._max_threads
        self._process = psutil.Process()
        self._last = self._measure()

    def adapt(self) -> None:
        """Measure the load, at most once a second, and set the number of threads."""
        if time.monotonic() - self._last[0] < _INTERVAL_S:
            return
        then, self._last = self._last, self._measure()
        seconds, idle, own = (now - before for now, before in zip(self._last, then, strict=True))
        self._adapted = usable_threads((idle + own) / seconds, self._max_threads)
        self._set()

    def limit(self, threads: int | None) -> None:
        """Use no more threads than this from now on; None lifts the limit."""
        self._limit = threads or self._max_threads
        self._set()

    def restore(self) -> None:
        """Restore the initial number of threads."""
        torch.set_num_threads(self._max_threads)

    def _set(self) -> None:
        wanted = min(self._adapted, self._limit)
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)

    def _measure(self) -> tuple[float, float, float]:
        """Return the time, the idle seconds of all cores and the CPU seconds of this process so far."""
        own = self._process.cpu_times()
        return time.monotonic(), psutil.cpu_times().idle, own.user + own.system


def usable_threads(free_cores: float, most: int) -> int:
    """Return the number of threads that fit on the free cores, from 1 to `most`."""
    return max(1, min(most, math.floor(free_cores + _TOLERANCE)))
