"""The undo history of a mask, and the edits that a crash left unapplied.

Changes are stored in the journal; memory holds only their offsets.  The history therefore
survives a save, a restart and ``kill -9``, and ten thousand strokes cost hardly any memory.
"""

import contextlib
import json
import logging
import struct
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from imagecodecs import zstd_decode
from numcodecs.zstd import Zstd

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.journal import Journal, Record, RecordKind
from napari_pathseg.masks.provenance import StoredCounts
from napari_pathseg.storage.json_schema import conform
from napari_pathseg.storage.portable import remove

HISTORY_BYTES = 256 << 20  # journal of one mask on disk; when it grows beyond that, the newest half is kept
_BOX = struct.Struct("<IIII")
_MAX_CHANGE_BYTES = 1 << 30
_ZSTD = Zstd(level=1)
_logger = logging.getLogger(__name__)

UndoGroup = list[Record]  # edits that are undone together
_Packed: TypeAlias = "array[int]"  # offsets and lengths of a group's records: a tenth of the memory


class Change(NamedTuple):
    """A box with its labels and provenance, ``(2, rows, columns)``, before and after."""

    region: Region
    before: UInt8Array
    after: UInt8Array

    @property
    def inverse(self) -> "Change":
        """The change that reverts this one."""
        return Change(self.region, self.after, self.before)


class History:
    """The undo groups of one mask of `shape`, read from `journal` on construction and logged to it from then on.

    Attributes
    ----------
    unapplied
        Records that the pyramid does not hold yet, in the order in which to apply them.
    damaged
        Whether records were lost that the pyramid may not hold.
    saved
        The last record which says that the pyramid holds everything before it, or None.
    """

    def __init__(self, journal: Journal, shape: tuple[int, int]) -> None:
        self._journal, self._shape = journal, shape
        self._undo: deque[_Packed] = deque()
        self._redo: list[_Packed] = []
        self._group: UndoGroup = []  # still open
        self._run: _Packed | None = None  # the group of a model that is running, in the undo stack; it still grows
        self._trimmed_size = 0  # of the journal, after it was trimmed last
        self.damaged = False
        self.saved: Record | None = None
        self.unapplied: list[tuple[RecordKind, UndoGroup]] = []
        end = 0
        for record in journal.records():
            self.damaged |= record.offset != end
            end = record.end
            self._replay(record)
        self.damaged |= end != journal.size

    # -- logging

    def record(self, change: Change, kind: RecordKind = RecordKind.EDIT) -> None:
        """Log a change and add it to the open undo group; raise ProjectError if the disk refuses.

        A `RUN_TILE` belongs to the group of the model's run, which stays where it began in the order of undo: what a
        person does meanwhile is undone first.
        """
        pixels = _BOX.pack(*change.region) + _ZSTD.encode(np.stack([change.before, change.after]))
        if kind is RecordKind.RUN_TILE:
            self._add_to_run(self._journal.append(kind, pixels))
            return
        if self._has_other_kind(kind):
            self.end_undo_group()
        self._group.append(self._journal.append(kind, pixels))

    def end_run(self) -> None:
        """End the group of a model's run."""
        if self._run is not None:
            self._journal.append(RecordKind.RUN_END)
            self._run = None

    def end_undo_group(self, strokes: bool = False) -> bool:
        """End the open undo group; return whether it has changes.

        The end of a group of strokes is logged even if they changed nothing.
        """
        has_changes = bool(self._group)
        if has_changes or strokes:
            is_operation = self._has_other_kind(RecordKind.EDIT)
            self._journal.append(RecordKind.OP_END if is_operation else RecordKind.EDIT_END)
            self._close_group()
        return has_changes

    def undo_or_redo(self, kind: RecordKind) -> UndoGroup:
        """Log an undo or redo; return the group to revert or to repeat, see :meth:`changes`."""
        self.end_undo_group()
        if not (self._undo if kind is RecordKind.UNDO else self._redo):
            return []
        self._journal.append(kind)
        return self._move_last(kind)

    def record_saved(self, counts: StoredCounts) -> None:
        """Log that the pyramid holds everything, with its counts; drop the oldest groups if there are too many."""
        self._journal.append_saved(json.dumps(counts).encode())
        if self._journal.size > max(HISTORY_BYTES, 2 * self._trimmed_size) and not self._group:
            self.trim(HISTORY_BYTES // 2, counts)
            self._trimmed_size = self._journal.size  # a single group may exceed the limit

    @property
    def undo_depth(self) -> int:
        """The number of groups that can be undone, without the open one."""
        return len(self._undo)

    # -- reading back

    def changes(self, kind: RecordKind, group: UndoGroup) -> Iterator[Change]:
        """Yield the changes of a group in the order in which to apply them, skipping damaged ones."""
        for record in reversed(group) if kind is RecordKind.UNDO else group:
            change = self._read(record)
            if change is not None:
                yield change.inverse if kind is RecordKind.UNDO else change

    def saved_counts(self) -> StoredCounts | None:
        """Return the counts of the last save, or None."""
        content = None if self.saved is None else self._journal.read(self.saved)
        try:
            return None if content is None else conform(json.loads(content), StoredCounts)
        except ValueError as error:
            _logger.warning("%s: the counts are damaged (%s)", self._journal.path, error)
            return None

    def trim(self, size: int, counts: StoredCounts) -> None:
        """Rewrite the journal with the newest undo groups that fit into `size` bytes, at least one."""
        kept: deque[_Packed] = deque()
        bytes_left = size - sum(_bytes_of(group) for group in self._redo)
        for group in reversed(self._undo):
            bytes_left -= _bytes_of(group)
            if bytes_left < 0 and kept:
                break
            kept.appendleft(group)
        partial = self._journal.path.with_name(f".{self._journal.path.name}.partial")
        try:
            undo, redo = self._rewrite(partial, kept, counts)
            self._journal.replace(partial)
        except (OSError, ProjectError) as error:
            with contextlib.suppress(OSError):
                remove(partial)
            _logger.warning("%s could not be shortened: %s", self._journal.path, error)
            return
        self._undo, self._redo, self._run = undo, redo, None

    def _rewrite(
        self, path: Path, undo: Iterable[_Packed], counts: StoredCounts
    ) -> tuple[deque[_Packed], list[_Packed]]:
        """Write the groups into a new journal at `path`; return where they are in it."""
        remove(path)
        fresh = Journal(path)
        try:
            done = deque(self._copy(undo, fresh))
            undone = list(self._copy(reversed(self._redo), fresh))[::-1]
            for _ in undone:
                fresh.append(RecordKind.UNDO)
            fresh.append_saved(json.dumps(counts).encode())
        finally:
            fresh.close()
        return done, undone

    def _copy(self, groups: Iterable[_Packed], fresh: Journal) -> Iterator[_Packed]:
        for group in groups:
            contents = [self._journal.read(record) for record in _unpacked(group)]
            copied = [fresh.append(RecordKind.EDIT, content) for content in contents if content is not None]
            if copied:
                fresh.append(RecordKind.EDIT_END)
                yield _packed(copied)

    def _replay(self, record: Record) -> None:
        """Follow a record of the journal, and remember it until the pyramid holds it."""
        kind = record.kind
        if kind in (RecordKind.EDIT, RecordKind.OP_CHUNK):
            if self._has_other_kind(kind):  # the program ended within an operation
                self._close_group()
            self._group.append(record)
            self.unapplied.append((kind, [record]))
        elif kind is RecordKind.RUN_TILE:
            self._add_to_run(record)
            self.unapplied.append((kind, [record]))
        elif kind is RecordKind.RUN_END:
            self._run = None
        elif kind in (RecordKind.STROKE, RecordKind.STROKES_END, RecordKind.STROKES_APPLIED):
            self.unapplied.append((kind, [record]))
        elif kind in (RecordKind.EDIT_END, RecordKind.OP_END):
            self._close_group()
            self.unapplied.append((kind, []))
        elif kind is RecordKind.SAVED:
            self.unapplied.clear()
            self.saved, self.damaged = record, False
        else:
            self._close_group()
            self.unapplied.append((kind, self._move_last(kind)))

    def _has_other_kind(self, kind: RecordKind) -> bool:
        """Return whether the open group holds changes of another kind: it is an operation's, or that of strokes."""
        return bool(self._group) and self._group[-1].kind is not kind

    def _add_to_run(self, record: Record) -> None:
        if self._run is None:
            self._run = _packed([])
            self._undo.append(self._run)
        self._run.extend((record.offset, record.length))

    def _close_group(self) -> None:
        if self._group:
            self._undo.append(_packed(self._group))
            self._redo.clear()
            self._group = []

    def _move_last(self, kind: RecordKind) -> UndoGroup:
        """Move the last group from the undo stack to the redo stack, or back, and return it."""
        if kind is RecordKind.UNDO and self._undo:
            self._redo.append(self._undo.pop())
            if self._redo[-1] is self._run:
                self._run = None
            return _unpacked(self._redo[-1])
        if kind is RecordKind.REDO and self._redo:
            self._undo.append(self._redo.pop())
            return _unpacked(self._undo[-1])
        return []  # its record was lost

    def _read(self, record: Record) -> Change | None:
        content = self._journal.read(record)
        try:
            if content is None:
                raise ValueError("its checksum is wrong")
            return _change_from(content, self._shape)
        except (ValueError, RuntimeError, struct.error) as error:
            _logger.warning("%s: skipped the damaged record at byte %d (%s)", self._journal.path, record.offset, error)
            self.damaged = True
            return None


def _change_from(content: bytes, shape: tuple[int, int]) -> Change:
    """Return the change of a mask of `shape` in a record; raise ValueError, RuntimeError or struct.error for others."""
    region = Region(*_BOX.unpack_from(content))
    if region.empty or region.clip(shape) != region:
        raise ValueError(f"{tuple(region)} lies outside {shape[0]} x {shape[1]} pixels")
    size = 4 * region.height * region.width
    if size > _MAX_CHANGE_BYTES:
        raise ValueError(f"{region.height} x {region.width} pixels")
    pixels = np.frombuffer(zstd_decode(content[_BOX.size :], out=size), np.uint8)  # no more than that is decoded
    before, after = pixels.reshape(2, 2, region.height, region.width)
    return Change(region, before, after)


def _packed(group: UndoGroup) -> _Packed:
    return array("Q", [number for record in group for number in (record.offset, record.length)])


def _unpacked(group: _Packed) -> UndoGroup:
    return [Record(offset, RecordKind.EDIT, length) for offset, length in zip(group[::2], group[1::2], strict=True)]


def _bytes_of(group: _Packed) -> int:
    return sum(group[1::2])
