"""A mask that is edited: one way changes it, journals the change and can undo it.

Labels are class indices, provenance says who set a pixel.  Training reads what a person
drew, imported, accepted or corrected; a prediction fills what nobody set and never
overwrites a person.  Not here: how a mask looks, and where its slide lies.
"""

import logging
from typing import Self

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.geometry import Region
from napari_pathseg.masks.chunk_files import CHUNK
from napari_pathseg.masks.counts import counts_from
from napari_pathseg.masks.history import History, Step
from napari_pathseg.masks.journal import Journal, Record, RecordKind
from napari_pathseg.masks.pending_operations import WaitingWork
from napari_pathseg.masks.stroke_queue import paint_all, stroke_from
from napari_pathseg.masks.zarr_store import MaskStore

_logger = logging.getLogger(__name__)


class Mask(WaitingWork):
    """The labels and provenance of one slide; open it with `open_mask` and close it.

    What is edited lies in the journal at once and in the pyramids after :meth:`flush`.
    """

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        super().__init__(store, journal)
        if self._history is not None:
            self._recover(self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def preview(self, region: Region, level: int) -> UInt8Array:
        """Return labels and provenance of a box of a level, ``(2, rows, columns)``, as they are going to be.

        Strokes that wait are shown, as far as a coarser level can.
        """
        pixels, step = self._pyramid.read(region, level), 2**level
        return paint_all(self.stroke_queue.strokes(), region, pixels, step)

    # -- the disk

    def close(self) -> None:
        """Save and let the files go."""
        try:
            self.end_undo_group()
            self.flush()
        finally:
            if self._journal is not None:
                self._journal.close()

    # -- inside

    def _recover(self, history: History) -> None:
        """Do what a killed program left to do, and count anew where the numbers may be wrong."""
        self._saved_size = 0 if history.saved is None else history.saved.end
        known = self._store.load_counts()
        if history.unapplied or history.damaged:
            known = history.saved_counts()
            self._store.remove_temp_files()
        self.committed_counts = counts_from(known or {})
        for kind, step in history.unapplied:
            self._replay_record(history, kind, step)
        history.unapplied.clear()
        self.end_undo_group()
        self.apply_pending()
        if history.damaged or known is None:
            self.committed_counts = self._pyramid.count()
        self.flush()

    def _replay_record(self, history: History, kind: RecordKind, step: Step) -> None:
        """Do what a record says: edits are made again, shapes are left to paint where no edit tells that they were."""
        if kind in (RecordKind.EDIT, RecordKind.OP_CHUNK, RecordKind.UNDO, RecordKind.REDO):
            for change in history.changes(kind, step):
                self._apply(change)
                if kind is RecordKind.EDIT:
                    self.stroke_queue.done((change.region.top // CHUNK, change.region.left // CHUNK))
        elif kind is RecordKind.STROKE:
            self._requeue_stroke(step[0])
        elif kind is RecordKind.STROKES_END:
            self.stroke_queue.end_undo_group()
        elif kind is RecordKind.EDIT_END:
            self.stroke_queue.drop_step()
        elif kind is RecordKind.STROKES_APPLIED:
            self.stroke_queue.drop_all()

    def _requeue_stroke(self, record: Record) -> None:
        content = self._require_journal().read(record)
        if content is None:
            _logger.warning("%s: the stroke at byte %d is damaged; it is skipped", self._store.path, record.offset)
        else:
            self.stroke_queue.add(stroke_from(content), self.shape)
