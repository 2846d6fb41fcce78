"""The state that a session's parts share: the open project, the slide in view, its mask and its layers.

It is the leaf of this package: it imports none of the parts that edit, train or select.
"""

import os
from pathlib import Path
from typing import Any

from napari.components import ViewerModel
from psygnal import Signal

from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Opinion
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Counts, counts_from
from napari_pathseg.projects.model_weights import LIVE_MODEL, check_up_to_date, is_outdated
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.review_progress import TissueAreas
from napari_pathseg.projects.slide_record import SlideRecord, labels_in_numbers
from napari_pathseg.slides.slide import Slide
from napari_pathseg.ui.layers.slide_layers import SlideLayers

_PROGRAM = "the window"
_NO_SLIDE = "No slide is in view. Add one, or double-click one in the list."


def try_acquire(project: Project) -> str:
    """Acquire a project's lock for the window; return why that failed, or an empty string."""
    try:
        project.acquire_lock(_PROGRAM)
    except ProjectError as error:
        owner = project.lock.other_owner()
        return f"open in {owner}" if owner else str(error).rstrip(".")
    return ""


class Workspace:
    """A project in a viewer, and the slide in view.

    Signals: `project_changed` (another project, or its slides, classes or models changed),
    `slide_changed` (another slide is in view), `mask_changed` (its pixels changed), `message`
    (a sentence for the user, its details, and "info", "warning" or "error"), `editing_paused` (the
    slide in view can only be looked at until False is sent).

    Attributes
    ----------
    project, mask, slide_file
        The open project, the mask of the slide in view and its image file; None without one.
    taken
        Why the project cannot be changed; empty if it can.
    importing
        The slide whose mask a thread is writing; empty while no thread does.
    importing_why
        What the thread does there, as a sentence without its full stop.
    opinion
        What a model finds on the slide in view, if that is complete and was predicted; see :meth:`set_opinion`.
    """

    project_changed = Signal()
    slide_changed = Signal()
    mask_changed = Signal()
    message = Signal(str, str, str)
    editing_paused = Signal(bool)

    def __init__(self, viewer: ViewerModel) -> None:
        self.layers = SlideLayers(viewer)
        self.project: Project | None = None
        self.mask: Mask | None = None
        self.slide_file: Slide | None = None
        self.taken = self.importing = self.importing_why = ""
        self.opinion: Opinion | None = None
        self._tissue_areas: tuple[Project, TissueAreas] | None = None
        self._count_files: dict[tuple[Path, str], str] = {}  # the file of a slide's mask that holds the counts
        self._saved_counts: dict[str, tuple[tuple[int, ...], Counts]] = {}  # by mask: which file they are from

    @property
    def read_only(self) -> str:
        """Why the slide in view, or the project, cannot be changed now; empty if it can."""
        in_view = self.slide is not None and self.slide.id == self.importing
        return self.taken or (self.importing_why if in_view else "")

    @property
    def slide(self) -> SlideRecord | None:
        """The slide in view."""
        return self.layers.record

    @property
    def locked_classes(self) -> frozenset[int]:
        """The classes whose pixels no edit changes."""
        return frozenset() if self.layers.mask is None else self.layers.mask.locked_classes

    def require_project(self) -> Project:
        """Return the open project; raise a `ProjectError` if no project is open."""
        if self.project is None:
            raise ProjectError("No project is open. Make a new one or open one in the project menu.")
        return self.project

    def require_slide(self) -> SlideRecord:
        """Return the slide in view; raise a `ProjectError` if no slide is in view."""
        if self.slide is None:
            raise ProjectError(_NO_SLIDE)
        return self.slide

    def require_prediction(self, model: str) -> Prediction:
        """Return what a model, "" for none, has stored of the slide in view; raise a `ProjectError` otherwise.

        It says what is missing, or that the model has changed since.
        """
        project, record = self.require_project(), self.require_slide()
        if not model:
            raise ProjectError("No model yet. Train one, then predict the slide.")
        found = project.find_prediction(model, record.id)
        if found is None or found.shape != record.mask_shape:
            raise ProjectError(f"{model} has not predicted {record.id} yet. Press Predict slide.")
        check_up_to_date(project, model, found)
        return found

    def require_writable(self) -> None:
        """Raise a `ProjectError` that says who holds the project if it is read-only."""
        if self.taken:
            name = self.require_project().folder.name
            raise ProjectError(f"{name} is read-only here: {self.taken}. Close it there first.")
        if self.read_only:
            raise ProjectError(f"{self.importing_why}. Wait a moment.")

    def require_mask(self) -> Mask:
        """Return the mask of the slide in view; raise a `ProjectError` if it is missing or read-only."""
        self.require_writable()
        if self.mask is None:
            raise ProjectError(_NO_SLIDE)
        return self.mask

    def holds_lock(self) -> bool:
        """Return whether pending changes may be written: the project's lock is ours and was not taken over."""
        if self.project is None or self.taken:
            return False
        try:
            self.project.lock.check()
        except ProjectError:
            return False
        return True

    def open_mask(self, project: Project, slide_id: str) -> Mask:
        """Open a slide's mask for editing, or as it was last saved if the project is read-only."""
        reads_only = self.taken or slide_id == self.importing
        return project.open_mask_readonly(slide_id) if reads_only else project.open_mask(slide_id)

    def update_slide(self, **changes: Any) -> None:
        """Change fields of the record of the slide in view, in the project and here."""
        self.layers.record = self.require_project().update_slide(self.require_slide().id, **changes)

    def load_opinion(self) -> None:
        """Compare the slide in view, if it is complete, with the answer of the current model, or else of the newest."""
        project, record, found = self.require_project(), self.require_slide(), None
        try:
            if record.complete:
                models = [*project.preferred_models(), LIVE_MODEL]
                stored = ((model, project.find_prediction(model, record.id)) for model in models)
                usable = (
                    one
                    for model, one in stored
                    if one is not None and one.shape == record.mask_shape and not is_outdated(project, model, one)
                )
                found = next(usable, None)
        except ProjectError as error:  # the slide can still be outlined
            self.message.emit(str(error), "", "warning")
        self.set_opinion(None if found is None else Opinion(record.mask_shape, found))

    def set_opinion(self, opinion: Opinion | None) -> None:
        """Compare the slide in view with what a model finds on it."""
        self.opinion = opinion
        self.layers.show_comparison(opinion)
        self.mask_changed.emit()

    def refresh_mask(self, region: Region) -> None:
        """End the undo group after an edit that was not a stroke, and show the edited region."""
        if self.mask is not None:
            self.mask.end_undo_group()
        if self.layers.mask is not None:
            self.layers.mask.show(region)
        self.mask_changed.emit()

    def show_changed(self, region: Region) -> None:
        """Show a region that a model has filled; a stroke that is being painted goes on."""
        if self.layers.mask is not None:
            self.layers.mask.show(region)
        self.mask_changed.emit()

    def counts(self, slide_id: str) -> Counts:
        """Return a slide's pixels by (class, provenance), pending strokes included."""
        if self.mask is not None and self.slide is not None and self.slide.id == slide_id:
            return self.mask.committed_counts
        project = self.require_project()
        path = self._count_files.get((project.folder, slide_id))
        if path is None:  # to make a path takes longer than all the rest
            path = self._count_files[project.folder, slide_id] = str(project.mask_path(slide_id) / "zarr.json")
        try:
            stat = os.stat(path)
        except OSError:
            return project.counts(slide_id) if os.path.exists(os.path.dirname(path)) else counts_from({})
        saved = stat.st_ino, stat.st_mtime_ns, stat.st_size
        if self._saved_counts.get(path, (None,))[0] != saved:
            self._saved_counts[path] = saved, project.counts(slide_id)
        return self._saved_counts[path][1].copy()

    def tissue_pixels(self, record: SlideRecord) -> float | None:
        """Return a slide's tissue in mask pixels, if it has been detected."""
        project = self.require_project()
        if self._tissue_areas is None or self._tissue_areas[0] is not project:
            self._tissue_areas = project, TissueAreas(project)
        return self._tissue_areas[1].pixels(record)

    def labelled_pixels(self) -> dict[str, list[int]]:
        """Return the labels of each slide, see `slide_record.labels_in_numbers`."""
        project = self.require_project()
        highest = project.classes.highest
        return {name: labels_in_numbers(record, self.counts(name), highest) for name, record in project.slides.items()}


class ClassFlags:
    """The flags of the open project's classes."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    @property
    def locked(self) -> frozenset[int]:
        """The classes whose pixels no tool changes."""
        project = self._workspace.project
        if project is None:
            return frozenset()
        return project.state.locked_classes & project.classes.numbers

    @property
    def hidden(self) -> frozenset[int]:
        """The classes that are not shown."""
        layer = self._workspace.layers.mask
        return frozenset() if layer is None else layer.hidden_classes

    def set_locked(self, index: int, locked: bool) -> None:
        """Lock or unlock a class; the project remembers it.

        Raises
        ------
        ProjectError
            If the project is read-only.
        """
        self._workspace.require_writable()
        with self._workspace.require_project().edit_state() as state:
            state.locked_classes = _with_flag(self.locked, index, locked)
        self.sync_locked()

    def set_hidden(self, index: int, hidden: bool) -> None:
        """Hide a class or show it again."""
        layer = self._workspace.layers.mask
        if layer is not None and (index in layer.hidden_classes) != hidden:
            layer.set_hidden_classes(_with_flag(layer.hidden_classes, index, hidden))

    def sync_locked(self) -> None:
        """Pass the locked classes on to the mask layer of the slide in view."""
        if self._workspace.layers.mask is not None:
            self._workspace.layers.mask.locked_classes = self.locked


def _with_flag(flags: frozenset[int], index: int, on: bool) -> frozenset[int]:
    return flags | {index} if on else flags - {index}
