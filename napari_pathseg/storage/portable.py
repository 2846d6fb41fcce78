"""File operations that differ between operating systems; the differences are handled here and nowhere else.

Positioned reads, hard links, flushing a folder, replacing or deleting an open file: each has a fallback where
the system lacks the call.  Long paths have none: Windows must allow them,
and `check_path_length` raises before a file is lost.  We do not add Windows' prefix for long paths, because
other libraries open these paths too, and people read them.
"""

import ctypes
import errno
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from napari_pathseg.errors import ProjectError

# Windows refuses to replace or delete a file that is open; virus scanners hold one open for moments.
_ATTEMPTS, _PAUSE_S = 10, 0.05
# https://learn.microsoft.com/en-us/windows/win32/fileio/maximum-file-path-limitation: 260 with a NUL at the end.
_MAX_PATH = 259
_POSITIONED_READS = threading.Lock()
DATA_LOSS_ERRNOS = (errno.EIO, errno.ENOSPC, errno.EDQUOT)  # of fsync; any other means that the disk cannot sync
_SYNC_THREADS = 8


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Return up to `count` bytes of an unbuffered file from `offset` on; fewer at its end.

    Threads may read one file at the same time.  Where the system lacks positioned reads (Windows),
    they take turns, and the file position moves.
    """
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), count, offset)
    with _POSITIONED_READS:
        file.seek(offset)
        return file.read(count) or b""


class ConcurrentFileReader:
    """A file that many threads read at the same time, each at its own offset."""

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


def fsync_all(paths: Sequence[Path]) -> None:
    """Wait until files and folders are on disk and survive a power cut; missing ones count as synced.

    Raises
    ------
    OSError
        If the disk reports lost data.
    """
    try:
        with ThreadPoolExecutor(_SYNC_THREADS) as threads:  # together they take little longer than one
            for _ in threads.map(_fsync_existing, paths):
                pass
    except RuntimeError:  # the interpreter is shutting down and starts no more threads
        for path in paths:
            _fsync_existing(path)


def _fsync_existing(path: Path) -> None:
    try:
        fsync(path)
    except FileNotFoundError:
        return
    except PermissionError:
        raise
    except OSError as error:
        if error.errno in DATA_LOSS_ERRNOS:
            raise


def replace(source: Path, target: Path) -> None:
    """Move a file over another atomically; wait a moment where another program has it open.

    Raises
    ------
    PermissionError
        If the system refuses for longer than half a second.
    """
    _persist(lambda: os.replace(source, target))


def remove(path: Path) -> None:
    """Delete a file if it exists; wait a moment where another program has it open.

    Raises
    ------
    PermissionError
        If the system refuses for longer than half a second.
    """
    _persist(lambda: path.unlink(missing_ok=True))


def remove_tree(folder: Path) -> None:
    """Delete a folder and its contents if it exists; wait a moment where another program has a file in it open.

    Raises
    ------
    PermissionError
        If the system refuses for longer than half a second.
    """
    _persist(lambda: shutil.rmtree(folder) if folder.exists() else None)


def is_open_elsewhere(error: OSError) -> bool:
    """Return whether Windows refused because a program has the file open (access denied, sharing violation)."""
    return getattr(error, "winerror", None) in (5, 32)


def check_path_length(path: Path, reserved: int = 0) -> None:
    """Raise unless this system can open files below `path` whose names add up to `reserved` characters.

    Windows limits paths to 259 characters unless long paths are enabled.  A longer path looks like a missing
    file, and a missing chunk counts as empty.

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


def _persist(change: Callable[[], None]) -> None:
    """Run a file operation; repeat it while Windows says that a file is open."""
    for attempt in range(_ATTEMPTS):
        try:
            return change()
        except PermissionError as error:
            if attempt == _ATTEMPTS - 1 or not is_open_elsewhere(error):
                raise
            time.sleep(_PAUSE_S)
    return None
