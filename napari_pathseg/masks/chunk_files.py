"""An array of bytes on disk, a file for each chunk: zarr 3's layout, so that other programs read it.

A chunk is replaced as a whole, beside and moved over: it is the old one or the new one, and a
hard link to it stays what it was.  A chunk of zeros has no file.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numcodecs.zstd import Zstd

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import ProjectError

CHUNK = 512  # pixels of a side
PARTIAL = ".partial"  # the suffix of a chunk that is being written
Key = tuple[int, int]  # row and column of a chunk
DATA_LOSS_ERRNOS = (errno.EIO, errno.ENOSPC, errno.EDQUOT)  # of fsync; other errors: a disk that knows none
_SYNCERS = 8
_ZSTD = Zstd(level=1, checksum=True)  # a damaged byte is noticed


def is_uniform(pixels: UInt8Array) -> bool:
    """Whether each plane of a box has one value: so is most of a mask, and it is quickly told."""
    planes = pixels if pixels.ndim > 2 else pixels[None]
    return pixels.size > 0 and all(plane.min() == plane.max() for plane in planes)


class ChunkFiles:
    """The chunks of one array; `folder` is the zarr array's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "c"

    def read(self, key: Key) -> UInt8Array | None:
        """Return a chunk's pixels, ``(CHUNK, CHUNK)``, or None where all are 0.

        Raises
        ------
        ProjectError
            If its file is damaged or not to be read: what cannot be read is never taken for empty.
        """
        path = self.path(key)
        try:
            stored = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ProjectError(
                f"{path} could not be read ({error.strerror or error}); it is a part of a mask. Allow reading, or "
                "restore it from a copy."
            ) from error
        try:
            pixels = np.frombuffer(_ZSTD.decode(stored), np.uint8)
            return pixels.reshape(CHUNK, CHUNK)
        except (RuntimeError, ValueError) as error:
            raise ProjectError(
                f"{path} is damaged ({error}); it is a part of a mask. Restore it from a copy, or go back to a version."
            ) from error

    def write(self, key: Key, pixels: UInt8Array) -> None:
        """Replace a chunk, ``(CHUNK, CHUNK)``; an OSError leaves the old one.

        The operating system has it then; see :func:`fsync_all`.
        """
        path = self.path(key)
        if not pixels.max():  # quicker than any()
            path.unlink(missing_ok=True)
            return
        partial = path.with_name(path.name + PARTIAL)
        content = _ZSTD.encode(np.ascontiguousarray(pixels))
        try:
            try:
                partial.write_bytes(content)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(content)
            os.replace(partial, path)
        except OSError:
            with contextlib.suppress(OSError):  # it may fill the disk
                partial.unlink(missing_ok=True)
            raise

    def stored(self) -> Iterator[Key]:
        """Yield the chunks that have a file."""
        if not self._folder.is_dir():
            return
        for row in os.scandir(self._folder):
            if row.name.isdigit():
                yield from ((int(row.name), int(one.name)) for one in os.scandir(row.path) if one.name.isdigit())

    def remove_temp_files(self) -> None:
        """Remove what a killed program left half-written."""
        for orphan in self._folder.glob(f"*/*{PARTIAL}"):
            orphan.unlink(missing_ok=True)

    def path(self, key: Key) -> Path:
        """Return where a chunk's file is, if it has one."""
        return self._folder / str(key[0]) / str(key[1])


def fsync_all(paths: Sequence[Path]) -> None:
    """Wait until files and folders are on the disk, so that a power cut does not lose them; those that are gone count.

    An OSError where the disk refuses.
    """
    try:
        with ThreadPoolExecutor(_SYNCERS) as threads:  # together they cost the disk little more than one
            for _ in threads.map(_sync, paths):
                pass
    except RuntimeError:  # the program ends and begins no thread any more
        for path in paths:
            _sync(path)


def _sync(path: Path) -> None:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # a chunk of zeros
        return
    except PermissionError:  # a folder, where the system opens none
        if path.is_dir():
            return
        raise
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno in DATA_LOSS_ERRNOS:
            raise
    finally:
        os.close(file)
