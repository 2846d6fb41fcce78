"""Corrections of held-out slides and parts: noticed while they are made, since no training learns from them."""

import math

import numpy as np

from napari_pathseg.engine.bundle import Bundle, lineage, load_bundles
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region, on_grid
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.tiled_edit import with_margin
from napari_pathseg.projects import roles, splits
from napari_pathseg.projects.checks.trainability import with_assigned_roles
from napari_pathseg.projects.held_out_parts import MARGIN, WEAKER, join_names
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.working_grid import working_factor
from napari_pathseg.ui.session.workspace import Workspace

_MAX_READ = 500_000  # pixels of the mask that are read after a change


class HeldOutCorrections:
    """Notices that the slide in view, or a part of it, is held out and was changed since it came into view."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._before: list[int] = []  # confirmed pixels by class when the slide in view was shown
        self._before_in_parts: list[int] = []
        self._known: tuple[Region, ...] = ()  # the parts of the slide in view, each with its margin
        self._dismissed = False
        self._bundle: tuple[object, Bundle | None] = None, None  # the project's models, and the one with parts
        workspace.slide_changed.connect(self._remember)
        workspace.project_changed.connect(self._remember_parts)

    @property
    def parts(self) -> tuple[Region, ...]:
        """The parts of the slide in view that the next training holds out, level-0 boxes; empty if slides are."""
        bundle, record = self._part_bundle(), self._workspace.slide
        if bundle is None or record is None or held_out_slides(self._workspace):
            return ()
        return bundle.parts.get(record.id, ())

    @property
    def margins(self) -> tuple[Region, ...]:
        """The boxes that no training learns from, :attr:`parts` with the margins around them."""
        bundle, record = self._part_bundle(), self._workspace.slide
        if bundle is None or record is None:
            return ()
        factor = working_factor(self._workspace.require_project().mpp, record) * record.downsample
        wide = math.ceil(MARGIN * factor)
        return tuple(with_margin(part, wide).clip(record.shape) for part in self.parts)

    @property
    def changed_part(self) -> str:
        """The slide in view if a part of it that is held out was changed here; else empty."""
        record = self._workspace.slide
        if record is None or self._dismissed or self._workspace.read_only or not self._known:
            return ""
        if self._labels() == self._before or self._labels_in_parts() == self._before_in_parts:
            return ""
        return record.id

    def dismiss(self) -> None:
        """Say nothing more of changed parts until another slide comes into view."""
        self._dismissed = True
        self._workspace.mask_changed.emit()

    @property
    def slide(self) -> str:
        """The slide in view if it was changed here but is held out from the next training; else empty."""
        project, record = self._workspace.project, self._workspace.slide
        if project is None or record is None or self._workspace.read_only or self._labels() == self._before:
            return ""
        return record.id if record.id in held_out_slides(self._workspace) else ""

    def learn_from(self, slide_id: str) -> None:
        """Let the next training learn from a held-out slide, hold out another instead, and say which."""
        project = self._workspace.require_project()
        self._workspace.require_writable()
        learnt = _learnt(project)
        instead = splits.learn_from(project, slide_id, learnt)
        self._workspace.project_changed.emit()
        others = any(record.role == roles.VAL for record in project.slides.values())
        held_out = "" if others else f"; parts of the slides are held out, {WEAKER}"
        if instead:
            held_out = f"; {join_names(instead)} {'is' if len(instead) == 1 else 'are'} held out instead"
        text = f"The next training learns from {slide_id}{held_out}."
        known = [slide for slide in instead if slide in learnt]
        if known:
            current = project.current_model
            text += f" {current} has learnt from {join_names(known)}: train from scratch for a score to rely on."
        self._workspace.message.emit(text, "", "info")

    def _labels(self) -> list[int]:
        record = self._workspace.slide
        if record is None or self._workspace.project is None:  # the viewer closes: its layers are left as they are
            return []
        counts: list[int] = self._workspace.counts(record.id)[1:, Provenance.ACCEPTED :].sum(axis=1).tolist()
        return counts

    def _labels_in_parts(self) -> list[int]:
        """Return the confirmed pixels by class in the parts and their margins, on a level that is quick to read."""
        mask, record = self._workspace.mask, self._workspace.slide
        if mask is None or record is None:
            return []
        boxes = [on_grid(box, record.downsample).clip(record.mask_shape) for box in self._known]
        level = 0
        while level < len(mask.shapes) - 1 and sum(b.height * b.width for b in boxes) > _MAX_READ * 4**level:
            level += 1
        found = np.zeros(256, np.int64)
        for box in boxes:
            labels, provenance = mask.preview(box.coarser(2**level).clip(mask.shapes[level]), level)
            found += np.bincount(labels[provenance >= Provenance.ACCEPTED], minlength=256)
        counts: list[int] = found.tolist()
        return counts

    def _part_bundle(self) -> Bundle | None:
        """Return the newest model that was scored on parts, which the next training holds out again."""
        project = self._workspace.project
        models = None if project is None else (project.folder, *project.model_ids())
        if project is None:
            self._bundle = None, None
        elif self._bundle[0] != models:
            try:
                found = next((bundle for bundle in reversed(load_bundles(project)) if bundle.held_out), None)
            except PathsegError:  # reported where the model is used
                found = None
            self._bundle = models, found
        return self._bundle[1]

    def _remember(self) -> None:
        self._before, self._dismissed = self._labels(), False
        self._known = ()
        self._remember_parts()

    def _remember_parts(self) -> None:
        """Compare with what lies in the parts now, if these are other ones."""
        margins = self.margins if self._workspace.mask is not None else ()
        if margins != self._known:
            self._known = margins
            self._before_in_parts = self._labels_in_parts()


def held_out_slides(workspace: Workspace) -> set[str]:
    """Return the slides that the next training holds out, with roles assigned as it would assign them."""
    project = workspace.require_project()
    records = with_assigned_roles(project, {name: workspace.counts(name) for name in project.slides})
    return {record.id for record in records if record.role == roles.VAL}


def _learnt(project: Project) -> set[str]:
    """Return the slides that the current model, and those that it was trained from, learnt from."""
    try:
        return {slide for bundle in lineage(project, project.current_model) for slide in bundle.train}
    except PathsegError:  # reported where the model is used
        return set()
