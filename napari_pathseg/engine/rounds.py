"""The models of a training that goes on by itself: one version that is replaced, round by round.  No torch.

Each round trains the model of the round before a little further.  Only the newest two stay: the one that is used, and
the one that it is compared with.
"""

import logging

from napari_pathseg.engine.bundle import Bundle, load_bundle
from napari_pathseg.errors import PathsegError
from napari_pathseg.projects.annotation_log import log_dropped
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import load_json, save_json
from napari_pathseg.storage.portable import remove_tree

_logger = logging.getLogger(__name__)


def drop_round(project: Project, model: str) -> None:
    """Delete the model of a round with its run and its predictions: the next one learns its labels, too."""
    with project.write_lock():
        _delete(project, model)
        log_dropped(project, model)


def _delete(project: Project, model: str) -> None:
    """Delete a model with its run and its predictions; what cannot be deleted stays."""
    run = load_bundle(project.folder / "models" / model).run
    for folder in (f"models/{model}", f"predictions/{model}", *([f"runs/{run}"] if run else [])):
        try:
            remove_tree(project.folder / folder)
        except OSError as error:
            _logger.warning("%s could not be deleted: %s", folder, error.strerror or error)


def fold_round(project: Project, model: str) -> bool:
    """Let the model that was trained from a round's model take its place; return whether it did.

    It does not if the user has named or removed the round's model, or trained others from it, removed ones included, or
    if it has learnt from slides, or holds out parts, of its own: what a model has seen must not be forgotten.
    """
    try:
        if model not in project.model_ids() or project.state.model_names.get(model):
            return False
        folded, stored = load_bundle(project.folder / "models" / model), project.stored_models()
        bundles = (load_bundle(project.folder / "models" / name) for name in stored)
        followers = [bundle for bundle in bundles if bundle.parent == model]
        if len(followers) != 1 or not _covers(followers[0], folded):
            return False
        with project.write_lock():
            path = project.folder / "models" / followers[0].id / "bundle.json"
            save_json(path, {**load_json(path), "parent": folded.parent})
            _delete(project, model)
    except PathsegError as error:  # it stays in the list
        _logger.warning("%s is not replaced: %s", model, error)
        return False
    return True


def _covers(follower: Bundle, folded: Bundle) -> bool:
    """Return whether a model has learnt all that another one has, with the same held out."""
    return set(folded.train) <= set(follower.train) and folded.held_out == follower.held_out
