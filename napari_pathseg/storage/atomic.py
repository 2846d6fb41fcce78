"""Atomic writes: a crash leaves the old file or folder, or the new one, never half of one.

Each is written beside its final name and moved over; files are flushed to the disk before.
"""

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.storage.portable import is_open_elsewhere, remove, replace

_MIB = 1 << 20
_REMEDIES = {
    errno.EACCES: "Choose a folder you may write to, or ask for the right to write there.",
    errno.EPERM: "Choose a folder you may write to, or ask for the right to write there.",
    errno.EROFS: "Choose a folder you may write to; this disk can only be read.",
    errno.ENOSPC: "The disk is full: free some space, then try again.",
    errno.EDQUOT: "Your share of the disk is full: free some space, then try again.",
    errno.ENOENT: "Make that folder first, or choose another.",
    errno.ENOTDIR: "A part of that path is a file, not a folder: choose another.",
    errno.EISDIR: "A folder has that name: choose another name.",
}


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; move it over `path` if all goes well.

    On an error the temporary file is removed and `path` stays as it was.

    Raises
    ------
    ProjectError
        If the folder cannot be written to, the disk is full, or another program has the file open.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        replace(partial, path)
    except OSError as error:
        if error.errno is None or isinstance(error, PathsegError):
            raise
        if is_open_elsewhere(error):
            raise ProjectError(
                f"{path} could not be written: another program has it open, or you may not write there. "
                "Close it there or choose another place, then try again."
            ) from error
        remedy = _REMEDIES.get(error.errno, "Choose another place, then try again.")
        raise ProjectError(f"{path} could not be written: {error.strerror}. {remedy}") from error
    finally:
        _remove(partial)


@contextmanager
def atomic_folder(path: Path, *, unique: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` at which to create a folder; rename it to `path` if all goes well.

    On an error what was written is removed, and the error goes to the caller.  A killed program leaves a
    hidden ``*.partial``; the next call for the same `path` removes it.

    Parameters
    ----------
    path
        The folder to make; there must be none of that name.
    unique
        Write under a random name, and leave other such folders alone: where a write failed before, a
        library's threads may still be writing there.
    """
    mark = f".{secrets.token_hex(4)}" if unique else ""
    partial = path.with_name(f".{path.name}{mark}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def save_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically.

    Raises
    ------
    ProjectError
        If the disk refuses.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with replace_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def load_json(path: Path, limit_bytes: int = 64 * _MIB) -> Any:
    """Return the content of a JSON file.

    Raises
    ------
    ProjectError
        If the file is missing, unreadable, larger than `limit_bytes`, or not JSON.
    """
    try:
        size = path.stat().st_size
        if size > limit_bytes:
            raise ProjectError(
                f"{path} has {size / _MIB:.0f} MiB; at most {limit_bytes / _MIB:.0f} MiB are read. "
                "Restore it from a copy."
            )
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProjectError(f"{path} could not be read: {error.strerror}. Restore it from a copy.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, ProjectError):
            raise
        raise ProjectError(f"{path} is damaged: {error}. Restore it from a copy.") from error


def _remove(partial: Path) -> None:
    """Remove what is left of a temporary file, if the disk lets us."""
    with suppress(OSError):  # the reason is on its way to the user already
        remove(partial)
