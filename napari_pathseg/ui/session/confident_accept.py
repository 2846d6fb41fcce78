"""Accepts what a model is sure of, and says before that how much it is and how often such pixels were right.

Both are counted in short slices while the window is idle; another threshold or class needs no new count.
"""

import math
import time
from collections.abc import Iterator

import numpy as np
from psygnal import Signal

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.engine.evaluation.reliability import Reliability, count_reliability
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import layout
from napari_pathseg.masks.confidence import Histogram, histogram, probability_of, stored_threshold, waiting_classes
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.shapes import EditRegion
from napari_pathseg.masks.zarr_store import CHUNK
from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.formatting import format_area, plural
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.selection import SELECTION, VIEW, Selection
from napari_pathseg.ui.session.workspace import Workspace

_SLICE_S = 0.02  # of counting at once
_DAMAGED = (OSError, ValueError, RuntimeError, PathsegError)  # RuntimeError: a chunk that cannot be decompressed
_UNKNOWN = "How often such pixels are right is not known: no labelled held-out slide has such a prediction."


class ConfidentAccept:
    """Accepts the model's pixels from a probability on.

    Signals: `changed` (what it says), `work_wanted` (:meth:`advance` is to be called until it returns False).

    Attributes
    ----------
    threshold, label, scope
        The least probability, 0 to 1; the class, None for any; and one of `selection.EDIT_SCOPES`.
    """

    changed = Signal()
    work_wanted = Signal()

    def __init__(self, workspace: Workspace, editor: MaskEditor, selection: Selection) -> None:
        self._workspace, self._editor, self._selection = workspace, editor, selection
        self.threshold, self.scope = 0.95, VIEW
        self.label: int | None = None
        self._model, self._watched, self._problem = "", False, ""
        self._counts: Histogram | None = None  # of the model's pixels in the scope; None until all are counted
        self._reliability: Reliability | None = None
        self._counting: Iterator[None] = iter(())
        self._measuring: Iterator[None] = iter(())
        workspace.mask_changed.connect(self.recount)
        workspace.slide_changed.connect(self.recount)
        workspace.project_changed.connect(self.measure_again)
        selection.changed.connect(self._on_selection)

    # -- what the window shows

    @property
    def pixels(self) -> int | None:
        """How many pixels would be accepted; None until they are counted."""
        if self._counts is None:
            return None
        classes = slice(None) if self.label is None else self.label
        return int(self._counts[classes, stored_threshold(self.threshold) :].sum())

    @property
    def right(self) -> float | None:
        """The share of such pixels that were right on held-out slides, 0 to 1; None if that is not known."""
        return None if self._reliability is None else self._reliability.share_right(self.threshold, self.label)

    @property
    def can_accept(self) -> bool:
        """Whether there is something to accept."""
        return bool(self.pixels) and not self._workspace.read_only

    @property
    def sentences(self) -> tuple[str, str]:
        """How much it would take, or why nothing; and how often such pixels were right."""
        record = self._workspace.slide
        if self._problem or record is None:
            return self._problem, ""
        if self._counts is None:
            return "Counting…", ""
        taken = f"Nothing that {'differs' if record.complete else 'waits'} is so sure."
        if self.pixels:
            replaces = " from your outline, where the model differs" if record.complete else ""
            taken = f"Takes {format_area(self.pixels, record.mask_mpp)}{replaces}."
        if self.pixels and record.role in (roles.VAL, roles.TEST):
            taken += " This slide is held out: scores on it get too good."
        if self._reliability is None:
            return taken, "Counting…"
        if self.right is None:
            return taken, _UNKNOWN
        slides = plural(len(self._reliability.slides), "held-out slide")
        fewer = ", fewer of those that contradict a person" if record.complete else ""
        return taken, f"{_percent(self.right)} of such pixels were right on {slides}{fewer}."

    # -- actions

    def choose(self, threshold: float, label: int | None, scope: str) -> None:
        """Choose the least probability, the class, and where."""
        other = scope != self.scope
        self.threshold, self.label, self.scope = threshold, label, scope
        if other:
            self.recount()
        self.changed.emit()

    def set_model(self, model: str) -> None:
        """Use the probabilities of another model."""
        if model != self._model:
            self._model = model
            self.measure_again()

    def set_watched(self, watched: bool) -> None:
        """Note whether the user sees it; nothing is counted else."""
        self._watched = watched
        self.measure_again()

    def follow_view(self) -> None:
        """Count what is on screen now, if that is what would be accepted."""
        if self.scope == VIEW:
            self.recount()

    def accept(self) -> None:
        """Accept the model's pixels that are so sure, in one undo step; those of locked classes stay.

        On a complete slide these are the ones at which the model differs and nobody has decided.

        Raises
        ------
        PathsegError
            If nothing is selected, no prediction is stored, or the mask cannot be changed.
        """
        prediction, wanted = self._workspace.require_prediction(self._model), (self.threshold, self.label)
        self._editor.accept_confident(self.scope, prediction, wanted)

    # -- counting

    def recount(self) -> None:
        """Count the model's pixels again, as the mask or the scope has changed."""
        self._counts, self._counting, self._problem = None, iter(()), ""
        if not self._watched or self._workspace.mask is None:
            return
        try:
            prediction = self._workspace.require_prediction(self._model)
            self._counting = self._count(prediction, self._selection.resolve_scope(self.scope))
        except PathsegError as error:
            self._problem = str(error)
        self.changed.emit()
        self.work_wanted.emit()

    def measure_again(self) -> None:
        """Count again how often the model is right, and what would be accepted."""
        self._reliability, self._measuring = None, iter(())
        if self._watched and self._model and self._workspace.project is not None:
            self._measuring = self._measure(self._workspace.project)
        self.recount()

    def advance(self) -> bool:
        """Count for some milliseconds; return whether more is left."""
        until = time.perf_counter() + _SLICE_S
        for work in (self._counting, self._measuring):
            for _ in work:
                if time.perf_counter() > until:
                    return True
        return False

    def _count(self, prediction: Prediction, region: EditRegion) -> Iterator[None]:
        mask, locked = self._workspace.require_mask(), self._workspace.locked_classes
        complete = self._workspace.require_slide().complete
        counts = np.zeros((256, 256), np.int64)
        try:
            for box in layout(region.box.clip(mask.shape), CHUNK):
                pixels = mask.preview(box, 0)
                labels = waiting_classes(pixels, prediction, box, locked, complete=complete)
                if region.inside is not None and labels.any():
                    labels = np.where(region.inside(box), labels, np.uint8(UNLABELLED))
                if (chosen := labels > UNLABELLED).any():
                    counts += histogram(labels, probability_of(labels, prediction, box), chosen)
                yield
        except _DAMAGED as error:
            self._problem = f"The prediction of {self._model} cannot be read ({error}). Predict the slide again."
        else:
            self._counts = counts
        self.changed.emit()

    def _measure(self, project: Project) -> Iterator[None]:
        measured = Reliability()
        try:
            for counted in count_reliability(project, self._model):
                yield
                measured = counted
        except _DAMAGED:  # a model or a prediction that is damaged: it is not known
            measured = Reliability()
        self._reliability = measured
        self.changed.emit()

    def _on_selection(self) -> None:
        if self.scope == SELECTION:
            self.recount()


def _percent(share: float) -> str:
    """Return a share in percent, rounded down, so that it promises no more than was seen.

    >>> _percent(0.97346), _percent(1.0)
    ('97.3 %', '100 %')
    """
    return "100 %" if share == 1 else f"{math.floor(1000 * share) / 10:.1f} %"
