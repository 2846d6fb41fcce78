"""What undo takes back: edits of the mask, decisions on places and changes of models, the most recent one first.

The history of a mask holds its edits.  Other steps are recorded here, each with how deep the history of the mask in
view was: whatever lies above that in the history is more recent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from napari_pathseg.masks.mask import undo_depth
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.workspace import Workspace

_MOST_STEPS = 50


@dataclass(eq=False, kw_only=True)
class UndoStep:
    """Something that was done, other than an edit of the mask alone.

    Attributes
    ----------
    what
        What was done, as in "m003 was discarded".
    undo, redo
        What takes it back, and what does it again; None if the mask's redo does that.
    can_undo, can_redo
        Whether that is possible now: nothing else has changed what it would change.
    """

    what: str
    undo: Callable[[], object]
    can_undo: Callable[[], bool]
    redo: Callable[[], object] | None = None
    can_redo: Callable[[], bool] = lambda: False
    depths: dict[str, int] = field(default_factory=dict)  # of a mask's history, by slide, when it was done or undone


class UndoOrder:
    """Undoes and redoes the steps on a project, and says in the status bar what that was."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._done: list[UndoStep] = []
        self._undone: list[UndoStep] = []
        self._project: Project | None = None
        workspace.slide_changed.connect(self._note_depth)
        workspace.project_changed.connect(self._on_project)

    def record(self, step: UndoStep) -> None:
        """Note a step that was done just now."""
        self._undone.clear()
        self._push(self._done, step)

    def undo(self) -> None:
        """Take back what was done last: a recorded step, or else the last edit of the mask in view.

        Raises
        ------
        PathsegError
            If the project cannot be changed.
        """
        step = next((one for one in reversed(self._done) if one.can_undo() and self._height_over(one) <= 0), None)
        if step is None:
            self._replay_mask(redo=False)
            return
        step.undo()
        self._done.remove(step)
        if step.redo is not None:
            self._push(self._undone, step)
        self._say(f"Undone: {step.what}.")

    def redo(self) -> None:
        """Do again what was undone last; raises as :meth:`undo` does."""
        step = next((one for one in reversed(self._undone) if one.can_redo() and self._height_over(one) == 0), None)
        if step is None or step.redo is None:
            self._replay_mask(redo=True)
            return
        step.redo()
        self._undone.remove(step)
        self._push(self._done, step)
        self._say(f"Redone: {step.what}.")

    def _push(self, steps: list[UndoStep], step: UndoStep) -> None:
        step.depths = {}
        steps.append(step)
        del steps[:-_MOST_STEPS]
        self._note_depth()

    def _replay_mask(self, *, redo: bool) -> None:
        """Undo or redo an edit of the mask in view."""
        layer, record = self._workspace.layers.mask, self._workspace.slide
        if layer is None or record is None:
            return
        before = undo_depth(layer.mask)
        (layer.redo if redo else layer.undo)()
        if not redo:
            what = f"Undone: the last edit of {record.id}." if before else f"There is nothing to undo on {record.id}."
            self._say(what)

    def _say(self, text: str) -> None:
        self._workspace.layers.viewer.status = text

    def _height_over(self, step: UndoStep) -> int:
        """Return how many edits of the mask in view were made since a step; negative if others were undone."""
        mask, record = self._workspace.mask, self._workspace.slide
        if mask is None or record is None:
            return 0
        depth = undo_depth(mask)
        return depth - step.depths.setdefault(record.id, depth)

    def _note_depth(self) -> None:
        """Note where in the history of the mask in view the steps belong that were done before it came into view."""
        mask, record = self._workspace.mask, self._workspace.slide
        if mask is not None and record is not None:
            for step in (*self._done, *self._undone):
                step.depths.setdefault(record.id, undo_depth(mask))

    def _on_project(self) -> None:
        if self._workspace.project is not self._project:
            self._project = self._workspace.project
            self._done.clear()
            self._undone.clear()
