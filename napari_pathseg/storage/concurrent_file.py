"""A file that many threads read at once, none waiting for another."""

import os
import threading
from pathlib import Path


class PositionedFile:
    """An open file; each read says where, so that threads share no position.

    Where the system lacks positioned reads (Windows), threads take turns to read, not to decode.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self._lock = threading.Lock()

    def read(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on; fewer at the end of the file."""
        parts = []
        while count > 0:
            part = self._read_once(offset, count)
            if not part:
                break
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Let the file go; a read after it is a ValueError."""
        self._file.close()

    def _read_once(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count) or b""
