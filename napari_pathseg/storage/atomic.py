"""How a file is written so that a crash leaves the old one or the new one, never half of one.

It is written beside its final name, flushed to the disk, and moved over.
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_pathseg.errors import PathsegError, ProjectError

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
    """Give a temporary path beside `path` to write to; move it over `path` when all went well.

    On an error the temporary file is removed and `path` is what it was.

    Raises
    ------
    ProjectError
        If the folder cannot be written to or the disk is full: which, and what to do.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno is None or isinstance(error, PathsegError):
            raise
        remedy = _REMEDIES.get(error.errno, "Choose another place, then try again.")
        raise ProjectError(f"{path} could not be written: {error.strerror}. {remedy}") from error
    finally:
        _remove(partial)


def save_json(path: Path, value: Any) -> None:
    """Write `value` as JSON: beside, then moved over; ProjectError where the disk refuses."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    with replace_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def load_json(path: Path, limit_bytes: int = 64 * _MIB) -> Any:
    """Return what `path` holds.

    Raises
    ------
    ProjectError
        If the file is missing, cannot be read, is larger than `limit_bytes`, or is no JSON.
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
    try:
        partial.unlink(missing_ok=True)
    except OSError:  # the reason is on its way to the user already
        return
