"""Which slides have changed since their labels were learnt."""

from collections.abc import Collection, Mapping, Sequence

from napari_pathseg.projects import roles
from napari_pathseg.projects.project import Project
from napari_pathseg.ui.session.held_out_corrections import held_out_slides
from napari_pathseg.ui.session.workspace import Workspace


def changed_since(workspace: Workspace, before: Mapping[str, Sequence[int]]) -> set[str]:
    """Return the slides that the next training learns from and that changed.

    Parameters
    ----------
    workspace
        The open project.
    before
        The labels of each slide as they were, see `Workspace.labelled_pixels`.
    """
    project, now = workspace.require_project(), workspace.labelled_pixels()
    changed = {name for name in {*now, *before} if _labels(now.get(name)) != _labels(before.get(name))}
    kept = held_out_slides(workspace) if changed else set()
    return {name for name in changed if name not in project.slides or not _is_kept(project, name, kept)}


def _labels(pixels: Sequence[int] | None) -> Sequence[int]:
    """Return a slide's labels in numbers up to the last class that it shows; a class without pixels changes nothing."""
    used = list(pixels or ())
    while used and not used[-1]:
        used.pop()
    return used


def _is_kept(project: Project, slide: str, held_out: Collection[str]) -> bool:
    """Return whether the next training does not learn from a slide."""
    return slide in held_out or project.slides[slide].role == roles.TEST
