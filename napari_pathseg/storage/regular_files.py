"""Open files that may be anything: what is neither a pipe nor a device, and not too large to be read."""

import errno
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path, limit_bytes: int | None = None) -> BufferedReader:
    """Open a file for reading that may be anything: a pipe would wait for ever, a device end never.

    Raises
    ------
    OSError
        If it cannot be opened, is a pipe or a device, or has more than `limit_bytes`; `strerror` says which.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    if limit_bytes is not None and status.st_size > limit_bytes:
        sizes = [f"{(size + 1023) >> 10:,} KiB" for size in (status.st_size, limit_bytes)]
        raise OSError(errno.EFBIG, f"it has {sizes[0]}; at most {sizes[1]} are read", str(path))
    return path.open("rb")


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """Return the content of a file; raise OSError as :func:`open_regular` does."""
    with open_regular(path, limit_bytes) as file:
        return file.read()
