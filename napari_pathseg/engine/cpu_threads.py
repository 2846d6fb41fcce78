"""As many threads as others leave free.

Threads of one step wait for each other, so a thread that shares its core with the window
holds up all: on two cores with one of them busy, two threads make 0.27 of the steps of an
idle machine, one thread 0.66.
"""

import math
import time

import psutil
import torch

_EVERY = 1.0  # seconds between two looks
_NOISE = 0.35  # cores that others may use before a thread is given up


class CpuThreadTuner:
    """Sets torch's number of threads to the cores that other programs leave free."""

    def __init__(self) -> None:
        self._most = torch.get_num_threads()
        self._process = psutil.Process()
        self._seen = self._look()

    def adapt(self) -> None:
        """Look at the machine, once a second at most, and set the number of threads."""
        if time.monotonic() - self._seen[0] < _EVERY:
            return
        then, self._seen = self._seen, self._look()
        seconds, idle, own = (now - before for now, before in zip(self._seen, then, strict=True))
        wanted = usable_threads((idle + own) / seconds, self._most)
        if wanted != torch.get_num_threads():
            torch.set_num_threads(wanted)

    def restore(self) -> None:
        """Use all threads again."""
        torch.set_num_threads(self._most)

    def _look(self) -> tuple[float, float, float]:
        """Return the time, and the seconds that cores were idle and worked for this process so far."""
        own = self._process.cpu_times()
        return time.monotonic(), psutil.cpu_times().idle, own.user + own.system


def usable_threads(free_cores: float, most: int) -> int:
    """Return how many threads fit on cores that are idle or ours, 1 to `most`."""
    return max(1, min(most, math.floor(free_cores + _NOISE)))
