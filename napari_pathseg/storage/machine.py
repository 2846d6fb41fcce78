"""What this process may use of the computer: the limits of a container, a control group or a SLURM job count."""

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

_NO_LIMIT = 1 << 60  # control groups of version 1 say "no limit" by a number near 2**63


def usable_cores(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processor cores that this process may use, at least 1.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` lie.
    environment
        The variables of the process, among them those of SLURM.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [_share_of_version_2(group) for group in _groups(root, "")]
    shares += [_share_of_version_1(group) for group in _groups(root, "cpu")]
    slurm = _number(environment.get("SLURM_CPUS_PER_TASK", "")) or math.inf
    return max(1, math.floor(min(affinity, slurm, *shares)))


def memory_limit(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Return the bytes of memory that this process may use at most; see :func:`usable_cores`."""
    limits = [limit for limit, _ in _memory_of_groups(root)]
    return int(min(psutil.virtual_memory().total, _memory_of_slurm(environment), *limits))


def free_memory(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Return the bytes of memory that this process may still take; see :func:`usable_cores`."""
    free = [limit - used for limit, used in _memory_of_groups(root)]
    left_by_slurm = _memory_of_slurm(environment) - psutil.Process().memory_info().rss
    return max(0, int(min(psutil.virtual_memory().available, left_by_slurm, *free)))


def give_back_memory() -> None:
    """Return freed memory to the system; elsewhere than on Linux it is kept for the next use."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library than that of GNU
            ctypes.CDLL("libc.so.6").malloc_trim(0)


def _memory_of_groups(root: Path) -> Iterator[tuple[float, float]]:
    """Yield the limit of each control group, in bytes, and what is used of it."""
    for controller, limit_name, used_name in (
        ("", "memory.max", "memory.current"),
        ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ):
        for group in _groups(root, controller):
            limit = _read_number(group / limit_name)
            if limit is not None and limit < _NO_LIMIT:
                yield limit, (_read_number(group / used_name) or 0) - _cached_files(group)


def _memory_of_slurm(environment: Mapping[str, str]) -> float:
    megabytes = _number(environment.get("SLURM_MEM_PER_NODE", ""))
    if megabytes is None and (per_core := _number(environment.get("SLURM_MEM_PER_CPU", ""))) is not None:
        megabytes = per_core * (_number(environment.get("SLURM_CPUS_PER_TASK", "")) or 1)
    return megabytes * 2**20 if megabytes else math.inf  # 0 asks for all of the node


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the control groups that this process is in, the innermost first.

    An empty `controller` means version 2.  In a container the path of the group is often that of the host, and what
    the container sees lies at the top.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf8").splitlines()
    except (OSError, UnicodeError):  # another system than Linux
        return
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if (number == "0" and not controller) if not names else controller in names.split(","):
            mounts = [names, controller] if controller else ["", "unified"]
            tops = [root / "sys/fs/cgroup" / name for name in mounts]
            top = next((top for top in tops if top.is_dir()), tops[0])
            parts = [part for part in path.split("/") if part not in ("", "..")]
            for count in range(len(parts), -1, -1):
                yield top.joinpath(*parts[:count])


def _share_of_version_2(group: Path) -> float:
    """Return the cores of ``cpu.max``: "max 100000", or microseconds of each period."""
    quota, _, period = _read(group / "cpu.max").partition(" ")
    return _share(_number(quota), _number(period))


def _share_of_version_1(group: Path) -> float:
    return _share(_read_number(group / "cpu.cfs_quota_us"), _read_number(group / "cpu.cfs_period_us"))


def _share(quota: float | None, period: float | None) -> float:
    return quota / period if quota and period and quota > 0 and period > 0 else math.inf


def _cached_files(group: Path) -> float:
    """Return the bytes of a group's memory that hold files, which are given up when they are needed."""
    for line in _read(group / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "total_inactive_file"):
            return _number(value) or 0.0
    return 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf8").strip()
    except (OSError, UnicodeError):  # no such limit
        return ""


def _read_number(path: Path) -> float | None:
    return _number(_read(path))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
