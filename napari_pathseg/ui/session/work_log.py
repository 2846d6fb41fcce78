"""The work of the person at the window: strokes, pixels that they changed, and time, by slide.

What was done is in the project's annotation log once the slide is left, a training begins or the project is closed.
"""

import time
from collections.abc import Callable, Mapping

from napari_pathseg.masks import Mask
from napari_pathseg.masks.mask import undo_depth
from napari_pathseg.projects.annotation_log import Work, log_work, read_rounds
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.workspace import Workspace

_LONGEST_PAUSE_S = 30.0  # between two changes of the mask; who does nothing for longer has gone for coffee


class WorkLog:
    """Measures the work on the slide in view.

    Parameters
    ----------
    workspace
        The open project and the slide in view.
    clock
        A function that returns a time in seconds.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self._workspace, self._clock = workspace, clock
        self._stored: dict[str, Work] = {}  # the open round, as it is in the log
        self._project: Project | None = None
        self._mask: Mask | None = None
        self._reset(None)
        workspace.project_changed.connect(self._on_project)
        workspace.slide_changed.connect(self._on_slide)
        workspace.mask_changed.connect(self._on_mask)

    def _reset(self, mask: Mask | None) -> None:
        """Count from here on what changes in a mask."""
        self._mask = mask
        self._slide = "" if mask is None or self._workspace.slide is None else self._workspace.slide.id
        self._depths: list[int] = []  # of the undo history after each stroke, so that an undo takes it back
        self._groups = 0 if mask is None else mask.stroke_queue.groups_added
        self._pixels = self._seen = 0 if mask is None else mask.edited.pixels
        self._seconds, self._last = 0.0, self._clock()

    def work(self) -> Mapping[str, Work]:
        """Return the work of the round so far, by slide."""
        found = dict(self._stored)
        if now := self._unsaved():
            found[self._slide] = found.get(self._slide, Work()) + now
        return found

    def work_since(self, model: str | None) -> Mapping[str, Work]:
        """Return the work, by slide, that a model has not learnt: later rounds made others, which are not current."""
        found, project = dict(self.work()), self._project
        closed = [] if project is None or model is None else read_rounds(project)[:-1]
        places = [number for number, one in enumerate(closed) if one.model == model]
        for later in closed[places[-1] + 1 :] if places else ():
            for slide, done in later.work.items():
                found[slide] = done + found.get(slide, Work())
        return found

    def save(self) -> None:
        """Write what was done since the last call to the log."""
        work, project = self._unsaved(), self._project
        if work and project is not None and not self._workspace.taken:
            log_work(project, self._slide, work)
            self._stored[self._slide] = self._stored.get(self._slide, Work()) + work
        self._reset(self._mask)

    def begin_round(self) -> None:
        """Begin a round: a training learns what was done until now."""
        self.save()
        self._stored = {}

    def read_again(self) -> None:
        """Read the open round from the log: a training did not learn it, or another program wrote there."""
        self._stored = {} if self._project is None else dict(read_rounds(self._project)[-1].work)

    def _unsaved(self) -> Work:
        mask, project = self._mask, self._project
        if mask is None or project is None or self._slide not in project.slides:
            return Work()
        pixels, mpp = mask.edited.pixels - self._pixels, project.slide(self._slide).mask_mpp
        strokes = sum(depth <= undo_depth(mask) for depth in self._depths)
        return Work(strokes, self._seconds, pixels, None if mpp is None else pixels * mpp**2 / 1e6)

    def _on_project(self) -> None:
        if self._workspace.project is not self._project:
            self.save()
            self._project = self._workspace.project
            self.read_again()
            self._reset(self._workspace.mask)

    def _on_slide(self) -> None:
        if self._workspace.mask is not self._mask:
            self.save()
            self._reset(self._workspace.mask)

    def _on_mask(self) -> None:
        mask = self._workspace.mask
        if mask is None or mask is not self._mask:
            return
        groups, pixels = mask.stroke_queue.groups_added, mask.edited.pixels
        if groups == self._groups and pixels == self._seen:  # a model has filled some of it
            return
        first = undo_depth(mask) - (groups - self._groups) + 1  # what lies above it was undone, or is new
        self._depths = [depth for depth in self._depths if groups == self._groups or depth < first]
        self._depths += range(first, undo_depth(mask) + 1)
        self._groups, self._seen = groups, pixels
        now = self._clock()
        pause, self._last = now - self._last, now
        self._seconds += pause if pause <= _LONGEST_PAUSE_S else 0.0
