"""The write-ahead journal of a mask: an append-only file in which a record is whole or absent.

A record reaches the operating system at once, which survives ``kill -9``, and the disk within a
second, which survives a power cut.  `history` gives the records their meaning.
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
from typing import BinaryIO, NamedTuple

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.portable import DATA_LOSS_ERRNOS, read_at, replace
from napari_pathseg.storage.regular_files import open_regular

_MAGIC = b"PSJ2"
_FRAME = struct.Struct("<4sBII")  # magic, kind, length and CRC-32 of the payload
_CHECK = struct.Struct("<I")  # CRC-32 of the frame: a damaged length is noticed
_HEADER_BYTES = _FRAME.size + _CHECK.size
_SEARCH_BYTES = 1 << 20
_SYNC_SECONDS = 1.0
_SAVED_END = b"all in the pyramid"  # ends a SAVED record, so that the end of the file shows whether it is the last
_logger = logging.getLogger(__name__)


WriteCheck = Callable[[], None]  # raises if this program may not write any more


def always_writable() -> None:
    """Allow every write."""


class RecordKind(IntEnum):
    """What a record means; the numbers are those in the file."""

    EDIT = 1  # a box before and after, by a stroke or a direct edit
    EDIT_END = 2  # the edits before are one undo group
    UNDO = 3
    REDO = 4
    SAVED = 5  # the pyramid holds everything before
    STROKE = 6  # a shape to paint
    STROKES_APPLIED = 7  # every stroke before is painted
    STROKES_END = 8  # the strokes before are one undo group
    OP_CHUNK = 9  # a box before and after, by an operation; strokes recorded meanwhile come after the operation
    OP_END = 10  # the operation is over: its boxes are one undo group
    RUN_TILE = 11  # a box before and after, by a model that is running; strokes recorded meanwhile stay above its group
    RUN_END = 12  # the model's run is over: its boxes are one undo group


class Record(NamedTuple):
    """The offset of a record in the file, its kind, and the size of its payload."""

    offset: int
    kind: RecordKind
    length: int

    @property
    def end(self) -> int:
        """The offset of the next record."""
        return self.offset + _HEADER_BYTES + self.length


class Journal:
    """An append-only file of records, shortened only by `History.trim`.

    `check_writable` is called before each write.
    """

    def __init__(self, path: Path, check_writable: WriteCheck = always_writable) -> None:
        self.path, self.check_writable = path, check_writable
        self._file: BinaryIO = _open_to_append(path)
        self._size = self._file.seek(0, os.SEEK_END)
        self._data_loss: OSError | None = None  # of the last fsync, until it is reported
        self._dirty = threading.Event()
        self._closed = threading.Event()
        self._syncing = threading.Lock()  # held while the file is synced or exchanged
        self._syncer = threading.Thread(target=self._sync_repeatedly, name="journal", daemon=True)
        self._syncer.start()

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._size

    def append(self, kind: RecordKind, payload: bytes = b"") -> Record:
        """Add a record.

        Raises
        ------
        ProjectError
            If the disk refuses; the file is unchanged.
        """
        frame = _FRAME.pack(_MAGIC, kind, len(payload), zlib.crc32(payload))
        rest = memoryview(frame + _CHECK.pack(zlib.crc32(frame)) + payload)
        record = Record(self._size, kind, len(payload))
        self.check_writable()
        self._report_data_loss()
        try:
            file = self._open_file()
            self._write(file, rest)
        except OSError as error:
            raise ProjectError(
                f"{self.path} could not be written ({error.strerror or error}); the last stroke was undone. Free "
                "the disk or allow writing, then continue."
            ) from error
        self._size += _HEADER_BYTES + len(payload)
        self._dirty.set()
        return record

    def append_saved(self, payload: bytes) -> Record:
        """Add a record which says that the pyramid holds everything before it."""
        return self.append(RecordKind.SAVED, payload + _SAVED_END)

    def read(self, record: Record) -> bytes | None:
        """Return the payload of a record, or None if it is damaged."""
        header = self._read_at(record.offset, _HEADER_BYTES)
        payload = self._read_at(record.offset + _HEADER_BYTES, record.length)
        if len(header) < _HEADER_BYTES or len(payload) < record.length:
            return None
        if zlib.crc32(payload) != _FRAME.unpack_from(header)[3]:
            return None
        return payload.removesuffix(_SAVED_END) if record.kind is RecordKind.SAVED else payload

    def records(self) -> Iterator[Record]:
        """Yield the records in order, skipping and logging damaged bytes between them."""
        position = 0
        while position < self._size:
            record = self._header(position)
            if record is not None and self._is_complete(record):
                yield record
                position = record.end
                continue
            following = self._find(position + 1)
            _logger.warning("%s: skipped %d damaged bytes at byte %d", self.path, following - position, position)
            position = following

    def replace(self, partial: Path) -> None:
        """Exchange the file for `partial`, which holds this journal's records rewritten.

        The file is closed meanwhile, because Windows refuses to replace an open one.  After an
        OSError the journal continues with the file it had.
        """
        self.check_writable()
        with partial.open("r+b") as file:
            os.fsync(file.fileno())
            size = file.seek(0, os.SEEK_END)
        with self._syncing:
            self._file.close()
            try:
                replace(partial, self.path)
                self._size = size
            finally:
                with contextlib.suppress(OSError):  # otherwise the next access opens it
                    self._open_file()

    def close(self) -> None:
        """Sync the file and close it."""
        self._closed.set()
        self._dirty.set()
        self._syncer.join()
        self._sync()
        self._file.close()

    # -- the file

    def _open_file(self) -> BinaryIO:
        if self._file.closed:
            self._file = _open_to_append(self.path)
        return self._file

    def _write(self, file: BinaryIO, rest: memoryview) -> None:
        """Write all of `rest`, or cut off what was written of it and raise the OSError."""
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(self._size)
            self._size = os.fstat(file.fileno()).st_size
            raise

    def _read_at(self, offset: int, count: int) -> bytes:
        return read_at(self._open_file(), offset, count)

    def _header(self, position: int) -> Record | None:
        return _parse_header(self._read_at(position, _HEADER_BYTES), position)

    def _is_complete(self, record: Record) -> bool:
        """Return whether a record has all its bytes: a program killed while writing leaves a part."""
        if record.end == self._size or (record.end < self._size and self._header(record.end) is not None):
            return True
        return self.read(record) is not None

    def _find(self, position: int) -> int:
        """Return where the next record may begin, at or after `position`."""
        while position < self._size:
            piece = self._read_at(position, _SEARCH_BYTES)
            found = piece.find(_MAGIC)
            if found >= 0:
                return position + found
            if len(piece) < len(_MAGIC):
                break
            position += len(piece) - len(_MAGIC) + 1
        return self._size

    # -- syncing

    def _sync_repeatedly(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            self._closed.wait(_SYNC_SECONDS)
            self._dirty.clear()
            self._sync()

    def _sync(self) -> None:
        with self._syncing:
            if self._file.closed:  # by `replace`, which has synced the new one
                return
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                _logger.warning("%s: the last strokes may not be on disk: %s", self.path, error)
                self._data_loss = error if error.errno in DATA_LOSS_ERRNOS else None

    def _report_data_loss(self) -> None:
        """Raise, once, if an fsync has failed."""
        error, self._data_loss = self._data_loss, None
        if error is not None:
            raise ProjectError(
                f"{self.path}: the strokes of the last seconds may not be on disk ({error.strerror}), and the last one "
                "was not recorded. Free or check the disk, then continue."
            ) from error


def _open_to_append(path: Path) -> BinaryIO:
    with contextlib.suppress(FileNotFoundError):
        open_regular(path).close()  # raises for a pipe or a device
    return path.open("a+b", buffering=0)


def _parse_header(header: bytes, offset: int) -> Record | None:
    """Return the record with this header, or None if it is not a header."""
    if len(header) < _HEADER_BYTES or _CHECK.unpack_from(header, _FRAME.size)[0] != zlib.crc32(header[: _FRAME.size]):
        return None
    magic, kind, length, _ = _FRAME.unpack_from(header)
    return Record(offset, RecordKind(kind), length) if magic == _MAGIC and kind in list(RecordKind) else None


def is_saved(path: Path) -> bool:
    """Return whether the pyramid holds everything in the journal at `path`; raise ProjectError if it is unreadable."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(_SAVED_END)))
            return size == 0 or file.read() == _SAVED_END
    except FileNotFoundError:
        return True
    except OSError as error:
        raise ProjectError(f"{path} could not be read: {error.strerror or error}. Restore it from a copy.") from error
