"""What can be decided at a place that is offered: at unlabelled tissue, and where a model contradicts the labels.

Each decision is one edit of the mask in view.  How much of a place is settled tells whether an edit, an undo or a redo
has decided it.
"""

import numpy as np

from napari_pathseg.engine.bundle import find_bundle
from napari_pathseg.errors import PathsegError, ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.jobs.protocol import OfferedPlace
from napari_pathseg.masks import Provenance
from napari_pathseg.masks.disagreement import Question, asked_in, border_reach, keep_own_class, take_models_class
from napari_pathseg.projects.skipped_places import DISAGREEMENTS_FILE, FILE
from napari_pathseg.projects.working_grid import working_factor
from napari_pathseg.ui.session.live_controller import LiveController
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.workspace import Workspace

_NO_ANSWER = "No model has answered in this frame yet. Wait for Live or press Predict view, then accept again."
_NO_CHANGE = "Nothing could be set in this frame, so the place stays open. Unlock its class, or see the message."
_DAMAGED = (OSError, ValueError, RuntimeError, PathsegError)  # RuntimeError: a chunk that cannot be decompressed
_LEAST_ANSWERED = 0.5  # of what a person has not set in a frame


def box_on_mask(workspace: Workspace, place: OfferedPlace) -> Region:
    """Return the box of a place on the mask of its slide, which is in view."""
    record = workspace.require_slide()
    return place.region.coarser(record.downsample).clip(record.mask_shape)


class UnlabelledAnswers:
    """Decides on unlabelled tissue: accept what a model says, or make Background of it.

    Attributes
    ----------
    skipped_file
        Where the project remembers such places that were skipped.
    accepted, rejected
        What a decision is called.
    """

    skipped_file, accepted, rejected = FILE, "accepted", "none here"

    def __init__(self, workspace: Workspace, editor: MaskEditor, live: LiveController) -> None:
        self._workspace, self._editor, self._live = workspace, editor, live

    def settled(self, place: OfferedPlace) -> int:
        """Return how many pixels of a place a person has set."""
        mask = self._workspace.mask
        if mask is None:
            return 0
        return int((mask.preview(box_on_mask(self._workspace, place), 0)[1] > Provenance.MODEL).sum())

    def accept(self, place: OfferedPlace) -> None:
        """Accept what the model says, predicted or live; raise a ProjectError if none has answered."""
        box = box_on_mask(self._workspace, place)
        found = self._live.found(box)
        _, provenance = self._workspace.require_mask().read(box)
        unlabelled, predicted = (int((provenance == each).sum()) for each in (Provenance.NONE, Provenance.MODEL))
        answered = predicted + int(((provenance == Provenance.NONE) & (found > 0)).sum())
        if unlabelled and not answered:
            raise ProjectError(_NO_ANSWER)
        share = answered / max(1, unlabelled + predicted)
        if unlabelled and share < _LEAST_ANSWERED:
            raise ProjectError(
                f"A model has answered in {share:.0%} of this frame only. Wait for Live or press Predict view, then "
                "accept again."
            )
        self._editor.accept_found(box, found)

    def reject(self, place: OfferedPlace) -> None:
        """Make Background of what nobody has labelled."""
        self._editor.mark_background(box_on_mask(self._workspace, place))

    def outlined(self, place: OfferedPlace) -> BoolArray | None:
        """Return None: all of a place is asked about."""
        return None


class ContradictionAnswers:
    """Decides on labels that a model contradicts: take its class, or keep the own one as corrected."""

    skipped_file, accepted, rejected = DISAGREEMENTS_FILE, "taken", "kept"

    def __init__(self, workspace: Workspace, editor: MaskEditor) -> None:
        self._workspace, self._editor = workspace, editor

    def settled(self, place: OfferedPlace) -> int:
        """Return how many pixels of a place are not contradicted, or are decided."""
        box = box_on_mask(self._workspace, place)
        return box.height * box.width - int(self.outlined(place).sum())

    def accept(self, place: OfferedPlace) -> None:
        """Give the contradicted pixels the model's class."""
        self._editor.run(take_models_class(*self._asked(place), self._workspace.locked_classes))

    def reject(self, place: OfferedPlace) -> None:
        """Keep the class of the contradicted pixels, which are corrected then."""
        self._editor.run(keep_own_class(*self._asked(place), self._workspace.locked_classes))

    def _asked(self, place: OfferedPlace) -> tuple[Region, BoolArray, Question]:
        box = box_on_mask(self._workspace, place)
        if self._found(place, box) is None:
            raise ProjectError(
                f"{place.model} has no readable prediction of {place.slide} any more. Press Find places for others."
            )
        return box, self.outlined(place), Question(*place.pair)

    def outlined(self, place: OfferedPlace) -> BoolArray:
        """Return the contradicted pixels of a place, whose slide is in view; none if its prediction is gone."""
        project, record, mask = self._workspace.project, self._workspace.slide, self._workspace.mask
        assert project is not None
        assert record is not None
        box = box_on_mask(self._workspace, place)
        nothing = np.zeros((box.height, box.width), bool)
        found = self._found(place, box)
        if mask is None or found is None:
            return nothing
        reach = border_reach(working_factor(project.mpp, record))
        return asked_in(mask.preview(box, 0), found, record.complete_in(box), Question(*place.pair), reach)

    def _found(self, place: OfferedPlace, box: Region) -> UInt8Array | None:
        project = self._workspace.require_project()
        try:
            prediction = project.find_prediction(find_bundle(project, place.model).name, place.slide)
            return None if prediction is None else prediction.read(box)
        except _DAMAGED:  # the model was deleted, or the prediction is damaged
            return None


def require_change(before: int, after: int, box: Region) -> None:
    """Raise a ProjectError if an edit has settled nothing of a box in which something was open."""
    if before == after < box.height * box.width:
        raise ProjectError(_NO_CHANGE)
