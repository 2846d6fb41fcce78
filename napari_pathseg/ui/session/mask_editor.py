"""Edits of the mask in view other than brush strokes: outlines, accept and reject, clean-up.

Each is one undo step.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.edits import accept, reject
from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.projects.versions import ACCEPT_ALL, create_version, create_versions
from napari_pathseg.ui.session.cleanup import CleanupRequest, clean, cleanup_options
from napari_pathseg.ui.session.selection import SLIDE, VIEW, Selection, mask_polygon
from napari_pathseg.ui.session.workspace import Workspace


class MaskEditor:
    """Edits the mask in view.

    Attributes
    ----------
    busy
        Whether an edit is running that nothing else may interrupt.
    run_pending
        Applies all pending operations of a mask.  The window replaces it with one that shows progress.
    """

    def __init__(
        self,
        workspace: Workspace,
        selection: Selection,
        pause_events: Callable[[], AbstractContextManager[object]],
    ) -> None:
        self._workspace, self._selection = workspace, selection
        self._pause_events = pause_events  # holds back the worker's events within a block
        self.busy = False
        self.run_pending: Callable[[Mask], None] = Mask.apply_pending

    def run(self, operation: MaskOperation) -> None:
        """Queue an operation on the mask in view; a long one runs in short slices while the window is idle."""
        if self._workspace.mask is not None:
            self._workspace.mask.enqueue(operation)
        if self._workspace.layers.mask is not None:
            self._workspace.layers.mask.apply_pending()

    def apply_pending(self) -> None:
        """Apply all pending operations before other code uses the mask; report operations that fail.

        Raises
        ------
        ProjectError
            If a stroke cannot be written to disk.
        """
        mask = self._workspace.mask
        while mask is not None and mask.has_pending:
            try:
                with self._exclusive():
                    self.run_pending(mask)
            except ProjectError as error:
                if mask.write_failed:
                    raise
                self._workspace.message.emit(str(error), "", "error")  # one operation failed; the others still run
            finally:
                if self._workspace.layers.mask is not None:
                    self._workspace.layers.mask.refresh_changed()

    def save_mask(self) -> None:
        """Apply and flush all edits of the mask so that other processes can read them."""
        mask = self._workspace.mask
        if mask is not None and not self._workspace.read_only:
            self._workspace.require_project().lock.check()
            mask.end_undo_group()
            self.apply_pending()
            mask.flush()

    def rasterize_outlines(self, label: int) -> None:
        """Fill the outlines on the contours layer into the mask as a class, and clear that layer."""
        self._workspace.require_mask()
        layers, record = self._workspace.layers, self._workspace.require_slide()
        assert layers.mask is not None
        with layers.mask.block_history():  # one undo step
            for points in layers.drawn_outlines():
                if len(points) > 2:
                    layers.mask.stroke(mask_polygon(record, points), label)
        layers.clear_outlines()

    def accept(self, scope: str = VIEW) -> None:
        """Accept the model's pixels in a scope; for the whole slide, create a version of the mask first."""
        self._workspace.require_mask()
        if scope == SLIDE:
            self.save_mask()
            create_version(self._workspace.require_project(), self._workspace.require_slide().id, ACCEPT_ALL)
        region = self._selection.resolve_scope(scope)
        self.run(accept(region.box, self._workspace.locked_classes, region.inside))

    def reject(self, scope: str = VIEW) -> None:
        """Remove the model's pixels in a scope."""
        self._workspace.require_mask()
        region = self._selection.resolve_scope(scope)
        self.run(reject(region.box, self._workspace.locked_classes, region.inside))

    def set_complete(self, complete: bool) -> None:
        """Mark the slide in view as complete or not: unlabelled pixels of a complete slide are Background.

        Completing a slide removes the model's pixels.
        """
        self._workspace.update_slide(complete=complete)
        mask = self._workspace.mask
        if complete and mask is not None:
            operation = reject(Region(0, 0, *mask.shape), self._workspace.locked_classes)
            self.run(replace(operation, can_be_cancelled=False))
        self._workspace.project_changed.emit()

    def clean(self, request: CleanupRequest, progress: Callable[[float], bool] | None = None) -> bool:
        """Clean up a class; return whether anything changed.

        `progress` receives the fraction done, 0 to 1; if it returns True, the clean-up is cancelled and undone.
        The worker's events wait until the clean-up ends.
        """
        mask, mpp = self._workspace.require_mask(), self._workspace.require_slide().mask_mpp
        region, cancelled = self._selection.resolve_scope(request.scope), False

        def report(fraction: float) -> bool:
            nonlocal cancelled
            cancelled = progress is not None and progress(fraction)
            return cancelled

        changed = region.box  # an upper bound until it is done
        self.apply_pending()
        try:
            with self._exclusive():
                options = cleanup_options(mask, region, self._workspace.locked_classes, report)
                changed = clean(mask, request, region, mpp, options)
                if cancelled and not changed.empty:
                    mask.undo()
        finally:
            self._workspace.refresh_mask(changed)
        return not (cancelled or changed.empty)

    def create_versions(self, why: str) -> None:
        """Create a version of every mask; if that fails, warn the user and continue."""
        try:
            create_versions(self._workspace.require_project(), why)
        except ProjectError as error:
            self._workspace.message.emit(str(error), "", "warning")

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Keep everything else off the mask within the block: the worker's events wait."""
        before, self.busy = self.busy, True
        try:
            with self._pause_events():
                yield
        finally:
            self.busy = before
