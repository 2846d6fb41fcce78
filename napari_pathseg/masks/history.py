"""What was done to a mask, step by step: what can be undone, and what a killed program left to do.

The steps lie in the journal; in memory is only where.  So the history outlives a save, a
closed window and `kill -9`, and ten thousand strokes cost no memory.
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
from numcodecs.zstd import Zstd

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks.journal import Journal, Record, RecordKind

HISTORY_BYTES = 256 << 20  # of one mask on disk; half of it is kept where it grows larger
_BOX = struct.Struct("<IIII")
_ZSTD = Zstd(level=1)
_logger = logging.getLogger(__name__)

Step = list[Record]
Packed: TypeAlias = "array[int]"  # where a step's records begin and how long they are: a tenth of the memory


class Change(NamedTuple):
    """A box with its labels and provenance, ``(2, rows, columns)``, before and after."""

    region: Region
    before: UInt8Array
    after: UInt8Array

    @property
    def back(self) -> "Change":
        """What takes it back."""
        return Change(self.region, self.after, self.before)


class History:
    """The steps of one mask; `journal` is read when it is made, and written from then on.

    Attributes
    ----------
    unapplied
        Records that the pyramid does not hold yet, in the order in which they are to be done.
    damaged
        Whether records were lost that the pyramid may not hold.
    saved
        What was said when all was in the pyramid last, None where that was never so.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._undo: deque[Packed] = deque()
        self._redo: list[Packed] = []
        self._step: Step = []
        self._trimmed = 0  # bytes that were left the last time
        self.damaged = False
        self.saved: Record | None = None
        self.unapplied: list[tuple[RecordKind, Step]] = []
        end = 0
        for record in journal.records():
            self.damaged |= record.offset != end
            end = record.end
            self._recall(record)
        self.damaged |= end != journal.size

    # -- what is done now

    def note(self, change: Change, kind: RecordKind = RecordKind.EDIT) -> None:
        """Add a change to the step that is being made; a ProjectError where the disk refuses."""
        if self._is_other(kind):
            self.end_undo_group()
        pixels = _ZSTD.encode(np.stack([change.before, change.after]))
        self._step.append(self._journal.append(kind, _BOX.pack(*change.region) + pixels))

    def end_undo_group(self, painted: bool = False) -> bool:
        """End the step: what was noted since the last is undone as one; return whether there was one.

        One of strokes is told though it is empty.
        """
        noted = bool(self._step)
        if noted or painted:
            self._journal.append(RecordKind.OP_END if self._is_other(RecordKind.EDIT) else RecordKind.EDIT_END)
            self._end_step()
        return noted

    def undo_or_redo(self, kind: RecordKind) -> Step:
        """Undo or redo: return the step that is to be taken back, or to be done again; see :meth:`changes`."""
        self.end_undo_group()
        if not (self._undo if kind is RecordKind.UNDO else self._redo):
            return []
        self._journal.append(kind)
        return self._turned(kind)

    def note_saved(self, counts: dict[str, int]) -> None:
        """Note that the pyramid holds all, and what it holds; drop the oldest steps where they are too many."""
        self._journal.append_saved(json.dumps(counts).encode())
        if self._journal.size > max(HISTORY_BYTES, 2 * self._trimmed) and not self._step:
            self.trim(HISTORY_BYTES // 2, counts)
            self._trimmed = self._journal.size  # one step may be larger than all that should be kept

    # -- what was done before

    def changes(self, kind: RecordKind, step: Step) -> Iterator[Change]:
        """Yield the changes of a step in the order in which they are to be made; damaged ones are skipped."""
        for record in reversed(step) if kind is RecordKind.UNDO else step:
            change = self._read(record)
            if change is not None:
                yield change.back if kind is RecordKind.UNDO else change

    def saved_counts(self) -> dict[str, int] | None:
        """Return what the pyramid held when all was in it last."""
        content = None if self.saved is None else self._journal.read(self.saved)
        return None if content is None else {str(key): int(value) for key, value in json.loads(content).items()}

    def trim(self, size: int, counts: dict[str, int]) -> None:
        """Write the journal anew with the newest steps that fit into so many bytes, one at least."""
        kept: deque[Packed] = deque()
        room = size - sum(_bytes_of(step) for step in self._redo)
        for step in reversed(self._undo):
            room -= _bytes_of(step)
            if room < 0 and kept:
                break
            kept.appendleft(step)
        partial = self._journal.path.with_name(f".{self._journal.path.name}.partial")
        try:
            undo, redo = self._write_anew(partial, kept, counts)
            self._journal.replace(partial)
        except (OSError, ProjectError) as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            _logger.warning("%s stays as large as it is: %s", self._journal.path, error)
            return
        self._undo, self._redo = undo, redo

    def _write_anew(
        self, path: Path, undo: Iterable[Packed], counts: dict[str, int]
    ) -> tuple[deque[Packed], list[Packed]]:
        """Write the steps into a journal at `path`; return them as they lie there."""
        path.unlink(missing_ok=True)
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

    def _copy(self, steps: Iterable[Packed], fresh: Journal) -> Iterator[Packed]:
        for step in steps:
            contents = [self._journal.read(record) for record in _unpacked(step)]
            copied = [fresh.append(RecordKind.EDIT, content) for content in contents if content is not None]
            if copied:
                fresh.append(RecordKind.EDIT_END)
                yield _packed(copied)

    def _recall(self, record: Record) -> None:
        """Follow a record of the journal; remember what is to be done until the pyramid holds it."""
        kind = record.kind
        if kind in (RecordKind.EDIT, RecordKind.OP_CHUNK):
            if self._is_other(kind):  # an operation was ended by the end of the program
                self._end_step()
            self._step.append(record)
            self.unapplied.append((kind, [record]))
        elif kind in (RecordKind.STROKE, RecordKind.STROKES_END, RecordKind.STROKES_APPLIED):
            self.unapplied.append((kind, [record]))
        elif kind in (RecordKind.EDIT_END, RecordKind.OP_END):
            self._end_step()
            self.unapplied.append((kind, []))
        elif kind is RecordKind.SAVED:
            self.unapplied.clear()
            self.saved, self.damaged = record, False
        else:
            self._end_step()
            self.unapplied.append((kind, self._turned(kind)))

    def _is_other(self, kind: RecordKind) -> bool:
        """Whether the open step is of another kind: a step holds parts of an operation, or what strokes changed."""
        return bool(self._step) and self._step[-1].kind is not kind

    def _end_step(self) -> None:
        if self._step:
            self._undo.append(_packed(self._step))
            self._redo.clear()
            self._step = []

    def _turned(self, kind: RecordKind) -> Step:
        """Move the last step from what can be undone to what can be redone, or back, and return it."""
        if kind is RecordKind.UNDO and self._undo:
            self._redo.append(self._undo.pop())
            return _unpacked(self._redo[-1])
        if kind is RecordKind.REDO and self._redo:
            self._undo.append(self._redo.pop())
            return _unpacked(self._undo[-1])
        return []  # its record was lost

    def _read(self, record: Record) -> Change | None:
        content = self._journal.read(record)
        if content is None:
            _logger.warning("%s: the record at byte %d is damaged; it is skipped", self._journal.path, record.offset)
            self.damaged = True
            return None
        region = Region(*_BOX.unpack_from(content))
        pixels = np.frombuffer(_ZSTD.decode(content[_BOX.size :]), np.uint8)
        before, after = pixels.reshape(2, 2, region.height, region.width)
        return Change(region, before, after)


def _packed(step: Step) -> Packed:
    return array("Q", [number for record in step for number in (record.offset, record.length)])


def _unpacked(step: Packed) -> Step:
    return [Record(offset, RecordKind.EDIT, length) for offset, length in zip(step[::2], step[1::2], strict=True)]


def _bytes_of(step: Packed) -> int:
    return sum(step[1::2])
