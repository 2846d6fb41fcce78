"""What is done to a mask and not carried out yet: strokes and deeds, in the order in which they were told.

A stroke is told to the journal at once, so that it is safe, and carried out chunk by chunk.  A deed is carried out
piece by piece, its pieces are told as they are done.  So whoever paints waits for neither; whoever reads the mask, or
edits it at once, has all that waits carried out first.
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
from napari_pathseg.masks.journal import Journal, Kind
from napari_pathseg.masks.operations import Deed, Deeds
from napari_pathseg.masks.stroke_queue import Painting, Stroke, paint_all
from napari_pathseg.masks.zarr_store import MaskStore, chunk_region


class WaitingWork(KeptPixels):
    """Pixels that strokes and deeds change by and by.

    Attributes
    ----------
    painting, deeds
        What was told and is not carried out yet.
    refused
        Whether the disk refused a stroke that waits; the next try may succeed.
    """

    def __init__(self, store: MaskStore, journal: Journal | None) -> None:
        super().__init__(store, journal)
        self.painting = Painting()
        self.deeds = Deeds()
        self._changed = EMPTY_REGION  # by what waited, and was not told
        self.refused = False

    @property
    def counts(self) -> Counts:
        """The pixels by (class, provenance); `counts_so_far` leaves strokes out that wait."""
        self.settle()
        return self.counts_so_far

    def read(self, region: Region) -> tuple[UInt8Array, UInt8Array]:
        """Return copies of the labels and provenance of a box that lies inside the mask."""
        self.settle()
        labels, provenance = self._pyramid.read(region)
        return labels, provenance

    def touched(self, region: Region) -> Iterator[Region]:
        """Yield boxes, of a chunk at most, that cover all of `region` in which anything is set."""
        self.settle()
        return self._pyramid.touched(region)

    # -- edits

    def edit(self, region: Region, labels: UInt8Array, provenance: UInt8Array) -> Region:
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
        self.painting.add(stroke, self.shape)

    def begin(self, deed: Deed) -> None:
        """Begin a deed, which is one undo step; :meth:`work`, or whatever is done next, carries it out.

        It comes after what was told before; strokes that are told meanwhile are safe, and come after it.
        """
        self._require_history()
        self.close_step()
        waited = self.waits
        self.deeds.add(deed, after=self.painting.steps_told)
        if not waited:
            self.deeds.begin(self)

    def do(self, deed: Deed) -> Region:
        """Carry a deed out at once; return the box that changed, maybe empty."""
        self.settle()
        before, self._changed = self._changed, EMPTY_REGION
        try:
            self.begin(deed)
            self.settle()
        finally:
            changed, self._changed = self._changed, self._changed.unite(before)
        return changed

    def begin_undo(self) -> None:
        """Begin to take the last step back."""
        self.begin(self._turn_deed(Kind.UNDO))

    def begin_redo(self) -> None:
        """Begin to do again what was undone last."""
        self.begin(self._turn_deed(Kind.REDO))

    def undo(self) -> Region:
        """Take the last step back; return the box that changed, empty where there is none."""
        return EMPTY_REGION if self._history is None else self.do(self._turn_deed(Kind.UNDO))

    def redo(self) -> Region:
        """Do again what was undone last; return the box that changed, empty where there is none."""
        return EMPTY_REGION if self._history is None else self.do(self._turn_deed(Kind.REDO))

    def close_step(self) -> None:
        """End an undo step: what was done since the last call is undone as one."""
        if self.painting.open:
            self._require_journal().append(Kind.STEP)
            self.painting.close_step()
            self._end_steps()
        elif self._history is not None and self.painting.empty and self.deeds.running is None:
            self._history.close_step()  # else it ends with the last chunk of its strokes, or of the deed

    # -- what waits

    @property
    def waits(self) -> bool:
        """Whether strokes or deeds are still to be carried out."""
        return self.painting.waits or self.deeds.any_waits or self.deeds.running is not None

    def work(self, seconds: float) -> None:
        """Carry out what waits for about so long; see :meth:`take_changed`.

        Raises
        ------
        ProjectError
            If the disk does not take it: strokes go on waiting, and `refused` is set; a deed is over, and what it did
            is one undo step.
        """
        until = time.perf_counter() + seconds
        self.refused = False
        self._end_steps()
        while self.waits:
            self._advance()
            if time.perf_counter() > until:
                break

    def take_changed(self) -> Region:
        """Return the box that was changed by what waited since the last call, maybe empty."""
        changed, self._changed = self._changed, EMPTY_REGION
        return changed

    def settle(self) -> None:
        """Carry out all that waits; see :meth:`work`."""
        self.refused = False
        while self.waits and not self.deeds.inside:  # a deed is done to the mask as it is
            self._advance()

    def cancel(self) -> None:
        """Give the deed that runs up, if it can be given up: what it did is taken back."""
        if self.deeds.running is not None and self.deeds.running.can_be_cancelled:
            self.deeds.end()
            if self._require_history().close_step():
                self.deeds.put_first(self._turn_deed(Kind.UNDO))
                self.deeds.begin(self)
            self._end_steps()

    def flush(self) -> None:
        """Write what was edited into the pyramids on disk."""
        self.settle()
        if self._may_save:
            self._save()

    # -- inside

    @property
    def _may_save(self) -> bool:
        return not self.painting.waits  # also within a deed: the journal must keep what it says of them

    @property
    def _kind(self) -> Kind:
        return Kind.PART if self.deeds.inside else Kind.EDIT

    def _advance(self) -> None:
        """Do a piece of what waits, in the order in which it was told."""
        self._end_steps()
        if self.deeds.running is not None:
            self._go_on()
        elif self.deeds.is_next(self.painting.steps_painted):
            self.deeds.begin(self)
        elif (chunk := self.painting.next()) is not None:
            self._paint(*chunk)

    def _go_on(self) -> None:
        changed = None
        try:
            changed = self.deeds.go_on()
        finally:
            if changed is None:
                self._require_history().close_step()
        self._changed = self._changed.unite(changed or EMPTY_REGION)

    def _paint(self, key: Key, strokes: list[Stroke]) -> None:
        box = reduce(Region.unite, (stroke.shape.box for stroke in strokes))
        region = chunk_region(key).clip(self.shape).intersect(box)
        try:
            before = self._pyramid.read(region)
            self._changed = self._changed.unite(self._edit(region, before, paint_all(strokes, region, before)))
            self.painting.done(key)
            self._end_steps()
            if not self.painting.waits:
                self._require_journal().append(Kind.DONE)
        except ProjectError:
            self.refused = True
            raise

    def _end_steps(self) -> None:
        while self.painting.step_ends and self.deeds.running is None:
            self._require_history().close_step(painted=True)
            self.painting.drop_step()
