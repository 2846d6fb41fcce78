"""Measuring a project and deleting what it can do without, in the background: thousands of files take seconds."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from napari_pathseg.engine.project_cleanup import Cleanup, clean_up, find_cleanups
from napari_pathseg.projects.disk_use import disk_use, format_bytes
from napari_pathseg.ui.session.background import Report, Steps, Work
from napari_pathseg.ui.session.session import Session


@dataclass(frozen=True)
class ProjectSize:
    """How much disk a project takes.

    Attributes
    ----------
    parts
        Bytes of each part, see `projects.disk_use.disk_use`.
    cleanups
        What can be deleted.
    """

    parts: dict[str, int]
    cleanups: Sequence[Cleanup]

    @property
    def total(self) -> int:
        """Bytes of the whole project."""
        return sum(self.parts.values())


def measuring(session: Session) -> Steps[ProjectSize]:
    """Return the flow that measures the project."""
    project = session.require_project()

    def measure(_: Report) -> ProjectSize:
        return ProjectSize(disk_use(project), find_cleanups(project))

    size: ProjectSize = yield Work(measure, "Measuring the project")
    return size


def clean_project(session: Session, kinds: Collection[str]) -> None:
    """Delete these kinds of `Cleanup` in the background, as they are then, and say what that freed.

    Raises
    ------
    ProjectError
        If the project is read-only, or if files are being imported or a job is running.
    """
    session.require_quiet("then clean up")
    session.workspace.require_writable()
    session.background.start(
        _cleaning(session, kinds),
        lambda text: session.message.emit(text, "", "info"),
        lambda error: session.message.emit(str(error), "", "error"),
    )


def _cleaning(session: Session, kinds: Collection[str]) -> Steps[str]:
    project = session.require_project()

    def clean(_: Report) -> int:
        chosen = [one for one in find_cleanups(project) if one.kind in kinds]
        clean_up(project, chosen)
        return sum(one.size for one in chosen)

    freed: int = yield Work(clean, "Cleaning up", writes=True)
    session.project_changed.emit()
    return f"{format_bytes(freed)} freed."
