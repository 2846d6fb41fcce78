"""The limits of containers, control groups and SLURM jobs are obeyed."""

import os
import subprocess
import sys

import psutil
import pytest

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.cost_model import fitting_prediction_tile
from napari_pathseg.storage.machine import free_memory, memory_limit, usable_cores

GIB = 2**30


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.fixture
def much_memory(monkeypatch):
    memory = psutil.virtual_memory()._replace(available=512 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


VERSION_2 = {"proc/self/cgroup": "0::/user.slice/job\n"}
VERSION_1 = {"proc/self/cgroup": "9:memory:/job\n4:cpu,cpuacct:/job\n1:name=systemd:/\n"}


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 64),
        ({**VERSION_2, "sys/fs/cgroup/user.slice/job/cpu.max": "250000 100000"}, 2),
        ({**VERSION_2, "sys/fs/cgroup/user.slice/job/cpu.max": "50000 100000"}, 1),
        ({**VERSION_2, "sys/fs/cgroup/user.slice/job/cpu.max": "max 100000"}, 64),
        (  # the group around it has less
            {
                **VERSION_2,
                "sys/fs/cgroup/user.slice/job/cpu.max": "800000 100000",
                "sys/fs/cgroup/user.slice/cpu.max": "400000 100000",
            },
            4,
        ),
        ({**VERSION_2, "sys/fs/cgroup/cpu.max": "300000 100000"}, 3),  # a container sees its own group at the top
        (
            {
                **VERSION_1,
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "600000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            6,
        ),
        (
            {
                **VERSION_1,
                "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            },
            64,
        ),
        ({"proc/self/cgroup": "nonsense\n::\n0::\n", "sys/fs/cgroup/cpu.max": "much more"}, 64),
    ],
)
def test_cores_are_those_of_the_control_group(files, cores, tmp_path, many_cores):
    assert usable_cores(write(tmp_path, files), {}) == cores


def test_cores_are_those_of_the_slurm_job(tmp_path, many_cores):
    assert usable_cores(tmp_path, {"SLURM_CPUS_PER_TASK": "8"}) == 8


@pytest.mark.parametrize(
    ("files", "gib"),
    [
        ({}, 512),
        (
            {
                **VERSION_2,
                "sys/fs/cgroup/user.slice/job/memory.max": str(4 * GIB),
                "sys/fs/cgroup/user.slice/job/memory.current": str(3 * GIB),
                "sys/fs/cgroup/user.slice/job/memory.stat": f"anon 1\ninactive_file {GIB}\n",
            },
            2,
        ),
        ({**VERSION_2, "sys/fs/cgroup/user.slice/job/memory.max": "max"}, 512),
        (
            {
                **VERSION_1,
                "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(8 * GIB),
                "sys/fs/cgroup/memory/job/memory.usage_in_bytes": str(2 * GIB),
            },
            6,
        ),
        ({**VERSION_1, "sys/fs/cgroup/memory/job/memory.limit_in_bytes": str(2**63 - 4096)}, 512),
    ],
)
def test_memory_is_what_the_control_group_leaves(files, gib, tmp_path, much_memory):
    assert free_memory(write(tmp_path, files), {}) == gib * GIB


def test_limit_of_memory_does_not_depend_on_what_is_used(tmp_path, much_memory):
    group = {"sys/fs/cgroup/memory.max": str(3 * GIB), "sys/fs/cgroup/memory.current": str(GIB)}
    assert memory_limit(write(tmp_path, {**VERSION_2, **group}), {}) == 3 * GIB
    assert memory_limit(tmp_path, {"SLURM_MEM_PER_NODE": "2048"}) == 2 * GIB


def test_memory_is_that_of_the_slurm_job(tmp_path, much_memory):
    used = psutil.Process().memory_info().rss
    for environment, gib in (
        ({"SLURM_MEM_PER_NODE": "16384"}, 16),
        ({"SLURM_MEM_PER_CPU": "2048", "SLURM_CPUS_PER_TASK": "4"}, 8),
    ):
        assert abs(free_memory(tmp_path, environment) + used - gib * GIB) < GIB / 4


def test_torch_takes_as_many_threads_as_the_job_has_cores():
    if len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count())) < 2:
        pytest.skip("one core has nothing to leave")
    script = "import napari_pathseg.engine, torch; print(torch.get_num_threads())"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment["SLURM_CPUS_PER_TASK"] = "1"
    found = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"


def test_tile_fits_the_memory():
    spec, config = NetworkSpec("unet-classic", "", 2), PredictConfig()
    assert fitting_prediction_tile(spec, config, 64 * GIB) == config.tile
    tiles = [fitting_prediction_tile(spec, config, gib * GIB) for gib in (4, 2, 1, 0)]
    assert tiles == sorted(tiles, reverse=True)
    assert config.tile > tiles[1] > tiles[-1] == 256
    assert fitting_prediction_tile(NetworkSpec("unet", "tf_efficientnet_lite0", 2), config, 3e9) == config.tile
    assert all(tile % 32 == 0 for tile in tiles)
    small = config.replace(tile=64)
    assert fitting_prediction_tile(spec, small, 0) == 64
