"""The session: the facade through which panels and tools work on a project and the slide in view.

User actions are methods, changes are signals.  The state is in the `Workspace`; above it are selection, mask
editor, complete boxes and training controller, each of which depends only on those before it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari.components import ViewerModel
from psygnal import SignalInstance

from napari_pathseg.classes import DEFAULT_CLASSES, ClassTable
from napari_pathseg.errors import ProjectError, UnsupportedSlideError
from napari_pathseg.geometry import Region
from napari_pathseg.masks import Mask
from napari_pathseg.masks.provenance import Counts
from napari_pathseg.projects.class_changes import restore_classes
from napari_pathseg.projects.exporting.export import ExportOptions, export
from napari_pathseg.projects.importing.add_slides import AddOptions, add_planned, plan_slides
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.removed_slides import remove_slides, restore_slides
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.slide_settings import SlideChanges, change_slides
from napari_pathseg.slides.appearance import grouped, oddities
from napari_pathseg.slides.slide import Slide
from napari_pathseg.storage.lock import folder_is_gone
from napari_pathseg.ui.layers.slide_layers import SlideLayers, preload
from napari_pathseg.ui.session.background import BackgroundJobs, Steps, Work, run_now
from napari_pathseg.ui.session.complete_boxes import CompleteBoxes
from napari_pathseg.ui.session.confident_accept import ConfidentAccept
from napari_pathseg.ui.session.held_out_boxes import HeldOutBoxes
from napari_pathseg.ui.session.held_out_corrections import HeldOutCorrections
from napari_pathseg.ui.session.keep_training import KeepTraining
from napari_pathseg.ui.session.live_controller import LiveController
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.model_versions import ModelVersions
from napari_pathseg.ui.session.next_places import NextPlaces
from napari_pathseg.ui.session.open_images import OpenImages
from napari_pathseg.ui.session.prediction_view import PredictionView
from napari_pathseg.ui.session.selection import Selection
from napari_pathseg.ui.session.training_controller import TrainingController
from napari_pathseg.ui.session.undo_order import UndoOrder
from napari_pathseg.ui.session.versions_view import VersionsView
from napari_pathseg.ui.session.work_log import WorkLog
from napari_pathseg.ui.session.worker import Worker
from napari_pathseg.ui.session.workspace import ClassFlags, Workspace, try_acquire


class Session:
    """A project in a viewer, with everything the user can do to it.

    Its state and signals are those of its `workspace`.

    Attributes
    ----------
    background
        What adds slides and imports contours in the background.
    work_log
        What the person at the window does.
    undo_order
        What undo takes back next.
    """

    def __init__(self, viewer: ViewerModel, worker: Worker) -> None:
        self.worker = worker
        self.background = BackgroundJobs()
        self.workspace = Workspace(viewer)
        self.class_flags = ClassFlags(self.workspace)
        self.selection = Selection(self.workspace)
        self.editor = MaskEditor(self.workspace, self.selection)
        self.boxes = CompleteBoxes(self.workspace, self.editor)
        self.live = LiveController(self.workspace, worker)
        self.models = ModelVersions(self.workspace)
        self.training = TrainingController(self.workspace, self.editor, worker, self.live, self.models)
        self.work_log = WorkLog(self.workspace)
        self.training.began.connect(self.work_log.begin_round)
        self.training.ended.connect(lambda _: self.work_log.read_again())
        self.keep_training = KeepTraining(self.workspace, self.training, self.work_log)
        self.places = NextPlaces(self.workspace, self.editor, self.training, self.live, self.show_slide)
        self.undo_order = UndoOrder(self.workspace)
        self.models.changed.connect(self.undo_order.record)
        self.places.decided.connect(self.undo_order.record)
        self.prediction_view = PredictionView(self.workspace, self.editor)
        self.live.kept.connect(self.prediction_view.on_kept)
        self.confident = ConfidentAccept(self.workspace, self.editor, self.selection)
        self.versions = VersionsView(self.workspace)
        self.held_out = HeldOutCorrections(self.workspace)
        self.held_out_boxes = HeldOutBoxes(self.workspace, self.held_out)
        self.open_images = OpenImages(self.workspace)
        self.workspace.mask_changed.connect(self._restore_classes)
        self.workspace.mask_changed.connect(self._show_wanted)
        self._wanted = ""  # the slide to show once the operation on the one in view has ended
        self._reported: set[tuple[Path, str]] = set()  # project folders and slides whose looks were reported

    # -- the project

    def new_project(self, folder: Path, classes: ClassTable = DEFAULT_CLASSES, mpp: float | None = 1.0) -> None:
        """Create a project and open it."""
        self.editor.require_no_operation("then make a new project")
        Project.create(folder, classes, mpp)
        self.open_project(folder)

    def open_project(self, folder: Path) -> None:
        """Close the open project, open another and show its first slide; see `read_only`."""
        self.editor.require_no_operation("then open another project")
        project = Project.open(folder)
        if self.project is not None and self.project.folder == project.folder:
            self.close()
        reason = try_acquire(project)
        self.close()
        self.workspace.project, self.workspace.taken = project, reason
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
        self.background.close()
        self.prediction_view.close()
        self.work_log.save()
        self._wanted = ""
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
            self.workspace.project, self.workspace.taken = None, ""
            self.slide_changed.emit()
            self.project_changed.emit()

    def add_slides(self, paths: Sequence[Path], options: AddOptions | None = None) -> list[SlideRecord]:
        """Add slides here and now; show the first if no slide is in view."""
        return run_now(self.adding(paths, options))

    def adding(self, paths: Sequence[Path], options: AddOptions | None = None) -> Steps[list[SlideRecord]]:
        """Return the flow that adds slides; they are read in the background and appear together."""
        project, options = self.require_project(), options or AddOptions()
        if options.contours is not None:
            self.save_mask()
        title = f"Adding {len(paths)} slide{'' if len(paths) == 1 else 's'}"
        if self.slide is None:
            yield Work(lambda _: preload(), title)
        plans = yield Work(lambda report: plan_slides(project, paths, options, lambda f: report(2 * f)), title)
        if self.project is not project:
            raise ProjectError(f"{project.folder.name} was closed before its slides were added. Add them again.")
        records = add_planned(project, plans, options)
        self.project_changed.emit()
        if self.slide is None and records:
            self.show_slide(records[0].id)
        elif self.slide is not None and self.slide.id in {record.id for record in records}:
            self.show_slide(self.slide.id)
        return records

    def remove_slides(self, slide_ids: Sequence[str]) -> None:
        """Take slides off the list; `restore_slides` brings them back with all that belongs to them."""
        self.workspace.require_writable()
        self.require_quiet("then remove the slides")
        project, shown = self.require_project(), self.slide
        if shown is not None and shown.id in slide_ids:
            self._close_slide()
        remove_slides(project, slide_ids)
        if shown is not None and shown.id in slide_ids:
            left = next(iter(project.slides), None)
            if left is None:
                self.layers.clear()
                self.slide_changed.emit()
            else:
                self.show_slide(left)
        self.project_changed.emit()

    def restore_slides(self, slide_ids: Sequence[str]) -> None:
        """Bring removed slides back, and show the first of them."""
        self.workspace.require_writable()
        restore_slides(self.require_project(), slide_ids)
        self.project_changed.emit()
        self.show_slide(slide_ids[0])

    @contextlib.contextmanager
    def importing(self, slide: str, why: str = "Contours are being imported into this slide") -> Iterator[None]:
        """Let a thread write a slide's mask within the block; if the slide is in view, it can only be looked at."""
        project = self.require_project()
        in_view = self.slide is not None and self.slide.id == slide
        if in_view:
            self.workspace.editing_paused.emit(True)
        self.workspace.importing, self.workspace.importing_why = slide, why
        if in_view:
            self.show_slide(slide)
        try:
            yield
        finally:
            self.workspace.importing = ""
            if self.project is project:
                if self.slide is not None and self.slide.id == slide:
                    self.show_slide(slide)
                self.project_changed.emit()
            if in_view:
                self.workspace.editing_paused.emit(False)

    @contextlib.contextmanager
    def mask_released(self, slide: str) -> Iterator[None]:
        """Close a slide's mask within the block so that other code can write it."""
        shown = self.slide is not None and self.slide.id == slide
        if shown:
            self.editor.finish_soon("then try again")
            self._close_slide()
        try:
            yield
        finally:
            if shown:
                self.show_slide(slide)
        self.project_changed.emit()

    def change_classes(self, classes: ClassTable) -> None:
        """Rename, recolour, move or append classes."""
        self.require_project().change_classes(classes)
        if self.layers.mask is not None:
            self.layers.mask.set_classes(classes)
        self.project_changed.emit()

    def _restore_classes(self) -> None:
        """List classes again whose pixels an undo or a version has brought back."""
        project, mask, layer = self.project, self.mask, self.layers.mask
        if project is None or mask is None or self.read_only or not project.classes.removed:
            return
        names = restore_classes(project, [mask.committed_counts])
        if names and layer is not None:
            layer.set_classes(project.classes)
            self.project_changed.emit()
            self.message.emit(f"{', '.join(names)}: back, with the pixels.", "", "info")

    def change_slides(self, slide_ids: Sequence[str], changes: SlideChanges) -> None:
        """Change what the project knows of slides; see `projects.slide_settings`."""
        project, shown = self.require_project(), self.slide
        needs_mask = changes.pixel_size is not None or changes.complete is not None
        if shown is not None and shown.id in slide_ids and needs_mask:
            with self.mask_released(shown.id):
                change_slides(project, slide_ids, changes)
            return
        change_slides(project, slide_ids, changes)
        if shown is not None:
            self.layers.record = project.slide(shown.id)  # its role follows those of its patient's other slides
        self.project_changed.emit()

    def export(self, folder: Path, options: ExportOptions) -> list[Path]:
        """Write masks or predictions; see `projects.exporting.export`."""
        self.save_mask()
        return export(self.require_project(), folder, options)

    def poll_lock(self) -> None:
        """Acquire the project once its holder has left; release it if another program took it over, or it is gone.

        The window calls this at intervals.
        """
        if self.project is None:
            return
        if self.workspace.taken:
            self._retry_lock(self.project)
        elif self.project.lock.gone:
            self._close_gone_project(self.project)
        elif self.project.lock.lost_to:
            self._release_lost_project(self.project)

    # -- the slide in view

    def show_slide(self, slide_id: str) -> None:
        """Save the slide in view and show another; if a long operation runs, as soon as that has ended."""
        project = self.require_project()
        self._wanted = ""
        if self.slide is not None and self.slide.id != slide_id and not self.editor.finishes_soon():
            self._wanted = project.slide(slide_id).id
            self.message.emit(f"{slide_id} is shown as soon as {self.editor.running} has ended.", "", "info")
            return
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
        self.workspace.load_opinion()
        self.slide_changed.emit()
        self.mask_changed.emit()
        self._report_oddities(project, slide_id, slide_file)

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

    def require_quiet(self, then: str) -> None:
        """Raise a `ProjectError` if the mask in view or files are being changed, or a job is running."""
        self.editor.finish_soon(then)
        self.training.end_search()
        if self.background.active:
            raise ProjectError(f"{self.background.title or 'Another change'} is going on. Wait or stop it, {then}.")
        if self.training.active and self.training.run is not None:
            raise ProjectError(f"{self.training.run.title} is going on. Wait or stop it, {then}.")

    # -- inside

    def _show_wanted(self) -> None:
        """Show the slide that was asked for while an operation ran."""
        if self._wanted and not self.editor.running:
            wanted, self._wanted = self._wanted, ""
            if self.project is not None and wanted in self.project.slides:
                self.show_slide(wanted)

    def _report_oddities(self, project: Project, slide_id: str, slide: Slide) -> None:
        """Report once what is odd in how a slide looks: nearly black or white, or shown by an assumption."""
        if (project.folder, slide_id) in self._reported:
            return
        self._reported.add((project.folder, slide_id))
        with contextlib.suppress(UnsupportedSlideError):  # napari reports it when it draws
            for text in grouped({slide_id: oddities(slide)}):
                self.message.emit(text, "", "warning")

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
        self.workspace.opinion = None
        if self.workspace.mask is not None:
            self.workspace.mask.abandon()
            self.workspace.mask = None
        if self.workspace.slide_file is not None:
            self.workspace.slide_file.close()
            self.workspace.slide_file = None

    def _retry_lock(self, project: Project) -> None:
        reason = try_acquire(project)
        if reason == self.workspace.taken:
            return
        self.workspace.taken = reason
        if not reason:
            self.training.restore_last_run()
            self._reload_slide(project)
            self.message.emit(f"{project.folder.name} can be changed now.", "", "info")
        self.project_changed.emit()

    def _close_gone_project(self, project: Project) -> None:
        self.close()
        self.message.emit(str(folder_is_gone(project.folder)), "", "error")

    def _release_lost_project(self, project: Project) -> None:
        self.training.detach()
        lost_to = project.lock.lost_to
        self.workspace.taken = f"taken over by {lost_to} because this window had not responded for a while"
        self._reload_slide(project)
        project.release_lock()
        self.message.emit(f"{project.folder.name} was {self.workspace.taken}.", "", "warning")
        self.project_changed.emit()

    def _reload_slide(self, project: Project) -> None:
        """Show the slide in view as the project now has it, or the first slide if that is gone."""
        slides, shown = list(project.slides), self.slide
        if slides:
            self.show_slide(shown.id if shown is not None and shown.id in slides else slides[0])
