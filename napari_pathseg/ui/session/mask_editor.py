"""What is done to the mask in view beside the brush: outlines, accepting and rejecting, cleanup.

No Qt here; each is one step of undo.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.edits import accept, reject
from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.projects.versions import ACCEPT_ALL, create_version, create_versions
from napari_pathseg.ui.session.cleanup import CleanupRequest, clean, options_for
from napari_pathseg.ui.session.edit_scope import SLIDE, VIEW, outline_on, resolve_scope

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session


class MaskEditor:
    """The edits of a session's mask.

    Attributes
    ----------
    busy
        Whether one goes on in which nothing else may touch the mask.
    run_pending
        Carries out what waits on a mask; who shows a window may show there how far it is.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.busy = False
        self.run_pending: Callable[[Mask], None] = Mask.apply_pending

    def run(self, operation: MaskOperation) -> None:
        """Begin an operation on the mask in view; what of it would be felt is carried out by and by."""
        if self._session.mask is not None:
            self._session.mask.enqueue(operation)
        if self._session.layers.mask is not None:
            self._session.layers.mask.apply_pending()

    def apply_pending(self) -> None:
        """Carry out all that waits, before others need the mask; an operation that fails is told.

        Raises
        ------
        ProjectError
            If the disk refuses a stroke.
        """
        mask = self._session.mask
        while mask is not None and mask.has_pending:
            try:
                with self._alone():
                    self.run_pending(mask)
            except ProjectError as error:
                if mask.write_failed:
                    raise
                self._session.message.emit(str(error), "", "error")  # an operation; it is over, and the rest goes on
            finally:
                if self._session.layers.mask is not None:
                    self._session.layers.mask.refresh_changed()

    def rasterize_outlines(self, label: int) -> None:
        """Fill what is drawn on the contours layer into the mask as a class; the layer is free then."""
        self._require_mask()
        layers, entry = self._session.layers, self._session.require_slide()
        assert layers.mask is not None
        with layers.mask.block_history():  # one step
            for points in layers.drawn_outlines():
                if len(points) > 2:
                    layers.mask.stroke(outline_on(entry, points), label)
        layers.clear_outlines()

    def accept(self, where: str = VIEW) -> None:
        """Stand for the model's pixels in a place; before a whole slide's the mask is kept as a version."""
        self._require_mask()
        if where == SLIDE:
            self._session.save_mask()
            create_version(self._session.require_project(), self._session.require_slide().id, ACCEPT_ALL)
        place = resolve_scope(self._session, where)
        self.run(accept(place.box, self.locked, place.inside))

    def reject(self, where: str = VIEW) -> None:
        """Take the model's pixels in a place away."""
        self._require_mask()
        place = resolve_scope(self._session, where)
        self.run(reject(place.box, self.locked, place.inside))

    def set_complete(self, complete: bool) -> None:
        """Say whether what is unlabelled on the slide in view is Background: then a person has spoken everywhere."""
        session = self._session
        session.layers.entry = session.require_project().update_slide(session.require_slide().id, complete=complete)
        if complete and session.mask is not None:
            rest = reject(Region(0, 0, *session.mask.shape), self.locked)
            self.run(replace(rest, can_be_cancelled=False))
        session.project_changed.emit()

    def clean(self, request: CleanupRequest, progress: Callable[[float], bool] | None = None) -> bool:
        """Clean up a class; return whether anything changed.

        `progress` is told how far it is, 0 to 1, and ends it by returning True: then all is as before.
        What a model says meanwhile waits.
        """
        mask, mpp = self._require_mask(), self._session.require_slide().mask_mpp
        place, stopped = resolve_scope(self._session, request.where), False

        def tell(share: float) -> bool:
            nonlocal stopped
            stopped = progress is not None and progress(share)
            return stopped

        changed = place.box  # as far as is known until it is done
        self.apply_pending()
        try:
            with self._alone():
                changed = clean(mask, request, place, mpp, options_for(mask, place, self.locked, tell))
                if stopped and not changed.empty:
                    mask.undo()
        finally:
            self._session.refresh_mask(changed)
        return not (stopped or changed.empty)

    def create_versions(self, why: str) -> None:
        """Keep all masks as they are now; where the disk refuses that is said, and work goes on."""
        try:
            create_versions(self._session.require_project(), why)
        except ProjectError as error:
            self._session.message.emit(str(error), "", "warning")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep everything else away from the mask inside the block: what the worker says waits."""
        before, self.busy = self.busy, True
        try:
            with self._session.training.events_paused():
                yield
        finally:
            self.busy = before

    def _require_mask(self) -> Mask:
        self._session.access.require_writable()
        if self._session.mask is None:
            raise ProjectError("No slide is in view. Add one, or double-click one in the list.")
        return self._session.mask

    @property
    def locked(self) -> frozenset[int]:
        """The classes whose pixels stay as they are."""
        layer = self._session.layers.mask
        return frozenset() if layer is None else layer.locked_classes
