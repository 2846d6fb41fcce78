"""The editable mask of a slide: labels and who set them, with undo, safe from crashes.

The way of a stroke, which is logged first and applied later:

1. `Mask.add_stroke` appends its shape to the journal: from here on it survives ``kill -9``.
2. `StrokeQueue` holds it, split by chunk; `Mask.preview` already shows it.
3. `Mask.process_pending` paints the next chunk by the rules of `label_rules`.
4. The box that changed goes to the journal as an edit, before and after, for undo and recovery.
5. `Pyramid` applies the edit in memory, at all levels.
6. `Mask.flush` writes the chunks to disk and notes in the journal that they are saved.

An operation, an edit that may cover the whole slide, waits in the same line and is applied step
by step.  Reading and direct edits apply all pending work first, so their caller sees the mask as
if there were no queue.  Not here: how a mask is displayed, and where its slide lies.
"""

import logging
import time
from collections.abc import Iterator
from functools import reduce
from typing import Self

import numpy as np

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.edited_boxes import EditedBoxes
from napari_pathseg.masks.history import Change, History, UndoGroup
from napari_pathseg.masks.journal import Journal, Record, RecordKind
from napari_pathseg.masks.label_rules import apply_reversal
from napari_pathseg.masks.operations import MaskOperation, OperationQueue, OperationStep
from napari_pathseg.masks.provenance import Counts, Provenance, count, counts_from, counts_to, is_uniform
from napari_pathseg.masks.pyramid import Pyramid
from napari_pathseg.masks.shapes import bounding_box
from napari_pathseg.masks.stroke_queue import Stroke, StrokeQueue, paint_all, stroke_from
from napari_pathseg.masks.zarr_store import CHUNK, Key, MaskStore, chunk_region

_MAX_UNSAVED_BYTES = 64 << 20  # of the journal; beyond that the pyramid is written to disk
_logger = logging.getLogger(__name__)


class Mask:
    """The labels and provenance of one slide; open it with `open_mask` and close it.

    An edit is in the journal at once, and in the files of the mask after :meth:`flush`.  Without
    a journal the mask is read-only.

    Attributes
    ----------
    stroke_queue, operations
        The pending work.
    committed_counts
        The pixels by (class, provenance), pending strokes left out; see :attr:`counts`.
    write_failed
        Whether the disk refused a pending stroke; the next attempt may succeed.
    undone_imports
        How many imported pixels undo has taken away since a reader set it to 0.
    edited
        The boxes in which pixels of a person have changed.
    """

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        self._store, self._journal = store, journal
        self._pyramid = Pyramid(store)
        self._history = None if journal is None else History(journal, store.shape)
        self._saved_size = 0  # of the journal
        self.committed_counts: Counts = counts_from(store.load_counts() or {})
        self.stroke_queue = StrokeQueue()
        self.operations = OperationQueue()
        self.write_failed = False
        self.undone_imports = 0
        self.edited = EditedBoxes()
        self._changed = EMPTY_REGION  # by pending work, since the last `pop_changed`
        if self._history is not None:
            self._recover(self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reading

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._store.shape

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Rows and columns of each level, the finest first."""
        return self._store.shapes

    @property
    def writable(self) -> bool:
        """Whether it can be edited."""
        return self._history is not None

    @property
    def counts(self) -> Counts:
        """The pixels by (class, provenance)."""
        self.apply_pending()
        return self.committed_counts

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of the labels and provenance of a box that lies inside the mask."""
        self.apply_pending()
        labels, provenance = self._pyramid.read(region)
        return labels, provenance

    def preview(self, region: Region, level: int) -> UInt8Array:
        """Return labels and provenance of a box of a level, ``(2, rows, columns)``, with pending strokes."""
        return self.stroke_queue.preview(region, self._pyramid.read(region, level), 2**level)

    def nonempty_chunks(self, region: Region) -> Iterator[Region]:
        """Yield boxes of at most one chunk that cover every labelled pixel of `region`."""
        self.apply_pending()
        return self._pyramid.nonempty_chunks(region)

    # -- editing

    def edit(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
        """Replace the labels and provenance of a box; return the box that changed, which may be empty.

        Edits belong to one undo group until :meth:`end_undo_group` is called.

        Raises
        ------
        ProjectError
            If the disk refuses; nothing is changed then.
        """
        self.apply_pending()
        return self._edit(region, self._pyramid.read(region), np.stack([labels, provenance]))

    def edit_in_run(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
        """Replace a box as :meth:`edit` does, for a model that is running.

        Until :meth:`end_run` all of these are one undo group; edits of a person meanwhile are undone before it.
        """
        self.apply_pending()
        before = self._pyramid.read(region)
        return self._edit(region, before, np.stack([labels, provenance]), RecordKind.RUN_TILE)

    def end_run(self) -> None:
        """End the undo group of a model's run."""
        if self._history is not None:
            self._history.end_run()

    def add_stroke(self, stroke: Stroke) -> None:
        """Log a stroke and queue it; :meth:`process_pending`, or the next read or edit, applies it."""
        self._require_journal().append(RecordKind.STROKE, stroke.to_bytes())
        self.stroke_queue.add(stroke, self.shape)

    def enqueue(self, operation: MaskOperation) -> None:
        """Queue an operation, which is one undo group; :meth:`process_pending`, or the next read or edit, applies it.

        It runs after everything queued before it; strokes added meanwhile are logged and follow it.
        """
        self._require_history()
        self.end_undo_group()
        was_pending = self.has_pending
        self.operations.add(operation, after=self.stroke_queue.groups_added)
        if not was_pending:
            self.operations.start_next(self)

    def run(self, operation: MaskOperation) -> Region:
        """Apply an operation at once; return the box that changed, which may be empty."""
        self.apply_pending()
        before, self._changed = self._changed, EMPTY_REGION
        try:
            self.enqueue(operation)
            self.apply_pending()
        finally:
            changed, self._changed = self._changed, self._changed.unite(before)
        return changed

    def enqueue_undo(self) -> None:
        """Queue the undo of the last undo group."""
        self.enqueue(self._undo_operation())

    def enqueue_redo(self) -> None:
        """Queue the redo of the group that was undone last."""
        self.enqueue(self._redo_operation())

    def undo(self) -> Region:
        """Undo the last undo group; return the box that changed, empty if there is nothing to undo."""
        return self.run(self._undo_operation()) if self.writable else EMPTY_REGION

    def redo(self) -> Region:
        """Redo the group that was undone last; return the box that changed, empty if there is nothing to redo."""
        return self.run(self._redo_operation()) if self.writable else EMPTY_REGION

    def end_undo_group(self) -> None:
        """End the undo group: the edits and strokes since the last call are undone together."""
        if self.stroke_queue.has_open_group:
            self._require_journal().append(RecordKind.STROKES_END)
            self.stroke_queue.end_undo_group()
            self._end_applied_groups()
        elif self._history is not None and self.stroke_queue.is_empty and self.operations.running is None:
            self._history.end_undo_group()  # otherwise its last chunk, or the end of the operation, ends it

    # -- pending work

    @property
    def has_pending(self) -> bool:
        """Whether strokes or operations are still to be applied."""
        return self.stroke_queue.has_pending or self.operations.has_queued or self.operations.running is not None

    def process_pending(self, budget_s: float) -> None:
        """Apply pending work for about `budget_s` seconds; see :meth:`pop_changed`.

        Raises
        ------
        ProjectError
            If the disk refuses.  Strokes stay queued and `write_failed` is set; an operation ends as one undo group.
        """
        until = time.perf_counter() + budget_s
        self.write_failed = False
        self._end_applied_groups()
        while self.has_pending:
            self._run_next_step()
            if time.perf_counter() > until:
                break

    def apply_pending(self) -> None:
        """Apply all pending work; raises as :meth:`process_pending` does."""
        self.write_failed = False
        while self.has_pending and not self.operations.in_step:  # an operation sees the mask as it is
            self._run_next_step()

    def pop_changed(self) -> Region:
        """Return the box that pending work has changed since the last call, which may be empty."""
        changed, self._changed = self._changed, EMPTY_REGION
        return changed

    def cancel(self) -> None:
        """Stop the running operation, if it can be cancelled, and queue the undo of its finished steps."""
        if self.operations.running is not None and self.operations.running.can_be_cancelled:
            self.operations.stop()
            if self._require_history().end_undo_group():
                self.operations.add_first(self._undo_operation())
                self.operations.start_next(self)
            self._end_applied_groups()

    def _run_next_step(self) -> None:
        """Apply a chunk of a stroke or a step of an operation, in the order in which they were queued."""
        self._end_applied_groups()
        if self.operations.running is not None:
            self._run_operation_step()
        elif self.operations.is_next(self.stroke_queue.groups_applied):
            self.operations.start_next(self)
        elif (chunk := self.stroke_queue.next()) is not None:
            self._paint(*chunk)

    def _run_operation_step(self) -> None:
        changed = None
        try:
            changed = self.operations.run_next_step()
        finally:
            if changed is None:
                self._require_history().end_undo_group()
        self._changed = self._changed.unite(changed or EMPTY_REGION)

    def _paint(self, key: Key, strokes: list[Stroke]) -> None:
        box = reduce(Region.unite, (stroke.shape.box for stroke in strokes))
        region = chunk_region(key).clip(self.shape).intersect(box)
        try:
            before = self._pyramid.read(region)
            self._edit(region, before, paint_all(strokes, region, before))
            self._changed = self._changed.unite(
                region
            )  # all of it: a preview on a coarser level differs from the result
            self.stroke_queue.mark_applied(key)
            self._end_applied_groups()
            if not self.stroke_queue.has_pending:
                self._require_journal().append(RecordKind.STROKES_APPLIED)
        except ProjectError:
            self.write_failed = True
            raise

    def _end_applied_groups(self) -> None:
        while self.stroke_queue.first_group_is_applied and self.operations.running is None:
            self._require_history().end_undo_group(strokes=True)
            self.stroke_queue.drop_first_group()

    # -- committed pixels

    def _edit(
        self, region: Region, before: UInt8Array, after: UInt8Array, kind: RecordKind = RecordKind.EDIT
    ) -> Region:
        """Log the difference and apply it."""
        box = _difference(before, after)
        if box.empty:
            return box
        inside, region = (slice(None), *box.slices), box.shift(region.top, region.left)
        change = Change(region, before[inside], after[inside])
        self._pyramid.prepare(region)
        self._require_history().record(change, RecordKind.OP_CHUNK if self.operations.in_step else kind)
        self._apply(change)
        if self._require_journal().size - self._saved_size > _MAX_UNSAVED_BYTES and self._may_save:
            self._save()
        return region

    def _apply(self, change: Change) -> None:
        self._pyramid.write(change.region, change.after)
        self.edited.add(*change)
        self.committed_counts = self.committed_counts - count(*change.before) + count(*change.after)

    def _reverse(self, change: Change) -> None:
        """Apply a change of an undo or a redo; a model may have filled its place since."""
        before = self._pyramid.read(change.region)
        self._apply(Change(change.region, before, apply_reversal(before, change.before, change.after)))

    def _undo_operation(self) -> MaskOperation:
        return MaskOperation("Undoing", lambda _: _count_undone(self, self._replay_group(RecordKind.UNDO)), False)

    def _redo_operation(self) -> MaskOperation:
        return MaskOperation("Redoing", lambda _: self._replay_group(RecordKind.REDO), can_be_cancelled=False)

    def _replay_group(self, kind: RecordKind) -> Iterator[OperationStep]:
        """Log an undo or redo at once; return the steps that apply it."""
        group = self._require_history().undo_or_redo(kind)
        return self._replay_changes(kind, group)

    def _replay_changes(self, kind: RecordKind, group: UndoGroup) -> Iterator[OperationStep]:
        problem = None
        for number, change in enumerate(self._require_history().changes(kind, group), 1):
            try:
                self._pyramid.prepare(change.region)
                self._reverse(change)
            except ProjectError as error:  # one damaged chunk must not keep the others from being undone
                problem = error
            else:
                yield OperationStep(change.region, number / len(group))
        if problem is not None:
            raise problem

    # -- disk

    def flush(self) -> None:
        """Apply all pending work and write the edited chunks to disk."""
        self.apply_pending()
        if self._may_save:
            self._save()

    def close(self) -> None:
        """Save and close the files."""
        try:
            self.end_undo_group()
            self.end_run()
            self.flush()
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close the files without saving, as when another program has taken them over; the journal has the edits."""
        if self._journal is not None:
            self._journal.close()

    @property
    def _may_save(self) -> bool:
        """Whether a save may mark the journal as applied, be it between steps: not while strokes are pending."""
        return not self.stroke_queue.has_pending

    def _save(self) -> None:
        """Write the edited chunks and note it in the journal."""
        if self._history is None:
            return
        journal = self._require_journal()
        if not self._pyramid.has_unsaved and journal.size <= self._saved_size:
            return
        journal.check_writable()
        try:
            self._pyramid.flush()
            self._store.save_counts(counts_to(self.committed_counts))
            self._store.sync()
            self._history.record_saved(counts_to(self.committed_counts))
        except OSError as error:
            raise ProjectError(
                f"{self._store.path} could not be written ({error.strerror or error}). Free the disk or "
                "allow writing; what you drew is safe in the journal until then."
            ) from error
        self._saved_size = journal.size

    def _require_history(self) -> History:
        if self._history is None:
            raise ProjectError(f"{self._store.path} is open read-only. Close the other program, then try again.")
        return self._history

    def _require_journal(self) -> Journal:
        self._require_history()
        assert self._journal is not None
        return self._journal

    # -- recovery

    def _recover(self, history: History) -> None:
        """Replay unapplied journal records after a crash; recount if needed."""
        self._saved_size = 0 if history.saved is None else history.saved.end
        known = self._store.load_counts()
        if history.unapplied or history.damaged:
            known = history.saved_counts()
            self._store.remove_temp_files()
        self.committed_counts = counts_from(known or {})
        for kind, group in history.unapplied:
            self._replay_record(history, kind, group)
        history.unapplied.clear()
        self.end_undo_group()
        self.end_run()
        self.apply_pending()
        if history.damaged or known is None:
            self.committed_counts = self._pyramid.count()
        self.flush()

    def _replay_record(self, history: History, kind: RecordKind, group: UndoGroup) -> None:
        """Apply an edit again, or queue a stroke again; an edit of a stroke takes its chunk off the queue."""
        if kind in (RecordKind.UNDO, RecordKind.REDO):
            for change in history.changes(kind, group):
                self._reverse(change)
        elif kind in (RecordKind.EDIT, RecordKind.OP_CHUNK, RecordKind.RUN_TILE):
            for change in history.changes(kind, group):
                self._apply(change)
                if kind is RecordKind.EDIT:
                    self.stroke_queue.mark_applied((change.region.top // CHUNK, change.region.left // CHUNK))
        elif kind is RecordKind.STROKE:
            self._requeue_stroke(group[0])
        elif kind is RecordKind.STROKES_END:
            self.stroke_queue.end_undo_group()
        elif kind is RecordKind.EDIT_END:
            self.stroke_queue.drop_first_group()
        elif kind is RecordKind.STROKES_APPLIED:
            self.stroke_queue.drop_all()

    def _requeue_stroke(self, record: Record) -> None:
        content = self._require_journal().read(record)
        try:
            if content is None:
                raise ValueError("its checksum is wrong")
            self.stroke_queue.add(stroke_from(content), self.shape)
        except ValueError as error:
            _logger.warning("%s: skipped the damaged stroke at byte %d (%s)", self._store.path, record.offset, error)


def undo_depth(mask: Mask) -> int:
    """Return how many undo groups of a mask can be undone, those of pending strokes included."""
    return 0 if mask._history is None else mask._history.undo_depth + mask.stroke_queue.groups_pending


def _count_undone(mask: Mask, steps: Iterator[OperationStep]) -> Iterator[OperationStep]:
    """Pass on the steps of an undo, then add to `mask.undone_imports` how many imported pixels it took away."""
    before = mask.committed_counts[:, Provenance.IMPORTED].sum()
    yield from steps
    mask.undone_imports += max(0, int(before - mask.committed_counts[:, Provenance.IMPORTED].sum()))


def _difference(before: UInt8Array, after: UInt8Array) -> Region:
    """Return the smallest box around the pixels that differ."""
    if is_uniform(before) and is_uniform(after):
        height, width = before.shape[-2:]
        return Region(0, 0, height, width) if (before[:, 0, 0] != after[:, 0, 0]).any() else EMPTY_REGION
    return bounding_box((before != after).any(axis=0))
