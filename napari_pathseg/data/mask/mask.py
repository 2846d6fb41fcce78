"""A mask that is edited: one way changes it, journals the change and can undo it.

Labels are class indices, provenance says who set a pixel.  Training reads what a person
drew, imported, accepted or corrected; a prediction fills what nobody set and never
overwrites a person.  Not here: how a mask looks, and where its slide lies.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Self

import numpy as np
import numpy.typing as npt

from napari_pathseg.data.classes import UNLABELLED
from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask.chunks import Pixels
from napari_pathseg.data.mask.counts import Counts, Provenance, count, counts_from, counts_to
from napari_pathseg.data.mask.history import Change, History
from napari_pathseg.data.mask.journal import Journal, Kind
from napari_pathseg.data.mask.painting import Painting, Stroke, paint_all, stroke_from
from napari_pathseg.data.mask.pyramid import Pyramid
from napari_pathseg.data.mask.store import MaskStore, chunk_region
from napari_pathseg.errors import ProjectError

_UNSAVED_BYTES = 64 << 20  # of the journal; from here on the pyramid is brought to the disk
_NOTHING = Region(0, 0, 0, 0)
_logger = logging.getLogger(__name__)


class Mask:
    """The labels and provenance of one slide; open it with `open_mask` and close it.

    What is edited lies in the journal at once and in the pyramids after :meth:`flush`.
    """

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        self._store, self._journal = store, journal
        self._pyramid = Pyramid(store)
        self._painting = Painting()
        self._unseen = _NOTHING  # changed by strokes that were carried out in between
        self._history = None if journal is None else History(journal)
        self._saved_size = 0 if journal is None else journal.size
        saved = store.load_counts()
        self.counts_so_far: Counts = counts_from(saved or {})
        if self._history is not None:
            self._catch_up(self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        """The pixels by (class, provenance); `counts_so_far` leaves strokes out that wait."""
        self.settle()
        return self.counts_so_far

    def read(self, region: Region) -> tuple[Pixels, Pixels]:
        """Return copies of the labels and provenance of a box that lies inside the mask."""
        self.settle()
        labels, provenance = self._pyramid.read(region)
        return labels, provenance

    def preview(self, region: Region, level: int) -> Pixels:
        """Return labels and provenance of a box of a level, ``(2, rows, columns)``, as they are going to be.

        Strokes that wait are shown, as far as a coarser level can.
        """
        pixels, step = self._pyramid.read(region, level), 2**level
        return paint_all(self._painting.strokes(), region, pixels, step)

    def touched(self, region: Region) -> Iterator[Region]:
        """Yield boxes, of a chunk at most, that cover all of `region` in which anything is set."""
        self.settle()
        return self._pyramid.touched(region)

    # -- edits

    def edit(self, region: Region, labels: Pixels, provenance: Pixels) -> Region:
        """Replace the labels and provenance of a box; return the box that changed, maybe empty.

        Edits belong to one undo step until :meth:`close_step` is called.

        Raises
        ------
        ProjectError
            If the disk does not take it: nothing is changed then.
        """
        self.settle()
        return self._edit(region, self._pyramid.read(region), np.stack([labels, provenance]))

    def stroke(self, stroke: Stroke) -> None:
        """Paint a shape: it is safe at once, and carried out by :meth:`work` or before anything else is done."""
        self._require_journal().append(Kind.STROKE, stroke.to_bytes())
        self._painting.add(stroke, self.shape)

    @property
    def waits(self) -> bool:
        """Whether strokes are still to be carried out."""
        return self._painting.waits

    def work(self, seconds: float) -> Region:
        """Carry out strokes for about so long; return the box that changed since the last call, maybe empty."""
        until, changed, self._unseen = time.perf_counter() + seconds, self._unseen, _NOTHING
        worked = self._painting.waits
        while (chunk := self._painting.next()) is not None:
            key, strokes = chunk
            box = reduce(Region.unite, (stroke.shape.box for stroke in strokes))
            region = chunk_region(key).clip(self.shape).intersect(box)
            before = self._pyramid.read(region)
            after = paint_all(strokes, region, before)
            changed = changed.unite(self._edit(region, before, after))
            self._painting.done(key)
            self._end_steps()
            if time.perf_counter() > until:
                break
        if worked and not self._painting.waits:
            self._require_journal().append(Kind.DONE)
        return changed

    def settle(self) -> None:
        """Carry out all strokes that wait."""
        while self._painting.waits:
            self._unseen = self.work(1.0)

    def close_step(self) -> None:
        """End an undo step: what was done since the last call is undone as one."""
        if self._painting.close_step():
            self._end_steps()
        elif self._history is not None:
            self._history.close_step()

    def undo(self) -> Region:
        """Take the last step back; return the box that changed, empty where there is none."""
        self.close_step()
        self.settle()
        return _NOTHING if self._history is None else self._replay(self._history.undo())

    def redo(self) -> Region:
        """Do again what was undone last; return the box that changed, empty where there is none."""
        self.close_step()
        self.settle()
        return _NOTHING if self._history is None else self._replay(self._history.redo())

    # -- the disk

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk."""
        self.settle()
        if self._history is None or not self._pyramid.waiting:
            return
        self._require_journal().guard()
        try:
            self._pyramid.flush()
            self._store.save_counts(counts_to(self.counts_so_far))
            self._history.note_saved(counts_to(self.counts_so_far))
        except OSError as error:
            raise ProjectError(
                f"{self._store.path} could not be written ({error.strerror or error}). Free the disk or "
                "allow writing; what you drew is safe in the journal until then."
            ) from error
        self._saved_size = self._require_journal().size

    def close(self) -> None:
        """Save and let the files go."""
        try:
            self.close_step()
            self.flush()
        finally:
            if self._journal is not None:
                self._journal.close()

    def abandon(self) -> None:
        """Let the files go as they are: another program has taken them over, and what the journal says."""
        if self._journal is not None:
            self._journal.close()

    # -- inside

    def _edit(self, region: Region, before: Pixels, after: Pixels) -> Region:
        box = _bounding_box((before != after).any(axis=0))
        if box.empty:
            return box
        inside, region = (slice(None), *box.slices), box.shift(region.top, region.left)
        change = Change(region, before[inside], after[inside])
        self._require_history().note(change)
        self._apply(change)
        if self._require_journal().size - self._saved_size > _UNSAVED_BYTES and not self._painting.waits:
            self.flush()
        return region

    def _apply(self, change: Change) -> None:
        self._pyramid.write(change.region, change.after)
        self.counts_so_far = self.counts_so_far - count(*change.before) + count(*change.after)

    def _replay(self, changes: Iterable[Change]) -> Region:
        touched = _NOTHING
        for change in changes:
            self._apply(change)
            touched = touched.unite(change.region)
        return touched

    def _end_steps(self) -> None:
        while self._painting.end_step():
            self._require_history().close_step()

    def _catch_up(self, history: History) -> None:
        """Do what a killed program left to do, and count anew where the numbers may be wrong."""
        if not history.left:
            if history.saved is None and self._store.load_counts() is None:
                self.counts_so_far = self._count()
            return
        self._store.sweep()
        known = history.saved_counts()
        self.counts_so_far = counts_from(known or {})
        left = history.strokes()
        for kind, step in history.left:
            if kind not in (Kind.STROKE, Kind.DONE):
                self._replay(history.changes(kind, step))
        history.left.clear()
        for record in left:
            content = self._require_journal().read(record)
            if content is None:
                _logger.warning("%s: the stroke at byte %d is damaged; it is skipped", self._store.path, record.offset)
                continue
            self._painting.add(stroke_from(content), self.shape)
        self.close_step()
        self.settle()
        if history.damaged or known is None:
            self.counts_so_far = self._count()
        self.flush()

    def _count(self) -> Counts:
        counts = counts_from({})
        empty = self.shape[0] * self.shape[1]
        for box in self._pyramid.touched(Region(0, 0, *self.shape)):
            counts += count(*self._pyramid.read(box))
            empty -= box.height * box.width
        counts[UNLABELLED, Provenance.NONE] += empty
        return counts

    def _require_history(self) -> History:
        if self._history is None:
            raise ProjectError(f"{self._store.path} is open for looking only. Close the other program, then try again.")
        return self._history

    def _require_journal(self) -> Journal:
        self._require_history()
        assert self._journal is not None
        return self._journal


def _bounding_box(changed: npt.NDArray[np.bool_]) -> Region:
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return _NOTHING
    top, left = int(rows[0]), int(columns[0])
    return Region(top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left)
