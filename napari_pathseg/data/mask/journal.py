"""The journal of a mask: edits on disk before they are in the pyramid.

Each record holds a box with its labels and provenance after the edit, so that replaying a
record twice does no harm.  A record reaches the operating system at once, which survives
`kill -9`, and the disk within a second, which survives a power cut.
"""

import contextlib
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.geometry import Region
from napari_pathseg.errors import ProjectError

_MAGIC = b"PSJ1"
_HEADER = struct.Struct("<4sII")  # magic, length of the payload, its CRC-32
_BOX = struct.Struct("<IIII")
_SYNC_SECONDS = 1.0
_logger = logging.getLogger(__name__)

Record = tuple[Region, npt.NDArray[np.uint8], npt.NDArray[np.uint8]]


class Journal:
    """An append-only file of edits, emptied when the pyramid holds them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._dirty = threading.Event()
        self._closed = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="journal", daemon=True)
        self._syncer.start()

    @property
    def size(self) -> int:
        """Bytes that wait to be taken into the pyramid."""
        return self._file.tell()

    def append(self, region: Region, labels: npt.NDArray[np.uint8], provenance: npt.NDArray[np.uint8]) -> None:
        """Add the labels and provenance that `region` has from now on.

        Raises
        ------
        ProjectError
            If the disk does not take it.
        """
        pixels = zlib.compress(labels.tobytes() + provenance.tobytes(), 1)
        payload = _BOX.pack(*region) + pixels
        try:
            rest = memoryview(_HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise ProjectError(
                f"{self.path} takes no more strokes ({error.strerror or error}); the last one was taken back. Free "
                "the disk or allow writing, then go on."
            ) from error
        self._dirty.set()

    def clear(self) -> None:
        """Forget all records: the pyramid on disk holds them now."""
        self._file.truncate(0)
        self._file.seek(0)
        self._dirty.set()

    def close(self) -> None:
        """Bring what was written to the disk and let the file go."""
        self._closed.set()
        self._dirty.set()
        self._syncer.join()
        self._file.close()

    def _sync(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            self._closed.wait(_SYNC_SECONDS)
            self._dirty.clear()
            with contextlib.suppress(OSError):  # a full disk is reported by the write itself
                os.fsync(self._file.fileno())


def read_journal(path: Path) -> Iterator[Record]:
    """Yield the whole records of a journal in order; a damaged one is skipped and logged."""
    content = path.read_bytes() if path.exists() else b""
    position = 0
    while (start := content.find(_MAGIC, position)) >= 0:
        if start > position:
            _logger.warning("%s: %d damaged bytes skipped at byte %d", path, start - position, position)
        record = _record_at(content, start)
        position = start + len(_MAGIC)
        if record is None:
            _logger.warning("%s: the record at byte %d is damaged; it is skipped", path, start)
            continue
        length, parsed = record
        position = start + length
        yield parsed


def _record_at(content: bytes, start: int) -> tuple[int, Record] | None:
    """Return the length of the record at `start` and what it holds, or None where it is damaged."""
    if start + _HEADER.size > len(content):
        return None
    _, length, checksum = _HEADER.unpack_from(content, start)
    payload = content[start + _HEADER.size : start + _HEADER.size + length]
    if len(payload) != length or zlib.crc32(payload) != checksum:
        return None
    region = Region(*_BOX.unpack_from(payload))
    pixels = np.frombuffer(zlib.decompress(payload[_BOX.size :]), np.uint8)
    labels, provenance = pixels.reshape(2, region.height, region.width)
    return _HEADER.size + length, (region, labels, provenance)
