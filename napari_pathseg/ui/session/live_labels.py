"""Keeps the worker's copy of the labels up to date: boxes of the mask in view, and which other masks to read again.

The worker reads the masks of a project once; from then on it is sent each box in which pixels of a person change, at
most some times a second while strokes follow one another.
"""

import contextlib
import time
from typing import Any

from napari_pathseg.engine.live.packed import pack
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import EMPTY_REGION
from napari_pathseg.jobs.protocol import UpdateLive
from napari_pathseg.masks import Mask
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.worker import Worker
from napari_pathseg.ui.session.workspace import Workspace

_APART_S = 0.4  # between what is sent of strokes that follow one another: each costs a fit, and drawing what it finds


class LiveLabels:
    """What the worker knows of the labels of a project.

    Attributes
    ----------
    behind
        Whether slides other than the one in view may have changed.
    """

    def __init__(self, workspace: Workspace, worker: Worker) -> None:
        self._workspace, self._worker = workspace, worker
        self._mask: Mask | None = None  # in view, as far as the worker knows
        self._slide = ""  # its slide
        self._known: dict[str, Any] = {}  # by slide: the roles and labels that the worker knows
        self._classes: Any = None
        self.behind = False
        self._sent = 0.0  # when a box was sent last

    def begin(self, project: Project) -> None:
        """Take the worker to know what is saved: it is about to read all masks."""
        self.behind = False
        self._mask, self._classes = self._workspace.mask, _classes(project)
        self._slide = "" if self._workspace.slide is None else self._workspace.slide.id
        if self._mask is not None:
            self._mask.edited.pop()
        self._known = {name: self._facts(project, name) for name in project.slides}

    def end(self) -> None:
        """Forget what the worker knows."""
        self._known = {}

    @property
    def wait(self) -> float:
        """In how many seconds the next stroke is sent, 0 for at once."""
        return max(0.0, self._sent + _APART_S - time.monotonic())

    def send(self) -> float:
        """Send what has changed; return in how many seconds to call this again, 0 if only after the next change."""
        wait = self._send_edits()
        if self.behind:
            self._send_differences()
        return wait

    def save_mask(self) -> bool:
        """Write the mask in view, so that the worker can read it; return False if that must wait."""
        mask = self._workspace.mask
        if mask is None or not mask.writable:
            return True
        if not _is_quiet(mask) or not self._workspace.holds_lock():
            return False
        with contextlib.suppress(ProjectError):  # the disk is full, which is said where the user saves
            mask.flush()
        return True

    def _send_edits(self) -> float:
        """Send the pixels of the mask in view that a person has changed, once the stroke in the hand has ended."""
        mask, record = self._workspace.mask, self._workspace.slide
        if mask is None or record is None or mask is not self._mask or not mask.edited:
            return 0.0
        if mask.stroke_queue.has_open_group or mask.operations.running is not None:
            return 0.0
        if self.wait:
            return self.wait
        if mask.edited.too_many and not _is_quiet(mask):
            return 0.0
        boxes = mask.edited.pop()
        if boxes is None:
            self.save_mask()
            self._worker.send(UpdateLive(record.id, EMPTY_REGION))
        for box in boxes or ():
            self._worker.send(UpdateLive(record.id, box, pack(mask.preview(box, 0))))
        self._sent = time.monotonic()
        self._known[record.id] = self._facts(self._workspace.require_project(), record.id)
        return 0.0

    def _send_differences(self) -> None:
        """Let it read again the masks of slides whose role, completeness or labels changed in another way."""
        project, mask, record = self._workspace.require_project(), self._workspace.mask, self._workspace.slide
        same = mask is self._mask
        self.behind = mask is not None and (not _is_quiet(mask) or (same and bool(mask.edited)))
        if self.behind:
            return
        now = {name: self._facts(project, name) for name in project.slides}
        changed = {name for name in now.keys() | self._known.keys() if now.get(name) != self._known.get(name)}
        if self._classes != _classes(project):
            changed |= now.keys()
        if not same and self._mask is not None and self._mask.edited and self._slide in now:
            changed.add(self._slide)  # it was left before the last stroke was sent
        if record is not None and mask is not None and not same:
            if record.id == self._slide:  # it was closed for others to write it
                changed.add(record.id)
            mask.edited.pop()  # what a killed program left; it was saved
        self._known, self._classes, self._mask = now, _classes(project), mask
        self._slide = "" if record is None else record.id
        if self._slide in changed:
            self.save_mask()
        for name in sorted(changed):
            self._worker.send(UpdateLive(name, EMPTY_REGION))

    def _facts(self, project: Project, slide: str) -> Any:
        """Return what a fit depends on: role, completeness, and how many pixels of a person each class has."""
        record, counts = project.slide(slide), self._workspace.counts(slide)
        return record.role, record.complete, record.boxes, record.downsample, counts[:, Provenance.ACCEPTED :].tobytes()


def _is_quiet(mask: Mask) -> bool:
    """Return whether no stroke is being drawn or waits to be applied, and no operation runs."""
    return not mask.has_pending and not mask.stroke_queue.has_open_group


def _classes(project: Project) -> Any:
    return [(spec.index, spec.name) for spec in project.classes]
