"""The pixels of a mask as they are kept: changed box by box, journaled, counted, saved, undone.

What of it is one step, and what is still to be carried out, is `waiting`'s.
"""

from collections.abc import Iterator

from napari_pathseg.arrays import UInt8Array
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.masks.chunk_files import is_uniform
from napari_pathseg.masks.counts import Counts, count, counts_from, counts_to
from napari_pathseg.masks.history import Change, History, Step
from napari_pathseg.masks.journal import Journal, RecordKind
from napari_pathseg.masks.operations import MaskOperation, OperationStep
from napari_pathseg.masks.pyramid import Pyramid
from napari_pathseg.masks.shapes import bounding_box
from napari_pathseg.masks.zarr_store import MaskStore

_UNSAVED_BYTES = 64 << 20  # of the journal; from here on the pyramid is brought to the disk


class KeptPixels:
    """Labels and provenance with their journal; without one they can only be looked at."""

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        self._store, self._journal = store, journal
        self._pyramid = Pyramid(store)
        self._history = None if journal is None else History(journal)
        self._saved_size = 0  # of the journal
        self.committed_counts: Counts = counts_from(store.load_counts() or {})

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

    def _save(self) -> None:
        """Bring what was edited into the pyramids on disk, and say so in the journal."""
        if self._history is None or not (self._pyramid.waiting or self._require_journal().size > self._saved_size):
            return
        self._require_journal().check_writable()
        try:
            self._pyramid.flush()
            self._store.save_counts(counts_to(self.committed_counts))
            self._store.sync()
            self._history.note_saved(counts_to(self.committed_counts))
        except OSError as error:
            raise ProjectError(
                f"{self._store.path} could not be written ({error.strerror or error}). Free the disk or "
                "allow writing; what you drew is safe in the journal until then."
            ) from error
        self._saved_size = self._require_journal().size

    def abandon(self) -> None:
        """Let the files go as they are: another program has taken them over, and what the journal says."""
        if self._journal is not None:
            self._journal.close()

    # -- inside

    @property
    def _may_save(self) -> bool:
        """Whether the journal needs nothing of what it says any more, once that is in the pyramids."""
        return True

    @property
    def _kind(self) -> RecordKind:
        """What an edit is noted as."""
        return RecordKind.EDIT

    def _edit(self, region: Region, before: UInt8Array, after: UInt8Array) -> Region:
        box = _difference(before, after)
        if box.empty:
            return box
        inside, region = (slice(None), *box.slices), box.shift(region.top, region.left)
        change = Change(region, before[inside], after[inside])
        self._pyramid.prepare(region)
        self._require_history().note(change, self._kind)
        self._apply(change)
        if self._require_journal().size - self._saved_size > _UNSAVED_BYTES and self._may_save:
            self._save()
        return region

    def _apply(self, change: Change) -> None:
        self._pyramid.write(change.region, change.after)
        self.committed_counts = self.committed_counts - count(*change.before) + count(*change.after)

    def _as_it_is(self, change: Change) -> Change:
        """Return a change with what is really there before it: a damaged record may have been skipped."""
        self._pyramid.prepare(change.region)
        return change._replace(before=self._pyramid.read(change.region))

    def _make_undo_operation(self, kind: RecordKind) -> MaskOperation:
        """Return the operation that undoes or redoes a step."""
        name = "Undoing" if kind is RecordKind.UNDO else "Redoing"
        return MaskOperation(name, lambda _: self._undo_or_redo(kind), can_be_cancelled=False)

    def _undo_or_redo(self, kind: RecordKind) -> Iterator[OperationStep]:
        """Undo or redo a step, which the journal says at once."""
        step = self._require_history().undo_or_redo(kind)
        return self._replay(kind, step)

    def _replay(self, kind: RecordKind, step: Step) -> Iterator[OperationStep]:
        problem = None
        for number, change in enumerate(self._require_history().changes(kind, step), 1):
            try:
                self._apply(self._as_it_is(change))
            except ProjectError as error:  # a chunk on disk is damaged; the others are none the worse
                problem = error
            else:
                yield OperationStep(change.region, number / len(step))
        if problem is not None:
            raise problem

    def _require_history(self) -> History:
        if self._history is None:
            raise ProjectError(f"{self._store.path} is open for looking only. Close the other program, then try again.")
        return self._history

    def _require_journal(self) -> Journal:
        self._require_history()
        assert self._journal is not None
        return self._journal


def _difference(before: UInt8Array, after: UInt8Array) -> Region:
    """Return the smallest box around the pixels that differ."""
    if is_uniform(before) and is_uniform(after):
        height, width = before.shape[-2:]
        return Region(0, 0, height, width) if (before[:, 0, 0] != after[:, 0, 0]).any() else EMPTY_REGION
    return bounding_box((before != after).any(axis=0))
