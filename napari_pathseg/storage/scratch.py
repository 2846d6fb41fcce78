"""Temporary folders and arrays.

A folder names its owner, a process, as lock files do: the next program removes those of killed ones.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.lock import LockOwner, read_lock_file

_MAX_BYTES_IN_MEMORY = 1 << 29
_PREFIX, _OWNER = "pathseg-", ".owner"


def scratch_folder() -> "tempfile.TemporaryDirectory[str]":
    """Return a new temporary folder, removed with the object or its block; remove those of killed programs first."""
    remove_orphans()
    folder = tempfile.TemporaryDirectory(prefix=_PREFIX)
    (Path(folder.name) / _OWNER).write_text(LockOwner.here().to_json(), encoding="utf8")
    return folder


def remove_orphans() -> None:
    """Remove the temporary folders of programs that were killed on this computer."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            owner = None if folder.is_symlink() else read_lock_file(folder / _OWNER)[0]
        except OSError:  # not one of ours, or of another user
            continue
        if owner is not None and owner.process != os.getpid() and owner.has_ended:
            shutil.rmtree(folder, ignore_errors=True)


def scratch_array(shape: tuple[int, int]) -> UInt8Array:
    """Return zeros as large as a slide's mask, of which little will be set: in memory, or in a temporary file.

    Only written pixels take space, and the file disappears with the array.
    """
    if shape[0] * shape[1] <= _MAX_BYTES_IN_MEMORY:
        return np.zeros(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="pathseg-") as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)
