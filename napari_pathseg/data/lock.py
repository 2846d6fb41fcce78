"""One writer at a time on a project folder; the operating system frees a killed one's lock."""

import os
import socket
from pathlib import Path

from filelock import FileLock, Timeout

from napari_pathseg.errors import ProjectError


class ProjectLock:
    """The lock of a project folder; taken more than once by one holder, it is let go as often."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = FileLock(folder / ".lock", timeout=0, thread_local=False)  # its holder may work in a thread
        self._holder = folder / ".holder"

    def acquire(self) -> bool:
        """Take the lock; return whether this is the first time.

        Raises
        ------
        ProjectError
            If another program holds it, naming that program, or the folder cannot be written.
        """
        try:
            self._lock.acquire()
            if self._lock.lock_counter > 1:
                return False
            self._holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf8")
        except Timeout:
            holder = self._holder.read_text(encoding="utf8") if self._holder.exists() else "another program"
            raise ProjectError(f"{self._folder} is open in {holder}. Close it there, then try again.") from None
        except OSError as error:
            self._lock.release()
            raise ProjectError(
                f"{self._folder} cannot be written ({error.strerror}). Allow writing to the project folder."
            ) from error
        return True

    def release(self) -> None:
        """Let the lock go once."""
        self._lock.release()
