"""What the window is about: a project and the slide in view.

No Qt and no torch here: panels ask and listen.  What the user does is a method; what
changed is a signal.  What the worker does for it is `learning`'s.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from napari.components import ViewerModel
from psygnal import Signal

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
from napari_pathseg.slides.slide import Slide
from napari_pathseg.ui.layers.slide_layers import SlideLayers
from napari_pathseg.ui.session.class_flags import recall_locked
from napari_pathseg.ui.session.complete_boxes import CompleteBoxes
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.project_access import ProjectAccess, try_acquire
from napari_pathseg.ui.session.selection import Selection
from napari_pathseg.ui.session.training_controller import TrainingController, Worker
from napari_pathseg.ui.tools.view import view_snapshot
from napari_pathseg.ui.tools.view_snapshot import ViewSnapshot


class Session:
    """A project in a viewer.

    Signals: `project_changed` (another project, or its list of slides, classes or models),
    `slide_changed` (another slide in view), `mask_changed` (its pixels), `message` (a sentence
    for the user, its details, and "info", "warning" or "error").
    """

    project_changed = Signal()
    slide_changed = Signal()
    mask_changed = Signal()
    message = Signal(str, str, str)

    def __init__(self, viewer: ViewerModel, worker: Worker) -> None:
        self.layers, self.worker = SlideLayers(viewer), worker
        self.project: Project | None = None
        self.mask: Mask | None = None
        self._slide: Slide | None = None
        self.access = ProjectAccess(self)
        self.editor = MaskEditor(self)
        self.training = TrainingController(self, worker)
        self.boxes, self.selection = CompleteBoxes(self), Selection(self)

    # -- the project

    def new_project(self, folder: Path, classes: ClassTable = DEFAULT_CLASSES, mpp: float | None = 1.0) -> None:
        """Make a project and open it."""
        Project.create(folder, classes, mpp)
        self.open_project(folder)

    def open_project(self, folder: Path) -> None:
        """Open a project in place of the one that is open, and show its first slide; see `read_only`."""
        project = Project.open(folder)
        if self.project is not None and self.project.folder == project.folder:
            self.close()
        reason = try_acquire(project)
        self.close()
        self.project, self.access.read_only = project, reason
        self.training.warm_up()
        self.training.restore_last_run()
        self.project_changed.emit()
        if project.slides:
            self.show_slide(next(iter(project.slides)))

    def close(self, *, clear: bool = True) -> None:
        """Save and let the project go; `clear` is False where the viewer itself is going.

        Where the disk refuses that is said: what was drawn is in the journal, and comes back with the project.
        """
        try:
            self._close_slide()
        except ProjectError as error:
            self.message.emit(str(error), "", "error")
            self._forget_slide()
        if clear:
            self.layers.clear()
        if self.project is not None:
            self.training.detach()
            self.project.release_lock()
            self.project, self.access.read_only = None, ""
            self.slide_changed.emit()
            self.project_changed.emit()

    def add_slides(self, paths: Sequence[Path], options: AddOptions | None = None) -> list[SlideRecord]:
        """Add slides and show the first of them where none is shown."""
        self.save_mask()
        entries = add_slides(self.require_project(), paths, options)
        self.project_changed.emit()
        if self.slide is None and entries:
            self.show_slide(entries[0].id)
        elif self.slide is not None and self.slide.id in {entry.id for entry in entries}:
            self.show_slide(self.slide.id)
        return entries

    @contextlib.contextmanager
    def mask_released(self, slide: str) -> Iterator[None]:
        """Let go of a slide's mask inside the block, in which somebody else writes it."""
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
        """Give a slide, and so its patient's other slides, a role."""
        set_role(self.require_project(), slide_id, role)
        self.project_changed.emit()

    def export(self, folder: Path, options: ExportOptions) -> list[Path]:
        """Write masks or predictions; see `data.exporting.export`."""
        self.save_mask()
        return export(self.require_project(), folder, options)

    # -- the slide in view

    @property
    def slide(self) -> SlideRecord | None:
        """The slide in view."""
        return self.layers.entry

    def show_slide(self, slide_id: str) -> None:
        """Bring a slide into view; the one before is saved."""
        project = self.require_project()
        slide = project.open_slide(slide_id)
        try:
            self._close_slide()
        except BaseException:
            slide.close()
            raise
        self._slide, self.mask = slide, self.access.open_mask(project, slide_id)
        self.layers.show(project.slide(slide_id), slide, self.mask, project.classes)
        assert self.layers.mask is not None
        assert self.layers.contours is not None
        self.layers.contours.editable = not self.read_only
        self.layers.mask.events.paint.connect(self._painted)
        recall_locked(self)
        self.slide_changed.emit()
        self.mask_changed.emit()

    def counts(self, slide_id: str) -> Counts:
        """Return a slide's pixels by (class, provenance), strokes of this moment included."""
        if self.mask is not None and self.slide is not None and self.slide.id == slide_id:
            return self.mask.committed_counts
        return self.require_project().counts(slide_id)

    def view_snapshot(self, longest: int) -> ViewSnapshot | None:
        """Return what is on screen of the slide, no side longer than so many pixels; None where nothing is."""
        return None if self._slide is None else view_snapshot(self._slide, self.layers, longest)

    # -- inside

    @property
    def read_only(self) -> str:
        """Why the project can be looked at and not changed; empty where it can be changed."""
        return self.access.read_only

    def require_project(self) -> Project:
        """Return the open project; raise a `ProjectError` if there is none."""
        if self.project is None:
            raise ProjectError("No project is open. Make a new one or open one in the project menu.")
        return self.project

    def require_slide(self) -> SlideRecord:
        """Return the slide in view; raise a `ProjectError` if there is none."""
        if self.slide is None:
            raise ProjectError("No slide is in view. Add one, or double-click one in the list.")
        return self.slide

    def _painted(self) -> None:
        self.mask_changed.emit()

    def refresh_mask(self, region: Region) -> None:
        """Show and tell that a box of the mask was changed here, not by the brush."""
        if self.mask is not None:
            self.mask.end_undo_group()
        if self.layers.mask is not None:
            self.layers.mask.show(region)
        self.mask_changed.emit()

    def save_mask(self) -> None:
        """Bring the strokes so far into the mask on disk, for other processes to read."""
        if self.mask is not None and not self.read_only:
            self.require_project().lock.check()
            self.mask.end_undo_group()
            self.editor.apply_pending()
            self.mask.flush()

    def _close_slide(self) -> None:
        """Save and let the slide in view go; where the disk refuses it stays."""
        if self.mask is not None and self.mask.writable and self.access.is_writable():
            self.editor.apply_pending()
            self.mask.end_undo_group()
            self.mask.flush()
        self._forget_slide()

    def _forget_slide(self) -> None:
        """Let the slide in view go as it is: its strokes are in the journal, which may be another's by now."""
        if self.mask is not None:
            self.mask.abandon()
            self.mask = None
        if self._slide is not None:
            self._slide.close()
            self._slide = None
