import time
from types import SimpleNamespace

import pytest
import torch

from napari_pathseg.engine import cpu_threads
from napari_pathseg.engine.cpu_threads import CpuThreadTuner, usable_threads


@pytest.mark.parametrize(
    ("free", "most", "expected"),
    [(2.0, 2, 2), (1.9, 2, 2), (1.2, 2, 1), (0.0, 2, 1), (7.8, 8, 8), (6.9, 8, 7), (60.0, 4, 4)],
)
def test_usable_threads_fit_on_the_free_cores(free, most, expected):
    assert usable_threads(free, most) == expected


@pytest.mark.skipif(torch.get_num_threads() < 2, reason="one core has nothing to give up")
def test_tuner_gives_up_threads_on_a_busy_machine_and_takes_them_back(monkeypatch):
    most, cores = torch.get_num_threads(), max(2, torch.get_num_threads())
    clock = [0.0, 0.0, 0.0]  # seconds that passed, that all cores idled, that this process worked
    monkeypatch.setattr(CpuThreadTuner, "_measure", lambda _: tuple(clock))
    monkeypatch.setattr(cpu_threads, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    tuner = CpuThreadTuner()
    try:
        clock[:] = [1.5, 0.0, 0.75]  # others take all but half a core
        tuner.adapt()
        assert torch.get_num_threads() == 1
        clock[:] = [2.0, 0.5 * cores, 0.75]  # too soon after the last measurement
        tuner.adapt()
        assert torch.get_num_threads() == 1
        clock[:] = [3.0, 1.5 * cores, 0.75]
        tuner.adapt()
        assert torch.get_num_threads() == most
        clock[:] = [6.0, 1.5 * cores, 0.75]
        tuner.adapt()
        assert torch.get_num_threads() == 1
    finally:
        tuner.restore()
    assert torch.get_num_threads() == most


def test_tuner_measures_the_machine_and_its_own_work():
    tuner = CpuThreadTuner()
    first = tuner._measure()
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    passed, idle, own = (now - before for now, before in zip(tuner._measure(), first, strict=True))
    assert passed >= 0.05  # a system counts in steps of 10 to 16 ms
    assert idle >= 0
    assert own >= 0.05
