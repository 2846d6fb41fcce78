"""Atomic writes: a crash leaves the old file or folder, or the new one, never half of one.

Each is written beside its final name, flushed to the disk (files only), and renamed.
"""

import errno
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.storage.portable import is_open_elsewhere, remove, remove_tree, replace
from napari_pathseg.storage.regular_files import read_regular

_MIB = 1 << 20
_MAX_OBJECTS = 2_000_000  # lists and objects of a JSON file; each takes up to 230 bytes of memory
_UMASK = os.umask(0o022)
os.umask(_UMASK)
_FILE_MODE = 0o666 & ~_UMASK
_REMEDIES = {
    errno.EACCES: "Choose a folder you may write to, or ask for the right to write there.",
    errno.EPERM: "Choose a folder you may write to, or ask for the right to write there.",
    errno.EROFS: "Choose a folder you may write to; this disk can only be read.",
    errno.ENOSPC: "The disk is full: free some space, then try again.",
    errno.EDQUOT: "Your share of the disk is full: free some space, then try again.",
    errno.ENOENT: "Create that folder first, or choose another.",
    errno.ENOTDIR: "A part of that path is a file, not a folder: choose another.",
    errno.EISDIR: "A folder has that name: choose another name.",
}


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; move it over `path` unless an error occurs.

    On an error the temporary file is removed and `path` stays unchanged.

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
        if os.name != "nt":
            partial.chmod(_FILE_MODE)  # some libraries create files that nobody else may read
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
    """Yield a path beside `path` at which to create a folder; rename it to `path` unless an error occurs.

    On an error the new folder is removed, and the error goes to the caller.  A killed program leaves a
    hidden ``*.partial``; the next call for the same `path` removes it.

    Parameters
    ----------
    path
        The folder to create; it must not exist.
    unique
        Write under a random name, and leave other such folders alone: after a failed write, a library's
        threads may still be writing to one.

    Raises
    ------
    OSError
        If what a killed program left cannot be removed, or the folder cannot be renamed.
    """
    mark = f".{secrets.token_hex(4)}" if unique else ""
    partial = path.with_name(f".{path.name}{mark}.partial")
    remove_tree(partial)  # files of an earlier attempt would become part of the new folder
    try:
        yield partial
        replace(partial, path)
    finally:
        # A failure has its error on its way to the caller; what the disk refuses to delete, the next call removes.
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` at which to create a folder; let it take the place of `path` unless an error occurs.

    A folder cannot be moved over another one, so for a moment no folder has that name.  A program that is killed
    then leaves the old one beside it, which the next call, or `restore_former`, brings back.

    Raises
    ------
    OSError
        If the folder cannot be written or moved; `path` stays what it was.
    """
    partial, former = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.former")
    restore_former(former)
    for leftover in (partial, former):
        remove_tree(leftover)
    try:
        yield partial
        if path.exists():
            replace(path, former)
        replace(partial, path)
    finally:
        restore_former(former)
        for leftover in (partial, former):
            shutil.rmtree(leftover, ignore_errors=True)  # what the disk refuses to delete, the next call removes


def restore_former(former: Path) -> None:
    """Bring a folder back that a program was killed while replacing, see `replace_folder`; ignore any other path.

    Only a program that may write the folder calls this: one that is just being replaced looks the same for a moment.
    """
    found = re.fullmatch(r"\.(.+)\.former", former.name)
    if found and former.exists() and not former.with_name(found[1]).exists():
        replace(former, former.with_name(found[1]))


def save_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically.

    Raises
    ------
    ProjectError
        If the file cannot be written.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # File names that are not UTF-8 have such characters; JSON's escape of them comes back the same.
    text = re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
    with replace_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def load_json(path: Path, limit_bytes: int = 64 * _MIB, *, finite: bool = True) -> Any:
    """Return the content of a JSON file; NaN and infinite numbers are an error if they must be `finite`.

    Raises
    ------
    ProjectError
        If the file is missing, unreadable, larger than `limit_bytes`, or not JSON.
    """
    try:
        text = read_regular(path, limit_bytes).decode("utf-8")
        if text.count("{") + text.count("[") > _MAX_OBJECTS:
            raise ValueError(f"it has more than {_MAX_OBJECTS:,} lists and objects")
        return json.loads(text, parse_constant=_refuse, parse_float=_finite) if finite else json.loads(text)
    except OSError as error:
        raise ProjectError(f"{path} could not be read: {error.strerror}. Restore it from a copy.") from error
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"{path} is damaged: {error}. Restore it from a copy.") from error


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _remove(partial: Path) -> None:
    """Remove what is left of a temporary file, if possible."""
    with suppress(OSError):  # the error that left it is on its way to the user already
        remove(partial)
