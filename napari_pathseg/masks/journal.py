"""The journal of a mask: all that is done to it, in order, each record whole or not there.

A record reaches the operating system at once, which survives `kill -9`, and the disk within a
second, which survives a power cut.  What the records say is `history`'s.
"""

import contextlib
import logging
import os
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks.chunk_files import DATA_LOSS_ERRNOS

_MAGIC = b"PSJ2"
_FRAME = struct.Struct("<4sBII")  # magic, kind, length and CRC-32 of the payload
_CHECK = struct.Struct("<I")  # CRC-32 of the frame: a damaged length misleads nobody
_HEADER_BYTES = _FRAME.size + _CHECK.size
_SYNC_SECONDS = 1.0
_SAVED_END = b"all in the pyramid"  # ends a SAVED record, so that a look at the file's end tells
_logger = logging.getLogger(__name__)


WriteCheck = Callable[[], None]  # raises where this program may not write any more


def always_writable() -> None:
    """Allow every write."""


class RecordKind(IntEnum):
    """What a record says."""

    EDIT = 1  # a box before and after
    EDIT_END = 2  # of a step that is undone as one
    UNDO = 3
    REDO = 4
    SAVED = 5  # the pyramid holds all before
    STROKE = 6  # a shape that is to be painted
    STROKES_APPLIED = 7  # all shapes before are painted
    STROKES_END = 8  # the shapes before are undone as one
    OP_CHUNK = 9  # a box before and after, of an operation; shapes that are told meanwhile come after the operation
    OP_END = 10  # the parts before are undone as one


class Record(NamedTuple):
    """A record's place in the file, its kind, and the size of its payload."""

    offset: int
    kind: RecordKind
    length: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.offset + _HEADER_BYTES + self.length


class Journal:
    """A file of records that only grows, see `History.trim`; `check_writable` is asked before each write."""

    def __init__(self, path: Path, check_writable: WriteCheck = always_writable) -> None:
        self.path, self.check_writable = path, check_writable
        self._file = path.open("a+b", buffering=0)
        self._size = self._file.seek(0, os.SEEK_END)
        self._unsafe: OSError | None = None  # what the disk said last, until it is told
        self._dirty = threading.Event()
        self._closed = threading.Event()
        self._syncer = threading.Thread(target=self._sync, name="journal", daemon=True)
        self._syncer.start()

    @property
    def size(self) -> int:
        """Bytes."""
        return self._size

    def append(self, kind: RecordKind, payload: bytes = b"") -> Record:
        """Add a record.

        Raises
        ------
        ProjectError
            If the disk does not take it; the file is what it was.
        """
        frame = _FRAME.pack(_MAGIC, kind, len(payload), zlib.crc32(payload))
        rest = memoryview(frame + _CHECK.pack(zlib.crc32(frame)) + payload)
        record = Record(self._size, kind, len(payload))
        self.check_writable()
        self._tell_of_losses()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(record.offset)
            self._size = os.fstat(self._file.fileno()).st_size
            raise ProjectError(
                f"{self.path} takes no more strokes ({error.strerror or error}); the last one was taken back. Free "
                "the disk or allow writing, then go on."
            ) from error
        self._size += _HEADER_BYTES + len(payload)
        self._dirty.set()
        return record

    def _tell_of_losses(self) -> None:
        """Raise, once, where the disk did not keep what it had taken."""
        error, self._unsafe = self._unsafe, None
        if error is not None:
            raise ProjectError(
                f"{self.path}: the strokes of the last seconds may not be on the disk ({error.strerror}), and this "
                "one was not taken. Free the disk or look after it, then go on."
            ) from error

    def append_saved(self, payload: bytes) -> Record:
        """Add a record that says that the pyramid holds all before it."""
        return self.append(RecordKind.SAVED, payload + _SAVED_END)

    def read(self, record: Record) -> bytes | None:
        """Return the payload of a record, None where it is damaged."""
        header = os.pread(self._file.fileno(), _HEADER_BYTES, record.offset)
        payload = os.pread(self._file.fileno(), record.length, record.offset + _HEADER_BYTES)
        if len(header) < _HEADER_BYTES or len(payload) < record.length:
            return None
        if zlib.crc32(payload) != _FRAME.unpack_from(header)[3]:
            return None
        return payload.removesuffix(_SAVED_END) if record.kind is RecordKind.SAVED else payload

    def records(self) -> Iterator[Record]:
        """Yield the records in order; damaged bytes between them are skipped and logged."""
        position = 0
        while position < self._size:
            record = self._header(position)
            if record is not None and self._ends_well(record):
                yield record
                position = record.end
                continue
            following = self._find(position + 1)
            _logger.warning("%s: %d damaged bytes at byte %d are skipped", self.path, following - position, position)
            position = following

    def replace(self, partial: Path) -> None:
        """Go on in the file that `partial` has become, which holds this journal's records anew."""
        self.check_writable()
        file = partial.open("a+b", buffering=0)
        try:
            os.fsync(file.fileno())
            os.replace(partial, self.path)
        except OSError:
            file.close()
            raise
        old, self._file = self._file, file
        self._size = file.seek(0, os.SEEK_END)
        old.close()

    def close(self) -> None:
        """Bring what was written to the disk and let the file go."""
        self._closed.set()
        self._dirty.set()
        self._syncer.join()
        self._bring_to_disk()
        self._file.close()

    def _header(self, position: int) -> Record | None:
        return _parse(os.pread(self._file.fileno(), _HEADER_BYTES, position), position)

    def _ends_well(self, record: Record) -> bool:
        """Whether all of a record is there: who was killed in mid-write left less than its header says."""
        if record.end == self._size or (record.end < self._size and self._header(record.end) is not None):
            return True
        return self.read(record) is not None

    def _find(self, position: int) -> int:
        """Return where the next record may begin, at or after `position`."""
        while position < self._size:
            piece = os.pread(self._file.fileno(), 1 << 20, position)
            found = piece.find(_MAGIC)
            if found >= 0:
                return position + found
            if len(piece) < len(_MAGIC):
                break
            position += len(piece) - len(_MAGIC) + 1
        return self._size

    def _sync(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            self._closed.wait(_SYNC_SECONDS)
            self._dirty.clear()
            self._bring_to_disk()

    def _bring_to_disk(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except ValueError:  # closed by `replace`, which has brought all to the disk
            return
        except OSError as error:
            _logger.warning("%s: the last strokes may not be on the disk: %s", self.path, error)
            self._unsafe = error if error.errno in DATA_LOSS_ERRNOS else None


def _parse(header: bytes, offset: int) -> Record | None:
    """Return the record whose header this is, or None where it is none."""
    if len(header) < _HEADER_BYTES or _CHECK.unpack_from(header, _FRAME.size)[0] != zlib.crc32(header[: _FRAME.size]):
        return None
    magic, kind, length, _ = _FRAME.unpack_from(header)
    return Record(offset, RecordKind(kind), length) if magic == _MAGIC and kind in list(RecordKind) else None


def is_saved(path: Path) -> bool:
    """Whether all that the journal at `path` says is in the pyramid."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_SAVED_END)))
            return size == 0 or file.read() == _SAVED_END
    except FileNotFoundError:
        return True
