"""A limit on CPU time that holds on any machine."""

import time
from contextlib import contextmanager

import pytest


@pytest.fixture
def at_most_loops():
    """Return a context limited to the CPU time of a number of bare loops of five million steps (about 0.1 s each)."""

    @contextmanager
    def limit(loops):
        start = time.process_time()
        yield
        used = time.process_time() - start
        start, steps = time.process_time(), 0
        for step in range(5_000_000):
            steps += step
        bare = time.process_time() - start
        assert used < loops * bare, f"{used:.2f} s of CPU time; a bare loop takes {bare:.2f} s"

    return limit
