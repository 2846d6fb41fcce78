"""The models of a project as a tree of versions.  It needs no torch.

A model that was trained from another one continues its line; where several were, the newest continues it and the
others are branches, listed before it one step to the right.  So a long history does not wander off to the right.
"""

from napari_pathseg.engine.bundle import Bundle, lineage, load_bundles
from napari_pathseg.projects.project import Project


def model_tree(project: Project) -> list[tuple[int, Bundle]]:
    """Return the models of a project with their depth, each after the one that it was trained from.

    What was trained from a model that was removed continues the line of that one's parent.
    """
    bundles = load_bundles(project)
    listed = {bundle.id for bundle in bundles}
    children: dict[str, list[Bundle]] = {}
    for bundle in bundles:
        children.setdefault(_listed_parent(project, bundle, listed), []).append(bundle)
    return [found for root in children.get("", []) for found in _line(root, 0, children)]


def _listed_parent(project: Project, bundle: Bundle, listed: set[str]) -> str:
    """Return the nearest older model of a model's history that is listed; "" for none."""
    if bundle.parent in listed:
        return bundle.parent if bundle.parent is not None and bundle.parent < bundle.id else ""
    earlier = (model.id for model in lineage(project, bundle.parent))
    return next((model for model in earlier if model in listed and model < bundle.id), "")


def _line(first: Bundle, depth: int, children: dict[str, list[Bundle]]) -> list[tuple[int, Bundle]]:
    """Return a model and all that was trained from it."""
    found, model = [(depth, first)], first
    while model.id in children:
        *branches, following = children[model.id]
        for branch in branches:
            found += _line(branch, depth + 1, children)
        found.append((depth, following))
        model = following
    return found
