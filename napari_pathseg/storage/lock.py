"""One writer at a time on a project folder, of all programs on all computers that reach it.

The holder writes ``.lock-N``, which says who it is, and touches it every few seconds, the
beat.  What has not beaten for half a minute, or belongs to a process of this computer that
is gone, may be taken over by making ``.lock-N+1``: of many that try, one can make that file.
The one that did looks whether anything was touched since it first looked, and only then
removes the old file.  A holder that slept in between touches its file first and looks for
others then, so at least one of the two sees the other and gives way.

Ages are differences of times that the disk's own computer wrote, for clocks differ.  The
operating system's locks are not used: on network shares they may bind nobody, or outlive
the host that held them.
"""

import contextlib
import errno
import os
import random
import re
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.lock_owner import Holder, read_holder

_NAME = re.compile(r"\.lock-(\d{1,9})")
_TRIES = 20
_SOON = 0.5  # seconds in which one that takes over is done with it
_SLICE = 1.0  # seconds between looks at the clock, which jumps when a computer wakes
_GONE = (errno.ENOENT, errno.ESTALE)
_ANOTHER = "another program"


@dataclass(frozen=True)
class Pace:
    """Seconds between two beats, and without a beat until a lock may be taken over."""

    beat: float = 5.0
    stale: float = 30.0


PACE = Pace()


@dataclass(frozen=True)
class _Seen:
    """A lock file as it was found: by whom, and its last beat in nanoseconds."""

    path: Path
    holder: Holder | None
    beat: int

    @property
    def number(self) -> int:
        return _number(self.path)


class ProjectLock:
    """The lock of a project folder; taken more than once by one holder, it is let go as often."""

    def __init__(self, folder: Path, pace: Pace | None = None) -> None:
        self._folder, self._pace = folder, PACE if pace is None else pace
        self._guard = threading.RLock()  # a holder may work in threads, and the beat is one
        self._depth = 0
        self._me: Holder | None = None
        self._own = folder / ".lock-0"
        self._beaten = 0.0  # by the clock that goes on while the computer sleeps
        self._taken_by = ""
        self._ended = threading.Event()

    @property
    def held(self) -> bool:
        """Whether this program holds it, as far as is known."""
        return self._me is not None and not self._taken_by

    @property
    def taken_by(self) -> str:
        """Who took the lock over while it was held here; empty until that happens, and again once it is let go."""
        return self._taken_by

    def acquire(self, program: str = "") -> bool:
        """Take the lock as `program`, by default the command that runs; return whether this is the first time.

        Raises
        ------
        ProjectError
            If another program holds it or took it over, naming that program, or the folder cannot be written.
        """
        with self._guard:
            if self._depth:
                self.check()
                self._depth += 1
                return False
            me, begin = Holder.here(program), time.time()
            try:
                self._own = self._claim(me)
            except OSError as error:
                raise ProjectError(
                    f"{self._folder} cannot be written ({error.strerror}). Allow writing to the project folder."
                ) from error
            self._me, self._beaten, self._depth, self._taken_by = me, begin, 1, ""
            self._ended = threading.Event()
            threading.Thread(target=self._beat, args=(self._ended,), name="lock", daemon=True).start()
            return True

    def release(self) -> None:
        """Let the lock go once; nothing happens where it is not held."""
        with self._guard:
            self._depth = max(0, self._depth - 1)
            if self._depth or self._me is None:
                return
            self._ended.set()
            with contextlib.suppress(OSError):
                if self._is_mine():
                    self._own.unlink()
            self._me, self._taken_by = None, ""

    def check(self) -> None:
        """Make sure that the lock was not lost since it was taken; cheap unless the last beat was long ago.

        Raises
        ------
        ProjectError
            If it was taken over, naming who did, or the folder cannot be reached.
        """
        fresh = abs(time.time() - self._beaten) < 2 * self._pace.beat
        if self._me is None or (fresh and not self._taken_by):
            return
        with self._guard:
            try:
                if not self._taken_by:
                    self._verify()
            except OSError as error:
                raise ProjectError(
                    f"{self._folder} cannot be reached ({error.strerror}). Nothing is written until it can."
                ) from error
            if self._taken_by:
                raise ProjectError(
                    f"{self._folder} was taken over by {self._taken_by}, for this program had given no sign for "
                    f"{self._pace.stale:g} s. Nothing more is written from here: close the project and open it again."
                )

    def other(self) -> str:
        """Return who else holds the lock now; empty where nobody does."""
        held = [seen for seen in self._look() if seen.path != self._own or self._me is None]
        return _text(held)

    # -- taking it

    def _claim(self, me: Holder) -> Path:
        """Make a lock file that all others respect, and return its path."""
        for _ in range(_TRIES):
            seen = self._look()
            self._refuse_if_held(seen)
            own = self._folder / f".lock-{max((one.number for one in seen), default=0) + 1}"
            if not _make(own, me):
                continue  # another was quicker: look who
            if self._takes_over(own, seen):
                return own
            time.sleep(random.uniform(0, 2 / _TRIES))
        raise ProjectError(f"{self._folder} is being opened by other programs. Try again in a moment.")

    def _takes_over(self, own: Path, seen: list[_Seen]) -> bool:
        """Remove the lock files that were `seen` and are as they were then; where one is not, give way."""
        try:
            unchanged = [one for one in self._look() if one.path != own] == seen and own.exists()
            for one in seen if unchanged else ():
                one.path.unlink(missing_ok=True)
        except OSError:
            own.unlink(missing_ok=True)
            raise
        if not unchanged:
            own.unlink(missing_ok=True)
        return unchanged

    def _refuse_if_held(self, seen: list[_Seen]) -> None:
        living = [one for one in seen if one.holder is None or not one.holder.gone]
        if not living:
            return
        now, stale = _disk_time(self._folder), self._pace.stale * 1e9
        held = [one for one in living if abs(now - one.beat) < stale]  # a beat of the future: a clock was set back
        if held:
            who = _text(held, process=True)
            raise ProjectError(f"{self._folder} is open in {who}. Close it there, then try again.")

    def _look(self) -> list[_Seen]:
        """Return the lock files that are there."""
        found = []
        for path in sorted(self._folder.glob(".lock-*")):
            if _NAME.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):  # let go this moment
                    found.append(_Seen(path, *read_holder(path)))
        return found

    # -- keeping it

    def _beat(self, ended: threading.Event) -> None:
        """Give a sign now and then, and look whether somebody took over."""
        while not ended.wait(min(self._pace.beat, _SLICE)):
            if abs(time.time() - self._beaten) < self._pace.beat * 0.9:
                continue
            with self._guard, contextlib.suppress(OSError):  # a share may be away for a while; `check` tells of it
                if ended.is_set() or self._taken_by:
                    return
                self._verify()

    def _verify(self) -> None:
        """Beat, then find out whether somebody took over; in doubt they did."""
        now, lost = time.time(), not self._is_mine()
        if not lost:
            try:
                os.utime(self._own)  # without a time: a share's server takes its own clock's
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                lost = True
        if not lost and self._others():
            time.sleep(_SOON)
            lost = bool(self._others()) or not self._is_mine()
            if lost and self._is_mine():
                self._own.unlink(missing_ok=True)
        self._beaten = now
        if lost:
            self._taken_by = _text(self._others()) or _ANOTHER

    def _others(self) -> list[_Seen]:
        return [seen for seen in self._look() if seen.path != self._own or seen.holder != self._me]

    def _is_mine(self) -> bool:
        try:
            return read_holder(self._own)[0] == self._me
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return False


def _number(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _text(held: list[_Seen], *, process: bool = False) -> str:
    """Name the holder of the newest of lock files."""
    if not held:
        return ""
    holder = max(held, key=lambda one: one.number).holder
    if holder is None:
        return _ANOTHER
    return f"{holder} (process {holder.process})" if process else str(holder)


def _make(path: Path, holder: Holder) -> bool:
    """Write a lock file that is not there yet; return whether it was this program that made it."""
    try:
        file = path.open("x", encoding="utf8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(holder.to_json())
    except OSError:
        path.unlink(missing_ok=True)  # a full disk took the name and not the text
        raise
    return True


def _disk_time(folder: Path) -> int:
    """Return what time it is by the clock that stamps files in `folder`, in nanoseconds."""
    handle, name = tempfile.mkstemp(prefix=".lock.", suffix=".partial", dir=folder)  # swept where this is killed
    try:
        return os.fstat(handle).st_mtime_ns
    finally:
        os.close(handle)
        os.unlink(name)
