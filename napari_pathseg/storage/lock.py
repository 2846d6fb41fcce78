"""A lock that lets one program at a time write to a project folder, on any computer that can reach it.

The owner writes ``.lock-N``, which names it, and touches the file every few seconds: the heartbeat.
A lock without a heartbeat for half a minute, or of a process of this computer that has stopped, may be
taken over by creating ``.lock-N+1``; of several programs that try, only one can create that file.  It
then checks that no lock file was touched in the meantime before it removes the old one.  An owner that
was suspended touches its own file before it looks for others, so at least one of the two sees the other
and gives way.

Ages are differences between times written by the computer that hosts the disk, since clocks differ.  The
operating system's locks, and libraries built on them, are not used: on network shares they may have no
effect, or outlive the host that held them, and none of them can be taken over from another host.

Only a process of this computer can be known to have stopped.  A host name does not identify a computer:
computers and containers may share a name.  On Linux the boot and the process namespace identify it [1]_,
elsewhere the address of the network card.

References
----------
.. [1] https://man7.org/linux/man-pages/man7/pid_namespaces.7.html, and proc_sys_kernel(5) on ``boot_id``.
"""

import contextlib
import errno
import getpass
import json
import os
import random
import re
import secrets
import socket
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.portable import remove
from napari_pathseg.storage.regular_files import open_regular

_MAX_BYTES = 10_000
_NAME = re.compile(r"\.lock-(\d{1,9})")
_ATTEMPTS = 20
_TAKE_OVER_S = 0.5  # by then a take-over in progress has finished
_CLOCK_CHECK_S = 1.0  # between checks of the clock, which jumps when a computer wakes
_GONE_ERRNOS = (errno.ENOENT, errno.ESTALE)
_ANOTHER = "another program"
_NEVER = (0.0, float("-inf"))  # by both clocks


@dataclass(frozen=True)
class LockOwner:
    """A program that holds the lock of a project.

    Attributes
    ----------
    program
        Its name for people: "the window", or the command.
    process, user, host
        Its process id, its user, and the name of its computer.
    machine
        Identifies that computer, and one boot of it.
    since
        When it acquired the lock, ISO 8601 with the offset from UTC.
    token
        Identifies this acquisition of the lock.
    """

    program: str
    process: int
    user: str
    host: str
    machine: str
    since: str
    token: str

    @classmethod
    def here(cls, program: str = "") -> Self:
        """Return this process as an owner from now on; `program` defaults to its command."""
        return cls(
            program=program or _command(),
            process=os.getpid(),
            user=_user(),
            host=socket.gethostname(),
            machine=_machine(),
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            token=secrets.token_hex(8),
        )

    @classmethod
    def from_json(cls, text: str) -> Self | None:
        """Return the owner named in a lock file, or None if it is incomplete or not ours."""
        try:
            values = json.loads(text)
            names = {name: kind(values[name]) for name, kind in _FIELDS.items()}
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return cls(**names)

    def to_json(self) -> str:
        """Return the content of the lock file."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        return f"{self.program} of {self.user} on host {self.host} since {self.since_text}"

    @property
    def since_text(self) -> str:
        """When it acquired the lock, in local time; with the date if that is not today."""
        try:
            since = datetime.fromisoformat(self.since).astimezone()
        except ValueError:
            return self.since
        today = datetime.now().astimezone().date()
        return f"{since:%H:%M}" if since.date() == today else f"{since:%d %b %Y %H:%M}"

    @property
    def has_ended(self) -> bool:
        """Whether its process is known to have ended; never for a process of another computer."""
        if self.machine != _machine():
            return False
        if self.process == os.getpid():  # of a folder that was renamed while this process had it open
            return self.token not in _held_here
        try:
            return psutil.Process(self.process).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


_held_here: set[str] = set()  # the tokens of this process

_FIELDS: dict[str, type] = {name: int if name == "process" else str for name in LockOwner.__dataclass_fields__}


def read_lock_file(path: Path) -> tuple[LockOwner | None, int]:
    """Return the owner in a lock file (None if unreadable) and its last heartbeat in nanoseconds.

    The file is opened even for the heartbeat alone: on network file systems that fetches the current
    time stamp, while `os.stat` of a path may return a cached one [1]_.

    References
    ----------
    .. [1] https://man7.org/linux/man-pages/man5/nfs.5.html, "close-to-open cache consistency".
    """
    try:
        opened = open_regular(path)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ProjectError(f"{path} is a pipe or a device, not a lock. Delete it.") from error
    with opened as file:
        text = file.read(_MAX_BYTES).decode("utf8", errors="replace")
        return LockOwner.from_json(text), os.fstat(file.fileno()).st_mtime_ns


def _command() -> str:
    name = Path(sys.argv[0]).stem if sys.argv else ""
    if name == "__main__":
        name = Path(sys.argv[0]).parent.name
    words = [word for word in sys.argv[1:2] if name == "pathseg" and not word.startswith("-")]
    return " ".join([name, *words]) if name not in ("", "-", "-c") else "a Python program"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may have no name for its user
        return "somebody"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode():x}"


@dataclass(frozen=True)
class LeaseTiming:
    """Seconds between heartbeats, and seconds without one after which a lock may be taken over."""

    heartbeat_s: float = 5.0
    stale_s: float = 30.0


LEASE_TIMING = LeaseTiming()


@dataclass(frozen=True)
class _LockFile:
    """A lock file as it was read: its owner, and the last heartbeat in nanoseconds."""

    path: Path
    owner: LockOwner | None
    heartbeat_ns: int

    @property
    def number(self) -> int:
        return int(self.path.name.rpartition("-")[2])


class ProjectLock:
    """Re-entrant lock on a project folder; release it as often as it was acquired."""

    def __init__(self, folder: Path, timing: LeaseTiming | None = None) -> None:
        self._folder, self._timing = folder, LEASE_TIMING if timing is None else timing
        self._guard = threading.RLock()  # threads share the lock, and the heartbeat is one
        self._depth = 0
        self._owner: LockOwner | None = None
        self._path = folder / ".lock-0"
        self._disk = 0  # the device that the folder lay on
        self._last_heartbeat = _NEVER
        self._lost_to, self._gone = "", False
        self._stopped = threading.Event()

    @property
    def held(self) -> bool:
        """Whether this program holds the lock, as of the last heartbeat."""
        return self._owner is not None and not self._lost_to and not self._gone

    @property
    def gone(self) -> bool:
        """Whether the folder was moved, renamed or deleted, or its disk removed, while this program held the lock."""
        return self._gone or (bool(self._lost_to) and self._has_moved())  # the lock is deleted before the folder

    @property
    def lost_to(self) -> str:
        """The program that took over the lock while this one held it; empty otherwise, and after `release`."""
        return self._lost_to

    def acquire(self, program: str = "") -> bool:
        """Acquire the lock as `program` (default: the running command); return False if it was held here already.

        Raises
        ------
        ProjectError
            If another program holds the lock or took it over, naming that program, or the folder cannot be written.
        """
        with self._guard:
            if self._depth:
                self.check()
                self._depth += 1
                return False
            me, begin = LockOwner.here(program), _clocks()
            _held_here.add(me.token)
            try:
                self._path, self._disk = self._claim(me), self._folder.stat().st_dev
            except OSError as error:
                _held_here.discard(me.token)
                raise ProjectError(
                    f"{self._folder} cannot be written ({error.strerror}). Allow writing to the project folder."
                ) from error
            except BaseException:
                _held_here.discard(me.token)
                raise
            self._owner, self._last_heartbeat, self._depth, self._lost_to, self._gone = me, begin, 1, "", False
            self._stopped = threading.Event()
            threading.Thread(target=self._send_heartbeats, args=(self._stopped,), name="lock", daemon=True).start()
            return True

    def release(self) -> None:
        """Undo one `acquire`; do nothing if the lock is not held."""
        with self._guard:
            self._depth = max(0, self._depth - 1)
            if self._depth or self._owner is None:
                return
            self._stopped.set()
            with contextlib.suppress(OSError):
                if self._is_mine():
                    remove(self._path)
            _held_here.discard(self._owner.token)
            self._owner, self._lost_to, self._gone = None, "", False

    def check(self) -> None:
        """Raise unless the lock is still ours; cheap unless the last heartbeat was long ago.

        Raises
        ------
        ProjectError
            If another program took it over, naming that program, or the folder is gone or cannot be reached.
        """
        fresh = self._seconds_since_heartbeat() < 2 * self._timing.heartbeat_s
        if self._owner is None or (fresh and self.held):
            return
        with self._guard:
            try:
                if not self._lost_to:
                    self._verify()
            except OSError as error:
                raise ProjectError(
                    f"{self._folder} cannot be reached ({error.strerror}). Nothing is written until it can."
                ) from error
            if self.gone:
                raise folder_is_gone(self._folder)
            if self._lost_to:
                raise ProjectError(
                    f"{self._folder} was taken over by {self._lost_to}, because this program did not respond for "
                    f"{self._timing.stale_s:g} s. Nothing more is written from here: close the project and open it "
                    "again."
                )

    def other_owner(self) -> str:
        """Return the other program that holds the lock now, or an empty string."""
        held = [one for one in self._lock_files() if one.path != self._path or self._owner is None]
        return _describe(held)

    def _claim(self, me: LockOwner) -> Path:
        """Create a lock file that all other programs respect, and return its path."""
        for _ in range(_ATTEMPTS):
            found = self._lock_files()
            self._refuse_if_held(found)
            own = self._folder / f".lock-{max((one.number for one in found), default=0) + 1}"
            if not _create(own, me):
                continue  # another program was quicker
            if self._take_over(own, found):
                return own
            time.sleep(random.uniform(0, 2 / _ATTEMPTS))
        raise ProjectError(f"{self._folder} is being opened by other programs. Try again in a moment.")

    def _take_over(self, own: Path, found: list[_LockFile]) -> bool:
        """Remove the lock files `found` earlier unless one was touched since; then give way and return False."""
        try:
            unchanged = [one for one in self._lock_files() if one.path != own] == found and own.exists()
            for one in found if unchanged else ():
                remove(one.path)
        except OSError:
            remove(own)
            raise
        if not unchanged:
            remove(own)
        return unchanged

    def _refuse_if_held(self, found: list[_LockFile]) -> None:
        living = [one for one in found if one.owner is None or not one.owner.has_ended]
        if not living:
            return
        now, stale = _disk_time(self._folder), self._timing.stale_s * 1e9
        # abs, because a heartbeat in the future means that a clock was set back
        held = [one for one in living if abs(now - one.heartbeat_ns) < stale]
        if held:
            who = _describe(held, process=True)
            raise ProjectError(f"{self._folder} is open in {who}. Close it there, then try again.")

    def _lock_files(self) -> list[_LockFile]:
        """Return the lock files of the folder."""
        found = []
        for path in sorted(self._folder.glob(".lock-*")):
            if _NAME.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):  # released this moment
                    found.append(_LockFile(path, *read_lock_file(path)))
        return found

    def _send_heartbeats(self, stopped: threading.Event) -> None:
        """Touch the lock file regularly, and check that no program took over."""
        while not stopped.wait(min(self._timing.heartbeat_s, _CLOCK_CHECK_S)):
            if self._seconds_since_heartbeat() < self._timing.heartbeat_s * 0.9:
                continue
            with (
                self._guard,
                contextlib.suppress(OSError),
            ):  # a share may be away; `check` reports it
                if stopped.is_set() or self._lost_to:
                    return
                self._verify()

    def _verify(self) -> None:
        """Touch the lock file, then check whether another program took over; in doubt assume that it did."""
        now, lost = _clocks(), not self._is_mine()
        self._gone = lost and self._has_moved()
        if self._gone:  # it may come back
            return
        if not lost:
            try:
                os.utime(self._path)  # without a time, so that a share's server uses its own clock
            except OSError as error:
                if error.errno not in _GONE_ERRNOS:
                    raise
                lost = True
        if not lost and self._others():
            time.sleep(_TAKE_OVER_S)
            lost = bool(self._others()) or not self._is_mine()
            if lost and self._is_mine():
                remove(self._path)
        if lost:
            self._lost_to = _describe(self._others()) or _ANOTHER
        self._last_heartbeat = now  # last, as `check` trusts a recent one without waiting for the guard

    def _seconds_since_heartbeat(self) -> float:
        """Return the time since the last heartbeat, by the clock that says more.

        The wall clock runs while the computer sleeps, but may be set back; the other one is never set.
        """
        pairs = zip(_clocks(), self._last_heartbeat, strict=True)
        return max(abs(now - before) for now, before in pairs)

    def _has_moved(self) -> bool:
        """Return whether there is no folder any more, or the one of another disk, to which ours was attached."""
        try:
            return self._folder.stat().st_dev != self._disk
        except (FileNotFoundError, NotADirectoryError):
            return True

    def _others(self) -> list[_LockFile]:
        return [one for one in self._lock_files() if one.path != self._path or one.owner != self._owner]

    def _is_mine(self) -> bool:
        try:
            return read_lock_file(self._path)[0] == self._owner
        except OSError as error:
            if error.errno not in _GONE_ERRNOS:
                raise
            return False


def folder_is_gone(folder: Path) -> ProjectError:
    """Return the error of a folder that is no longer where it was opened."""
    return ProjectError(
        f"{folder} is gone: it was moved, renamed or deleted, or its disk was removed. What you drew before is saved "
        "in it. Bring it back, or open it where it is now."
    )


def _clocks() -> tuple[float, float]:
    """Return the time by the wall clock, and by the one that is never set."""
    return time.time(), time.monotonic()


def _describe(held: list[_LockFile], *, process: bool = False) -> str:
    """Return the owner of the newest lock file as text."""
    if not held:
        return ""
    owner = max(held, key=lambda one: one.number).owner
    if owner is None:
        return _ANOTHER
    return f"{owner} (process {owner.process})" if process else str(owner)


def _create(path: Path, owner: LockOwner) -> bool:
    """Create a lock file; return False if it exists already."""
    try:
        file = path.open("x", encoding="utf8")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(owner.to_json())
    except OSError:
        remove(path)  # a full disk created the file without its content
        raise
    return True


def _disk_time(folder: Path) -> int:
    """Return the current time of the clock that stamps files in `folder`, in nanoseconds."""
    handle, name = tempfile.mkstemp(prefix=".lock.", suffix=".partial", dir=folder)  # removed by a recovery, too
    try:
        return os.fstat(handle).st_mtime_ns
    finally:
        os.close(handle)
        remove(Path(name))
