"""A disk that refuses one of the calls that write to it."""

import builtins
import errno
import io
import os
import threading

ERRORS = [errno.ENOSPC, errno.EACCES, errno.EIO]  # in turn; with FUZZ all three for each call
CALLS = ["replace", "rename", "unlink", "remove", "mkdir", "link", "fsync", "open"]
REAL = {(os, name): getattr(os, name) for name in CALLS} | {(io, "open"): io.open, (builtins, "open"): builtins.open}


class RefusingFile:
    """A file whose writes the disk may refuse half-way."""

    def __init__(self, disk, file):
        self._disk, self._file = disk, file

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        return self._file.__exit__(*error)

    def write(self, content):
        try:
            self._disk.count("write")
        except OSError:
            self._file.write((content if isinstance(content, str) else bytes(content))[: len(content) // 2])
            raise
        return self._file.write(content)


class Disk:
    """Counts the calls that write to disk, and refuses one of them."""

    def __init__(self, monkeypatch, refused, number):
        self.refused, self.number, self.calls = refused, number, []
        self.refuses_fsync = False
        for name in CALLS:
            monkeypatch.setattr(os, name, self._counted(name, getattr(os, name)))
        opened = self._opener(io.open)
        monkeypatch.setattr(io, "open", opened)
        monkeypatch.setattr(builtins, "open", opened)

    @property
    def has_refused(self):
        return self.refused is not None and len(self.calls) > self.refused

    def count(self, name):
        if threading.current_thread().name == "journal":  # syncs records at times that vary
            return
        self.calls.append(name)
        if len(self.calls) - 1 == self.refused or (name == "fsync" and self.refuses_fsync):
            number = self.number
            if name == "fsync" and number == errno.EACCES:  # which fsync never raises
                number = errno.EIO
            raise OSError(number, os.strerror(number), name)

    def _counted(self, name, function):
        def call(*arguments, **options):
            self.count(name)
            return function(*arguments, **options)

        return call

    def _opener(self, function):
        def call(file, mode="r", *arguments, **options):
            writes = isinstance(mode, str) and any(letter in mode for letter in "wa+x")
            if not writes or not isinstance(file, (str, os.PathLike)):
                return function(file, mode, *arguments, **options)
            self.count("open")
            return RefusingFile(self, function(file, mode, *arguments, **options))

        return call
