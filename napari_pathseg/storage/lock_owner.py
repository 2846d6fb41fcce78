"""Who holds a project, as the lock file says it.

A process is known to be gone only where its computer is this one.  A name does not tell that:
computers and containers may be called alike.  On Linux the boot and the process namespace
do [1]_, elsewhere the address of the network card.

References
----------
.. [1] https://man7.org/linux/man-pages/man7/pid_namespaces.7.html, and proc_sys_kernel(5) on ``boot_id``.
"""

import getpass
import json
import os
import secrets
import socket
import sys
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import psutil

_LIMIT_BYTES = 10_000


@dataclass(frozen=True)
class Holder:
    """A program that holds a project.

    Attributes
    ----------
    program
        What it is to a person: "the window", or the command.
    process, user, host
        Its number, whose it is, and the name of its computer.
    machine
        What tells that computer from all others, and one start of it from the next.
    since
        When it took the lock, ISO 8601 with the offset from UTC.
    token
        What tells this taking of the lock from all others.
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
        """Return this process as a holder from now on; `program` is what people call it, by default its command."""
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
        """Return the holder that a lock file names, or None where it is not wholly written, or foreign."""
        try:
            values = json.loads(text)
            names = {name: kind(values[name]) for name, kind in _FIELDS.items()}
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        return cls(**names)

    def to_json(self) -> str:
        """Return what the lock file says."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def __str__(self) -> str:
        return f"{self.program} of {self.user} on host {self.host} since {self.since_text}"

    @property
    def since_text(self) -> str:
        """The time since when it holds the project, by the clock here; with its day where that is not today."""
        try:
            since = datetime.fromisoformat(self.since).astimezone()
        except ValueError:
            return self.since
        today = datetime.now().astimezone().date()
        return f"{since:%H:%M}" if since.date() == today else f"{since:%d %b %Y %H:%M}"

    @property
    def gone(self) -> bool:
        """Whether its process is known to have ended; of another computer's nothing is known."""
        if self.machine != _machine():
            return False
        try:
            return psutil.Process(self.process).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return False


_FIELDS: dict[str, type] = {name: int if name == "process" else str for name in Holder.__dataclass_fields__}


def read_holder(path: Path) -> tuple[Holder | None, int]:
    """Return who wrote a lock file, None where that cannot be made out, and its last beat in nanoseconds.

    The file is opened even for the beat alone: on network file systems that fetches the time of
    this moment, while asking for a name's may return one that was heard before [1]_.

    References
    ----------
    .. [1] https://man7.org/linux/man-pages/man5/nfs.5.html, "close-to-open cache consistency".
    """
    with path.open("rb") as file:
        text = file.read(_LIMIT_BYTES).decode("utf8", errors="replace")
        return Holder.from_json(text), os.fstat(file.fileno()).st_mtime_ns


def _command() -> str:
    name = Path(sys.argv[0]).stem if sys.argv else ""
    if name == "__main__":
        name = Path(sys.argv[0]).parent.name
    words = [word for word in sys.argv[1:2] if name == "pathseg" and not word.startswith("-")]
    return " ".join([name, *words]) if name not in ("", "-", "-c") else "a Python program"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container may know no name for its user
        return "somebody"


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode():x}"
