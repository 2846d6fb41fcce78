"""Checks of the memory and the processor cores that this program may use."""

import os
import sys
from pathlib import Path

import psutil

from napari_pathseg.doctor.finding import Finding
from napari_pathseg.storage.machine import free_memory, memory_limit, usable_cores

_LEAST, _ENOUGH = 2e9, 6e9  # bytes: for a prediction with the default network; for a training while a window is open
_FREE = 1.5e9
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def check_memory(_: Path) -> Finding:
    """Compare the memory that this program may use with what a training takes."""
    total, free = psutil.virtual_memory().total, free_memory()
    limit = min(float(memory_limit()), _address_space())
    what = f"{limit / 1e9:.1f} GB, {min(free, limit) / 1e9:.1f} GB of them free."
    if limit < 0.95 * total:
        what = f"A limit allows {limit / 1e9:.1f} of the computer's {total / 1e9:.1f} GB, {free / 1e9:.1f} GB are free."
        remedy = "Raise the limit: of the container (--memory), of the job (SLURM: --mem), or of the shell (ulimit -v)."
    else:
        remedy = "Use a computer with more memory; 8 GB is a good start."
    if limit < _LEAST:
        return Finding.fault(f"{what} That is too little to train or predict.", remedy)
    if limit < _ENOUGH:
        return Finding.warning(f"{what} A training may run out of it.", remedy)
    if free < _FREE:
        return Finding.warning(f"{what} A training may run out of it.", "Close other programs.")
    return Finding.ok(what)


def _address_space() -> float:
    """Return the bytes that ``ulimit -v`` allows."""
    if sys.platform == "win32":
        return float("inf")
    import resource

    soft = resource.getrlimit(resource.RLIMIT_AS)[0]
    return float("inf") if soft == resource.RLIM_INFINITY else float(soft)


def check_cores(_: Path) -> Finding:
    """Compare the processor cores that this program may use with those of the computer."""
    cores, there = usable_cores(), os.cpu_count() or 1
    set_here = [name for name in _THREADS if os.environ.get(name, "").isdecimal()]
    few = [name for name in set_here if int(os.environ[name]) < cores]
    what = f"{cores} of {there} processor cores may be used."
    if few:
        chosen = ", ".join(f"{name}={os.environ[name]}" for name in few)
        return Finding.warning(f"{what} {chosen} lets torch use fewer.", f"Unset {' and '.join(few)}.")
    if cores == 1:
        return Finding.warning(
            f"{what} The window and a training share it: both are slow.",
            "Allow more: of the container (--cpus), of the job (SLURM: --cpus-per-task), or of the process (taskset).",
        )
    return Finding.ok(what)
