import subprocess
import sys
import time

import pytest
import torch

from napari_pathseg.engine.cpu_threads import CpuThreadTuner, usable_threads


@pytest.mark.parametrize(
    ("free", "most", "expected"),
    [(2.0, 2, 2), (1.9, 2, 2), (1.2, 2, 1), (0.0, 2, 1), (7.8, 8, 8), (6.9, 8, 7), (60.0, 4, 4)],
)
def test_threads_fit_on_the_free_cores(free, most, expected):
    assert usable_threads(free, most) == expected


@pytest.mark.skipif(torch.get_num_threads() < 2, reason="one core has nothing to give up")
def test_a_busy_machine_costs_threads_and_a_free_one_gives_them_back():
    threads, most = CpuThreadTuner(), torch.get_num_threads()
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(most)]
    try:
        time.sleep(1.5)
        threads.adapt()
        assert torch.get_num_threads() < most
    finally:
        for process in busy:
            process.kill()
            process.wait()
        threads.restore()
    assert torch.get_num_threads() == most
