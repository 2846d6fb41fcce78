"""A mask that is edited: one way changes it, journals the change and can undo it.

Labels are class indices, provenance says who set a pixel.  Training reads what a person
drew, imported, accepted or corrected; a prediction fills what nobody set and never
overwrites a person.  Not here: how a mask looks, and where its slide lies.
"""

import logging
import time
from collections.abc import Iterator
from functools import reduce
from typing import Self

import numpy as np

from napari_pathseg.data.geometry import Region
from napari_pathseg.data.mask.chunks import CHUNK, Key, Pixels
from napari_pathseg.data.mask.counts import Counts, counts_from
from napari_pathseg.data.mask.history import History, Step
from napari_pathseg.data.mask.journal import Journal, Kind, Record
from napari_pathseg.data.mask.kept import NOTHING, KeptPixels
from napari_pathseg.data.mask.painting import Painting, Stroke, paint_all, stroke_from
from napari_pathseg.data.mask.store import MaskStore, chunk_region

_logger = logging.getLogger(__name__)


class Mask(KeptPixels):
    """The labels and provenance of one slide; open it with `open_mask` and close it.

    What is edited lies in the journal at once and in the pyramids after :meth:`flush`.
    """

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        super().__init__(store, journal)
        self._painting = Painting()
        self._unseen = NOTHING  # changed by strokes that were carried out in between
        if self._history is not None:
            self._catch_up(self._history)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        until, worked = time.perf_counter() + seconds, self._painting.waits
        self._end_steps()
        while (chunk := self._painting.next()) is not None:
            self._paint(*chunk)
            if time.perf_counter() > until:
                break
        if worked and not self._painting.waits:
            self._require_journal().append(Kind.DONE)
        changed, self._unseen = self._unseen, NOTHING
        return changed

    def settle(self) -> None:
        """Carry out all strokes that wait."""
        while self._painting.waits:
            self._unseen = self.work(1.0)

    def close_step(self) -> None:
        """End an undo step: what was done since the last call is undone as one."""
        if self._painting.open:
            self._require_journal().append(Kind.STEP)
            self._painting.close_step()
            self._end_steps()
        elif self._history is not None and self._painting.empty:  # else the strokes' step ends with their last chunk
            self._history.close_step()

    def undo(self) -> Region:
        """Take the last step back; return the box that changed, empty where there is none."""
        self.close_step()
        self.settle()
        return NOTHING if self._history is None else self._replay(map(self._as_it_is, self._history.undo()))

    def redo(self) -> Region:
        """Do again what was undone last; return the box that changed, empty where there is none."""
        self.close_step()
        self.settle()
        return NOTHING if self._history is None else self._replay(map(self._as_it_is, self._history.redo()))

    # -- the disk

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk."""
        self.settle()
        super().flush()

    def close(self) -> None:
        """Save and let the files go."""
        try:
            self.close_step()
            self.flush()
        finally:
            if self._journal is not None:
                self._journal.close()

    # -- inside

    @property
    def _busy(self) -> bool:
        return self._painting.waits

    def _paint(self, key: Key, strokes: list[Stroke]) -> None:
        box = reduce(Region.unite, (stroke.shape.box for stroke in strokes))
        region = chunk_region(key).clip(self.shape).intersect(box)
        before = self._pyramid.read(region)
        self._unseen = self._unseen.unite(self._edit(region, before, paint_all(strokes, region, before)))
        self._painting.done(key)
        self._end_steps()

    def _end_steps(self) -> None:
        while self._painting.step_ends:
            self._require_history().close_step(painted=True)
            self._painting.drop_step()

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
        if kind in (Kind.EDIT, Kind.UNDO, Kind.REDO):
            for change in history.changes(kind, step):
                self._apply(change)
                self._painting.done((change.region.top // CHUNK, change.region.left // CHUNK))
        elif kind is Kind.STROKE:
            self._recall_stroke(step[0])
        elif kind is Kind.STEP:
            self._painting.close_step()
        elif kind is Kind.END:
            self._painting.drop_step()
        else:
            self._painting.drop_all()

    def _recall_stroke(self, record: Record) -> None:
        content = self._require_journal().read(record)
        if content is None:
            _logger.warning("%s: the stroke at byte %d is damaged; it is skipped", self._store.path, record.offset)
        else:
            self._painting.add(stroke_from(content), self.shape)
