"""The session: the facade through which panels and tools work on a project and the slide in view.

What the user does is a method; what changed is a signal.  The state is in the `Workspace`, and each
part takes only the parts below it: selection, mask editor, complete boxes, training controller.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari.components import ViewerModel
from psygnal import SignalInstance

from napari_pathseg.classes import DEFAULT_CLASSES, ClassTable
from napari_pathseg.errors import ProjectError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.counts import Counts
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing.add_slides import AddOptions, add_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.splits import set_role
from napari_pathseg.ui.layers.slide_layers import SlideLayers
from napari_pathseg.ui.session.complete_boxes import CompleteBoxes
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.selection import Selection
from napari_pathseg.ui.session.training_controller import TrainingController, Worker
from napari_pathseg.ui.session.workspace import ClassFlags, Workspace, try_acquire


class Session:
    """A project in a viewer, with everything the user can do to it.

    Its state and signals are those of its `workspace`.
    """

    def __init__(self, viewer: ViewerModel, worker: Worker) -> None:
        self.worker = worker
        self.workspace = Workspace(viewer)
        self.class_flags = ClassFlags(self.workspace)
        self.selection = Selection(self.workspace)
        self.editor = MaskEditor(self.workspace, self.selection, worker.event.paused)
        self.boxes = CompleteBoxes(self.workspace, self.editor)
        self.training = TrainingController(self.workspace, self.editor, worker)

    # -- the project

    def new_project(self, folder: Path, classes: ClassTable = DEFAULT_CLASSES, mpp: float | None = 1.0) -> None:
        """Create a project and open it."""
        Project.create(folder, classes, mpp)
        self.open_project(folder)

    def open_project(self, folder: Path) -> None:
        """Close the open project, open another and show its first slide; see `read_only`."""
        project = Project.open(folder)
        if self.project is not None and self.project.folder == project.folder:
            self.close()
        reason = try_acquire(project)
        self.close()
        self.workspace.project, self.workspace.read_only = project, reason
        self.training.warm_up()
        self.training.restore_last_run()
        self.project_changed.emit()
        if project.slides:
            self.show_slide(next(iter(project.slides)))

    def close(self, *, clear: bool = True) -> None:
        """Save and close the project; `clear` is False when the viewer itself is closing.

        If the disk refuses to save, the user sees a message; the strokes are in the journal and return with the
        project.
        """
        try:
            self._close_slide()
        except ProjectError as error:
            self.message.emit(str(error), "", "error")
            self._discard_slide()
        if clear:
            self.layers.clear()
        if self.project is not None:
            self.training.detach()
            self.project.release_lock()
            self.workspace.project, self.workspace.read_only = None, ""
            self.slide_changed.emit()
            self.project_changed.emit()

    def add_slides(self, paths: Sequence[Path], options: AddOptions | None = None) -> list[SlideRecord]:
        """Add slides; show the first if no slide is in view."""
        self.save_mask()
        records = add_slides(self.require_project(), paths, options)
        self.project_changed.emit()
        if self.slide is None and records:
            self.show_slide(records[0].id)
        elif self.slide is not None and self.slide.id in {record.id for record in records}:
            self.show_slide(self.slide.id)
        return records

    @contextlib.contextmanager
    def mask_released(self, slide: str) -> Iterator[None]:
        """Close a slide's mask within the block so that other code can write it."""
        shown = self.slide is not None and self.slide.id == slide
        if shown:
            self._close_slide()
        try:
            yield
        finally:
            if shown:
                self.show_slide(slide)
        self.project_changed.emit()

    def change_classes(self, classes: ClassTable) -> None:
        """Rename, recolour or append classes."""
        self.require_project().change_classes(classes)
        if self.layers.mask is not None:
            self.layers.mask.set_classes(classes)
        self.project_changed.emit()

    def set_role(self, slide_id: str, role: str) -> None:
        """Set the role of a slide and of its patient's other slides."""
        set_role(self.require_project(), slide_id, role)
        self.project_changed.emit()

    def export(self, folder: Path, options: ExportOptions) -> list[Path]:
        """Write masks or predictions; see `projects.exporting.export`."""
        self.save_mask()
        return export(self.require_project(), folder, options)

    def poll_lock(self) -> None:
        """Acquire the project once its holder has left, and release it if another program took it over.

        The window calls this at intervals.
        """
        if self.project is None or self.editor.busy:
            return
        if self.read_only:
            self._retry_lock(self.project)
        elif self.project.lock.lost_to:
            self._release_lost_project(self.project)

    # -- the slide in view

    def show_slide(self, slide_id: str) -> None:
        """Save the slide in view and show another."""
        project = self.require_project()
        slide_file = project.open_slide(slide_id)
        try:
            self._close_slide()
        except BaseException:
            slide_file.close()
            raise
        mask = self.workspace.open_mask(project, slide_id)
        self.workspace.slide_file, self.workspace.mask = slide_file, mask
        self.layers.show(project.slide(slide_id), slide_file, mask, project.classes)
        assert self.layers.mask is not None
        assert self.layers.contours is not None
        self.layers.contours.editable = not self.read_only
        self.layers.mask.events.paint.connect(self._notify_painted)
        self.class_flags.sync_locked()
        self.slide_changed.emit()
        self.mask_changed.emit()

    def save_mask(self) -> None:
        """Apply and flush all edits of the mask so that other processes can read them."""
        self.editor.save_mask()

    # -- the workspace

    @property
    def project(self) -> Project | None:
        """The open project."""
        return self.workspace.project

    @property
    def slide(self) -> SlideRecord | None:
        """The slide in view."""
        return self.workspace.slide

    @property
    def mask(self) -> Mask | None:
        """The mask of the slide in view."""
        return self.workspace.mask

    @property
    def layers(self) -> SlideLayers:
        """The layers of the slide in view."""
        return self.workspace.layers

    @property
    def read_only(self) -> str:
        """Why the project cannot be changed; empty if it can."""
        return self.workspace.read_only

    @property
    def project_changed(self) -> SignalInstance:
        """Emitted when the project, or its slides, classes or models change."""
        return self.workspace.project_changed

    @property
    def slide_changed(self) -> SignalInstance:
        """Emitted when another slide comes into view."""
        return self.workspace.slide_changed

    @property
    def mask_changed(self) -> SignalInstance:
        """Emitted when pixels of the mask change."""
        return self.workspace.mask_changed

    @property
    def message(self) -> SignalInstance:
        """Emitted with a sentence for the user, its details, and "info", "warning" or "error"."""
        return self.workspace.message

    def require_project(self) -> Project:
        """Return the open project; raise a `ProjectError` if no project is open."""
        return self.workspace.require_project()

    def require_slide(self) -> SlideRecord:
        """Return the slide in view; raise a `ProjectError` if no slide is in view."""
        return self.workspace.require_slide()

    def counts(self, slide_id: str) -> Counts:
        """Return a slide's pixels by (class, provenance), pending strokes included."""
        return self.workspace.counts(slide_id)

    def refresh_mask(self, region: Region) -> None:
        """End the undo group after an edit that was not a stroke, and show the edited region."""
        self.workspace.refresh_mask(region)

    # -- inside

    def _notify_painted(self) -> None:
        self.mask_changed.emit()

    def _close_slide(self) -> None:
        """Save and close the slide in view; it stays open if the disk refuses."""
        if self.mask is not None and self.mask.writable and self.workspace.holds_lock():
            self.editor.apply_pending()
            self.mask.end_undo_group()
            self.mask.flush()
        self._discard_slide()

    def _discard_slide(self) -> None:
        """Close the slide in view without saving: its strokes are in the journal, which others may own by now."""
        if self.workspace.mask is not None:
            self.workspace.mask.abandon()
            self.workspace.mask = None
        if self.workspace.slide_file is not None:
            self.workspace.slide_file.close()
            self.workspace.slide_file = None

    def _retry_lock(self, project: Project) -> None:
        reason = try_acquire(project)
        if reason == self.read_only:
            return
        self.workspace.read_only = reason
        if not reason:
            self.training.restore_last_run()
            self._reload_slide(project)
            self.message.emit(f"{project.folder.name} can be changed now.", "", "info")
        self.project_changed.emit()

    def _release_lost_project(self, project: Project) -> None:
        self.training.detach()
        lost_to = project.lock.lost_to
        self.workspace.read_only = f"taken over by {lost_to}, as this window had given no sign for a while"
        self._reload_slide(project)
        project.release_lock()
        self.message.emit(f"{project.folder.name} was {self.read_only}.", "", "warning")
        self.project_changed.emit()

    def _reload_slide(self, project: Project) -> None:
        """Show the slide in view as the project now has it, or the first slide if that is gone."""
        slides, shown = list(project.slides), self.slide
        if slides:
            self.show_slide(shown.id if shown is not None and shown.id in slides else slides[0])
