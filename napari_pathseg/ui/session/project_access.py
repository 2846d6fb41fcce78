"""Whether a session may change its project, or only look at it because another program holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathseg.errors import ProjectError
from napari_pathseg.masks import Mask
from napari_pathseg.projects.project import Project

if TYPE_CHECKING:
    from napari_pathseg.ui.session.session import Session

_PROGRAM = "the window"


def try_acquire(project: Project) -> str:
    """Hold a project for the window; return why it can only be looked at, empty where it is held."""
    try:
        project.acquire_lock(_PROGRAM)
    except ProjectError as error:
        holder = project.lock.other_owner()
        return f"open in {holder}" if holder else str(error).rstrip(".")
    return ""


class ProjectAccess:
    """The right of a session to change its project; `read_only` says why it has none, empty where it has."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.read_only = ""

    def require_writable(self) -> None:
        """Refuse what would change a project that can only be looked at.

        Raises
        ------
        ProjectError
            Saying who holds it.
        """
        if self.read_only:
            name = self._session.require_project().folder.name
            raise ProjectError(f"{name} can only be looked at here: {self.read_only}. Close it there first.")

    def is_writable(self) -> bool:
        """Return whether what is in hand may be written: the project is held, and nobody took it over."""
        if self._session.project is None or self.read_only:
            return False
        try:
            self._session.project.lock.check()
        except ProjectError:
            return False
        return True

    def open_mask(self, project: Project, slide_id: str) -> Mask:
        """Open a slide's mask to be edited, or as it was saved last where the project can only be looked at."""
        return project.open_mask_readonly(slide_id) if self.read_only else project.open_mask(slide_id)

    def poll(self) -> None:
        """Take the project once its holder has left, and let go of it when it was taken over; ask now and then."""
        if self._session.project is None or self._session.editor.busy:
            return
        if self.read_only:
            self._try_again(self._session.project)
        elif self._session.project.lock.lost_to:
            self._give_up(self._session.project)

    def _try_again(self, project: Project) -> None:
        reason = try_acquire(project)
        if reason == self.read_only:
            return
        self.read_only = reason
        if not reason:
            self._session.training.restore_last_run()
            self._show_anew(project)
            self._session.message.emit(f"{project.folder.name} can be changed now.", "", "info")
        self._session.project_changed.emit()

    def _show_anew(self, project: Project) -> None:
        """Show the slide in view as the project has it now, or the first where that is none of it."""
        slides, shown = list(project.slides), self._session.slide
        if slides:
            self._session.show_slide(shown.id if shown is not None and shown.id in slides else slides[0])

    def _give_up(self, project: Project) -> None:
        self._session.training.detach()
        self.read_only = f"taken over by {project.lock.lost_to}, as this window had given no sign for a while"
        self._show_anew(project)
        project.release_lock()
        self._session.message.emit(f"{project.folder.name} was {self.read_only}.", "", "warning")
        self._session.project_changed.emit()
