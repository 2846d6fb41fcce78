"""Files on every operating system: what differs between them is decided here, and nowhere else.

Positioned reads, hard links, flushing a folder, replacing or deleting a file that somebody has open, and
names that Windows reserves: each has a fallback where the system lacks the call.  Long paths have none:
Windows must allow them, and `check_path_length` says so before a file is lost.  Its prefix for long paths is
not added to ours, because other libraries open them too, and people read them.
"""

import ctypes
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry.arrays import UInt8Array

_MAX_BYTES_IN_MEMORY = 1 << 29
# Windows refuses to replace or delete a file that is open; scanners for viruses hold one for moments.
_ATTEMPTS, _PAUSE_S = 10, 0.05
# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"}
)
_FORBIDDEN = frozenset('<>:"/\\|?*')
# https://learn.microsoft.com/en-us/windows/win32/fileio/maximum-file-path-limitation: 260 with a NUL at the end.
_MAX_PATH = 259
_POSITIONED_READS = threading.Lock()


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Return up to `count` bytes of an unbuffered file from `offset` on; fewer at its end.

    Threads may read one file at the same time.  Where the system lacks positioned reads (Windows),
    they take turns, and the file's position moves.
    """
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), count, offset)
    with _POSITIONED_READS:
        file.seek(offset)
        return file.read(count) or b""


class ConcurrentFileReader:
    """A file that many threads read at once, each at an offset of its own."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on; fewer at the end of the file."""
        parts = []
        while count > 0:
            part = read_at(self._file, offset, count)
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the file.  Further reads raise ValueError."""
        self._file.close()


def link_or_copy(source: str | Path, target: str | Path) -> None:
    """Make `target` a hard link to `source`, or a copy where the disk or the system refuses the link."""
    try:
        os.link(source, target)
    except OSError:  # no links at all, none to another disk, or no more to this file
        shutil.copy2(source, target)


def fsync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk.

    Windows opens no folders: there it does nothing for them, and NTFS journals renames itself.
    Python's `os.fsync` wants a file that is open for writing there.
    """
    try:
        handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except PermissionError:
        if path.is_dir():
            return
        raise
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(source: Path, target: Path) -> None:
    """Move a file over another at once; wait a moment where another program has it open.

    Raises
    ------
    PermissionError
        If the system refuses for longer than half a second.
    """
    _persist(lambda: os.replace(source, target))


def remove(path: Path) -> None:
    """Delete a file if it is there; wait a moment where another program has it open.

    Raises
    ------
    PermissionError
        If the system refuses for longer than half a second.
    """
    _persist(lambda: path.unlink(missing_ok=True))


def remove_tree(folder: Path) -> None:
    """Delete a folder with all it holds, if it is there; wait a moment where another program has a file of it open.

    Raises
    ------
    PermissionError
        If the system refuses for longer than half a second.
    """
    _persist(lambda: shutil.rmtree(folder) if folder.exists() else None)


def is_open_elsewhere(error: OSError) -> bool:
    """Return whether Windows refuses because some program has the file open (access denied, sharing violation)."""
    return getattr(error, "winerror", None) in (5, 32)


def safe_name(name: str) -> str:
    """Return `name`, or the nearest name that a file can have on every system.

    Windows reserves some names whatever their suffix, drops dots and spaces at the end, and forbids
    a few characters.

    >>> safe_name("liver"), safe_name("con.tif"), safe_name("a?."), safe_name("AUX")
    ('liver', 'con_.tif', 'a__', 'AUX_')
    """
    name = "".join("_" if letter in _FORBIDDEN or ord(letter) < 32 else letter for letter in name)
    kept = name.rstrip(". ")
    name = kept + "_" * (len(name) - len(kept)) if kept != name else name
    stem, dot, suffix = name.partition(".")
    return f"{stem}_{dot}{suffix}" if stem.rstrip(" ").casefold() in _RESERVED else name


def check_path_length(path: Path, reserved: int = 0) -> None:
    """Raise unless this system can open files below `path` whose names add up to `reserved` characters.

    Windows ends paths after 259 characters unless long paths are enabled; Python 3.6 and newer then has no
    limit.  A longer path reads as a missing file, and a missing chunk as an empty one.

    Raises
    ------
    ProjectError
        If the path is too long.
    """
    length = len(str(path))
    if length + reserved > _MAX_PATH and not _long_paths_enabled():
        raise ProjectError(
            f"{path} has {length} characters; Windows opens paths of {_MAX_PATH} and the files in it need {reserved}. "
            "Choose a folder with a shorter path, or enable long paths in Windows (LongPathsEnabled)."
        )


def _long_paths_enabled() -> bool:
    """Return whether this system and this Python open paths of more than 259 characters."""
    if sys.platform != "win32":
        return True
    return bool(ctypes.WinDLL("ntdll").RtlAreLongPathsEnabled())


def scratch_array(shape: tuple[int, int]) -> UInt8Array:
    """Return zeros as large as a slide's mask, of which little is used: in memory, or in a temporary file.

    Only what is written takes space, and the file disappears with the array.
    """
    if shape[0] * shape[1] <= _MAX_BYTES_IN_MEMORY:
        return np.zeros(shape, np.uint8)
    with tempfile.TemporaryFile(prefix="pathseg-") as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _persist(change: Callable[[], None]) -> None:
    """Make a change of a folder; repeat it while Windows says that a file is open."""
    for attempt in range(_ATTEMPTS):
        try:
            return change()
        except PermissionError as error:
            if attempt == _ATTEMPTS - 1 or not is_open_elsewhere(error):
                raise
            time.sleep(_PAUSE_S)
    return None
