"""Pending work of a mask: strokes and operations, in the order in which they were queued.

A stroke is logged at once, so that it is safe, and applied chunk by chunk.  An operation is applied step by step, and
each step is logged when it is done.  Painting therefore waits for neither; reading or editing the mask applies all
pending work first.
"""

import time
from collections.abc import Iterator
from functools import reduce

import numpy as np

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks.chunk_files import Key
from napari_pathseg.masks.committed_pixels import KeptPixels
from napari_pathseg.masks.counts import Counts
from napari_pathseg.masks.journal import Journal, RecordKind
from napari_pathseg.masks.operations import MaskOperation, OperationQueue
from napari_pathseg.masks.stroke_queue import Stroke, StrokeQueue, paint_all
from napari_pathseg.masks.zarr_store import MaskStore, chunk_region


class WaitingWork(KeptPixels):
    """UInt8Array that strokes and operations change by and by.

    Attributes
    ----------
    stroke_queue, operations
        What was told and is not carried out yet.
    write_failed
        Whether the disk write_failed a stroke that waits; the next try may succeed.
    """

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        super().__init__(store, journal)
        self.stroke_queue = StrokeQueue()
        self.operations = OperationQueue()
        self._changed = EMPTY_REGION  # by what waited, and was not told
        self.write_failed = False

    @property
    def counts(self) -> Counts:
        """The pixels by (class, provenance); `committed_counts` leaves strokes out that wait."""
        self.apply_pending()
        return self.committed_counts

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of the labels and provenance of a box that lies inside the mask."""
        self.apply_pending()
        labels, provenance = self._pyramid.read(region)
        return labels, provenance

    def nonempty_chunks(self, region: Region) -> Iterator[Region]:
        """Yield boxes, of a chunk at most, that cover all of `region` in which anything is set."""
        self.apply_pending()
        return self._pyramid.nonempty_chunks(region)

    # -- edits

    def edit(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
        """Replace the labels and provenance of a box; return the box that changed, maybe empty.

        Edits belong to one undo step until :meth:`end_undo_group` is called.

        Raises
        ------
        ProjectError
            If the disk does not take it: nothing is changed then.
        """
        self.apply_pending()
        return self._edit(region, self._pyramid.read(region), np.stack([labels, provenance]))

    def add_stroke(self, stroke: Stroke) -> None:
        """Log a stroke and queue it; :meth:`process_pending`, or the next read or edit, applies it."""
        self._require_journal().append(RecordKind.STROKE, stroke.to_bytes())
        self.stroke_queue.add(stroke, self.shape)

    def enqueue(self, operation: MaskOperation) -> None:
        """Queue an operation, which is one undo group; :meth:`process_pending`, or the next read or edit, applies it.

        It runs after what was queued before; strokes recorded meanwhile are safe, and follow it.
        """
        self._require_history()
        self.end_undo_group()
        was_pending = self.has_pending
        self.operations.add(operation, after=self.stroke_queue.groups_recorded)
        if not was_pending:
            self.operations.start_next(self)

    def run(self, operation: MaskOperation) -> Region:
        """Carry an operation out at once; return the box that changed, maybe empty."""
        self.apply_pending()
        before, self._changed = self._changed, EMPTY_REGION
        try:
            self.enqueue(operation)
            self.apply_pending()
        finally:
            changed, self._changed = self._changed, self._changed.unite(before)
        return changed

    def enqueue_undo(self) -> None:
        """Begin to take the last step back."""
        self.enqueue(self._make_undo_operation(RecordKind.UNDO))

    def enqueue_redo(self) -> None:
        """Begin to do again what was undone last."""
        self.enqueue(self._make_undo_operation(RecordKind.REDO))

    def undo(self) -> Region:
        """Take the last step back; return the box that changed, empty where there is none."""
        return EMPTY_REGION if self._history is None else self.run(self._make_undo_operation(RecordKind.UNDO))

    def redo(self) -> Region:
        """Do again what was undone last; return the box that changed, empty where there is none."""
        return EMPTY_REGION if self._history is None else self.run(self._make_undo_operation(RecordKind.REDO))

    def end_undo_group(self) -> None:
        """End an undo step: what was done since the last call is undone as one."""
        if self.stroke_queue.open:
            self._require_journal().append(RecordKind.STROKES_END)
            self.stroke_queue.end_undo_group()
            self._end_steps()
        elif self._history is not None and self.stroke_queue.empty and self.operations.running is None:
            self._history.end_undo_group()  # else it ends with the last chunk of its strokes, or of the operation

    # -- what waits

    @property
    def has_pending(self) -> bool:
        """Whether strokes or operations are still to be carried out."""
        return self.stroke_queue.has_pending or self.operations.has_queued or self.operations.running is not None

    def process_pending(self, budget_s: float) -> None:
        """Carry out what waits for about so long; see :meth:`pop_changed`.

        Raises
        ------
        ProjectError
            If the disk refuses.  Strokes stay queued and `write_failed` is set; an operation ends, and its finished
            steps are one undo group.
        """
        until = time.perf_counter() + budget_s
        self.write_failed = False
        self._end_steps()
        while self.has_pending:
            self._run_next_step()
            if time.perf_counter() > until:
                break

    def pop_changed(self) -> Region:
        """Return the box that was changed by what waited since the last call, maybe empty."""
        changed, self._changed = self._changed, EMPTY_REGION
        return changed

    def apply_pending(self) -> None:
        """Carry out all that waits; see :meth:`process_pending`."""
        self.write_failed = False
        while self.has_pending and not self.operations.in_step:  # an operation is done to the mask as it is
            self._run_next_step()

    def cancel(self) -> None:
        """Give the operation that runs up, if it can be given up: what it did is taken back."""
        if self.operations.running is not None and self.operations.running.can_be_cancelled:
            self.operations.end()
            if self._require_history().end_undo_group():
                self.operations.put_first(self._make_undo_operation(RecordKind.UNDO))
                self.operations.start_next(self)
            self._end_steps()

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk."""
        self.apply_pending()
        if self._may_save:
            self._save()

    # -- inside

    @property
    def _may_save(self) -> bool:
        return not self.stroke_queue.has_pending  # also within an operation: the journal must keep what it says of them

    @property
    def _kind(self) -> RecordKind:
        return RecordKind.OP_CHUNK if self.operations.in_step else RecordKind.EDIT

    def _run_next_step(self) -> None:
        """Do a piece of what waits, in the order in which it was told."""
        self._end_steps()
        if self.operations.running is not None:
            self._step_operation()
        elif self.operations.is_next(self.stroke_queue.groups_applied):
            self.operations.start_next(self)
        elif (chunk := self.stroke_queue.next()) is not None:
            self._paint(*chunk)

    def _step_operation(self) -> None:
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
            self._changed = self._changed.unite(self._edit(region, before, paint_all(strokes, region, before)))
            self.stroke_queue.done(key)
            self._end_steps()
            if not self.stroke_queue.has_pending:
                self._require_journal().append(RecordKind.STROKES_APPLIED)
        except ProjectError:
            self.write_failed = True
            raise

    def _end_steps(self) -> None:
        while self.stroke_queue.step_ends and self.operations.running is None:
            self._require_history().end_undo_group(painted=True)
            self.stroke_queue.drop_step()
