"""A pytest plugin that refuses file operations as Windows does: ``PYTHONPATH=tests pytest -p windows_rules``.

There are no positioned reads and no hard links, folders cannot be opened, and a file that is open, in this
process or in another under the same rules, can be neither replaced, renamed nor deleted.
"""

import builtins
import contextlib
import errno
import fcntl
import io
import os
import shutil
import weakref
from pathlib import Path

import pytest

_OPENED: "weakref.WeakSet[io.IOBase]" = weakref.WeakSet()


def _open_below(path):
    """Return whether a file is open at `path`, or below it if it is a folder."""
    wanted = os.path.abspath(os.fspath(path))
    for file in list(_OPENED):
        name = getattr(file, "name", None)
        if file.closed or not isinstance(name, str | os.PathLike):
            continue
        opened = os.path.abspath(os.fspath(name))
        if opened == wanted or opened.startswith(wanted + os.sep):
            return True
    return False


def _open_elsewhere(path, plain_os_open):
    """Return whether another process has the file at `path` open: each holds a shared lock on what it opens."""
    try:
        handle = plain_os_open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _sharing_violation(path):
    error = PermissionError(errno.EACCES, "The process cannot access the file because it is being used", str(path))
    error.winerror = 32
    return error


@pytest.fixture(autouse=True)
def windows_rules(monkeypatch):
    """Refuse what Windows refuses, for the length of a test."""
    monkeypatch.setattr("zarr.storage._local._safe_move", os.rename)  # as zarr does on Windows
    refuse(monkeypatch)


def refuse(monkeypatch):
    """Replace the calls; a process that a test starts calls this itself."""
    plain_open, plain_os_open = io.open, os.open

    def tracked_open(file, *arguments, **options):
        opened = plain_open(file, *arguments, **options)
        if isinstance(file, str | os.PathLike):
            _OPENED.add(opened)
            with contextlib.suppress(OSError):  # a device has no locks
                fcntl.flock(opened.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        return opened

    def open_no_folder(path, *arguments, **options):
        if isinstance(path, str | os.PathLike) and Path(path).is_dir() and not options.get("dir_fd"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return plain_os_open(path, *arguments, **options)

    def unless_open(change, checked):
        def changed(*paths, **options):
            if not options.get("dir_fd"):
                for path in paths[:checked]:
                    if _open_below(path) or _open_elsewhere(path, plain_os_open):
                        raise _sharing_violation(path)
            return change(*paths, **options)

        return changed

    def no_links(source, target, **_):
        raise OSError(errno.EPERM, "Operation not permitted", str(source))

    monkeypatch.setattr(io, "open", tracked_open)
    monkeypatch.setattr(builtins, "open", tracked_open)
    monkeypatch.setattr(os, "open", open_no_folder)
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(shutil, "_use_fd_functions", False)  # as there: by names, not by open folders
    for name, checked in (("replace", 2), ("rename", 2), ("unlink", 1), ("remove", 1)):
        monkeypatch.setattr(os, name, unless_open(getattr(os, name), checked))
    for name in ("pread", "pwrite"):
        monkeypatch.delattr(os, name)
