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
from napari_pathseg.masks.journal import Journal, Kind, Record
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
            self._catch_up(self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def preview(self, region: Region, level: int) -> UInt8Array:
        """Return labels and provenance of a box of a level, ``(2, rows, columns)``, as they are going to be.

        Strokes that wait are shown, as far as a coarser level can.
        """
        pixels, step = self._pyramid.read(region, level), 2**level
        return paint_all(self.painting.strokes(), region, pixels, step)

    # -- the disk

    def close(self) -> None:
        """Save and let the files go."""
        try:
            self.close_step()
            self.flush()
        finally:
            if self._journal is not None:
                self._journal.close()

    # -- inside

    def _catch_up(self, history: History) -> None:
        """Do what a killed program left to do, and count anew where the numbers may be wrong."""
        self._saved_size = 0 if history.saved is None else history.saved.end
        known = self._store.load_counts()
        if history.left or history.damaged:
            known = history.saved_counts()
            self._store.sweep()
        self.counts_so_far = counts_from(known or {})
        for kind, step in history.left:
            self._follow(history, kind, step)
        history.left.clear()
        self.close_step()
        self.settle()
        if history.damaged or known is None:
            self.counts_so_far = self._pyramid.count()
        self.flush()

    def _follow(self, history: History, kind: Kind, step: Step) -> None:
        """Do what a record says: edits are made again, shapes are left to paint where no edit tells that they were."""
        if kind in (Kind.EDIT, Kind.PART, Kind.UNDO, Kind.REDO):
            for change in history.changes(kind, step):
                self._apply(change)
                if kind is Kind.EDIT:
                    self.painting.done((change.region.top // CHUNK, change.region.left // CHUNK))
        elif kind is Kind.STROKE:
            self._recall_stroke(step[0])
        elif kind is Kind.STEP:
            self.painting.close_step()
        elif kind is Kind.END:
            self.painting.drop_step()
        elif kind is Kind.DONE:
            self.painting.drop_all()

    def _recall_stroke(self, record: Record) -> None:
        content = self._require_journal().read(record)
        if content is None:
            _logger.warning("%s: the stroke at byte %d is damaged; it is skipped", self._store.path, record.offset)
        else:
            self.painting.add(stroke_from(content), self.shape)
