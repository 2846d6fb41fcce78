"""Edits of the mask in view other than brush strokes: outlines, accept and reject, clean-up.

Each is one undo step.
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Opinion, adopt, keep
from napari_pathseg.masks.confidence import accept_confident, sure_opinion
from napari_pathseg.masks.edits import accept, accept_found, mark_background, reject
from napari_pathseg.masks.operations import MaskOperation, watched
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.versions import ACCEPT_ALL, create_version, create_versions
from napari_pathseg.ui.session.background import Steps, Wait
from napari_pathseg.ui.session.cleanup import CleanupRequest, cleanup, cleanup_options
from napari_pathseg.ui.session.selection import SLIDE, VIEW, Selection, mask_polygon
from napari_pathseg.ui.session.workspace import Workspace

_SLICE_S = 0.05  # between two looks at the clock
_SOON_S = 1.0  # what a person waits for without a message
_FOREVER_S = 1e6


class MaskEditor:
    """Edits the mask in view; long edits are operations that run in short slices while the window is idle."""

    def __init__(self, workspace: Workspace, selection: Selection) -> None:
        self._workspace, self._selection = workspace, selection
        workspace.mask_changed.connect(self._report_undone_import)

    @property
    def running(self) -> str:
        """The operation that runs and how much of it is done, as "Accepting (45 %)"; empty if none does."""
        mask = self._workspace.mask
        return "" if mask is None or not self._operation else f"{self._operation} ({mask.operations.fraction_done:.0%})"

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
        self._apply_pending(time.perf_counter() + _FOREVER_S)

    def finish_soon(self, then: str) -> None:
        """Apply all pending operations if that is a matter of a second.

        Raises
        ------
        ProjectError
            If it takes longer: says what is going on, and to do `then` what the user wanted; or if a stroke cannot be
            written to disk.
        """
        self._apply_pending(time.perf_counter() + _SOON_S)
        self._require_none_running(then)

    def require_no_operation(self, then: str) -> None:
        """Raise a `ProjectError` that says to do `then` afterwards if an operation runs for more than a second."""
        self.finishes_soon()
        self._require_none_running(then)

    def finishes_soon(self) -> bool:
        """Apply all pending operations if that is a matter of a second; return whether none is left.

        A stroke that the disk refuses stays pending; saving or closing the mask raises the error.
        """
        with contextlib.suppress(ProjectError):
            self._apply_pending(time.perf_counter() + _SOON_S)
        return not self.running

    def until_applied(self) -> Steps[bool]:
        """Return the flow that waits, while the window goes on, until no operation on the mask in view is left.

        Its result is False if the user stopped it before.
        """
        if self.finishes_soon():
            return True
        over: bool = yield Wait(self._is_applied, self.apply_pending, f"Waiting for the end of: {self._operation}")
        return over

    def _require_none_running(self, then: str) -> None:
        if self.running:
            raise ProjectError(f"{self.running} is going on. Wait or cancel it, {then}.")

    @property
    def _operation(self) -> str:
        mask = self._workspace.mask
        return "" if mask is None or mask.operations.running is None else mask.operations.running.name

    def _is_applied(self) -> bool:
        mask = self._workspace.mask
        return mask is None or not mask.has_pending or mask.write_failed

    def _apply_pending(self, until: float) -> None:
        mask, layer = self._workspace.mask, self._workspace.layers.mask
        try:
            while mask is not None and mask.has_pending and time.perf_counter() < until:
                self._apply_slice(mask)
        finally:
            if layer is not None:
                layer.refresh_changed()

    def _apply_slice(self, mask: Mask) -> None:
        try:
            mask.process_pending(_SLICE_S)
        except ProjectError as error:
            if mask.write_failed:
                raise
            self._workspace.message.emit(str(error), "", "error")  # one operation failed; the others still run

    def save_mask(self) -> None:
        """Apply and flush all edits of the mask so that other processes can read them."""
        mask = self._workspace.mask
        if mask is not None and not self._workspace.read_only:
            self._workspace.require_project().lock.check()
            mask.end_undo_group()
            self.finish_soon("then try again")
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
        """Accept what the model found in a scope; for the whole slide, create a version of the mask first.

        On a complete slide the model's outline replaces the person's where they differ.
        """
        self._workspace.require_mask()
        opinion = self._opinion()
        if scope == SLIDE:
            self.save_mask()
            create_version(self._workspace.require_project(), self._workspace.require_slide().id, ACCEPT_ALL)
        region, locked = self._selection.resolve_scope(scope), self._workspace.locked_classes
        if opinion is None:
            self.run(accept(region.box, locked, region.inside))
        else:
            self.run(adopt(region.box, opinion, locked, region.inside))

    def accept_confident(self, scope: str, prediction: Prediction, wanted: tuple[float, int | None]) -> None:
        """Accept the model's pixels of a scope by their stored probability, see `masks.confidence.accept_confident`.

        For the whole slide a version of the mask is created first.  On a complete slide the model's class replaces the
        person's where they differ and the model is so sure.
        """
        self._workspace.require_mask()
        region, locked = self._selection.resolve_scope(scope), self._workspace.locked_classes
        if scope == SLIDE:
            self.save_mask()
            create_version(self._workspace.require_project(), self._workspace.require_slide().id, ACCEPT_ALL)
        if self._workspace.require_slide().complete:
            self.run(adopt(region.box, sure_opinion(prediction, wanted), locked, region.inside))
        else:
            self.run(accept_confident(region.box, prediction, wanted, locked, region.inside))

    def reject(self, scope: str = VIEW) -> None:
        """Drop what the model found in a scope; on a complete slide the person's outline is kept where they differ."""
        self._workspace.require_mask()
        opinion = self._opinion()
        region, locked = self._selection.resolve_scope(scope), self._workspace.locked_classes
        if opinion is None:
            self.run(reject(region.box, locked, region.inside))
        else:
            self.run(keep(region.box, opinion, locked, region.inside))

    def accept_found(self, region: Region, found: UInt8Array) -> None:
        """Accept the model's pixels in a box and, where it has no label, the classes `found` there."""
        self._workspace.require_mask()
        complete_in = self._workspace.require_slide().complete_in
        self.run(accept_found(region, found, complete_in, self._workspace.locked_classes))

    def mark_background(self, region: Region) -> None:
        """Make Background of what nobody has labelled or accepted in a box."""
        self._workspace.require_mask()
        self.run(mark_background(region, self._workspace.locked_classes))

    def _opinion(self) -> Opinion | None:
        """Return what the model found on a complete slide; None on others, whose masks hold it.

        Raises
        ------
        ProjectError
            If no model has predicted a complete slide.
        """
        record = self._workspace.require_slide()
        if record.complete and self._workspace.opinion is None:
            raise ProjectError(f"No model has predicted {record.id} yet. Press Predict view, then accept or reject.")
        return self._workspace.opinion if record.complete else None

    def set_complete(self, complete: bool) -> None:
        """Mark the slide in view as complete or not: unlabelled pixels of a complete slide are Background.

        Completing a slide takes the model's pixels out of the mask; they are compared with it from then on.
        """
        self._workspace.update_slide(complete=complete)
        mask = self._workspace.mask
        if complete and mask is not None:
            operation = reject(Region(0, 0, *mask.shape), self._workspace.locked_classes)
            self.run(replace(operation, can_be_cancelled=False))
        self._workspace.load_opinion()
        self._workspace.project_changed.emit()

    def clean(self, request: CleanupRequest, done: Callable[[bool], None] = lambda _: None) -> None:
        """Clean up a class; `done` is called at the end with whether the mask was changed."""
        mask, mpp = self._workspace.require_mask(), self._workspace.require_slide().mask_mpp
        region = self._selection.resolve_scope(request.scope)
        options = cleanup_options(mask, region, self._workspace.locked_classes)
        self.run(watched(cleanup(request, region, mpp, options), done))

    def _report_undone_import(self) -> None:
        """Say that it was an import that was undone: nothing was drawn by hand that one could miss."""
        mask, record = self._workspace.mask, self._workspace.slide
        if mask is None or record is None or not mask.undone_imports:
            return
        mask.undone_imports = 0
        rest = f" {record.id} is still complete: all that is left is Background." if record.complete else ""
        self._workspace.message.emit(f"Undone: imported outlines. Redo brings them back.{rest}", "", "info")

    def create_versions(self, why: str) -> None:
        """Create a version of every mask; if that fails, warn the user and continue."""
        try:
            create_versions(self._workspace.require_project(), why)
        except ProjectError as error:
            self._workspace.message.emit(str(error), "", "warning")
