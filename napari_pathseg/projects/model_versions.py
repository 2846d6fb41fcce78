"""A project's models as versions of one another: which of them is current, their names, and those that were removed.

All of it is in the project's settings.  A removed model stays where it is, so that it can be brought back and models
that were trained from it keep their history; its number is not given to another model.
"""

from collections.abc import Sequence

from napari_pathseg.errors import ProjectError
from napari_pathseg.projects.model_weights import LIVE_MODEL, WEIGHTS
from napari_pathseg.projects.project import Project

_MAX_NAME = 60  # letters


def make_current(project: Project, model: str) -> None:
    """Use a model where none is named; without another choice it is always the newest.

    Raises
    ------
    ProjectError
        If there is no such model.
    """
    _check(project, model)
    if project.current_model == model:
        return
    with project.edit_state() as state:
        state.current_model = "" if model == project.model_ids()[-1] else model


def rename_model(project: Project, model: str, name: str) -> None:
    """Give a model a name that is shown beside its own, which never changes; "" takes it away.

    Raises
    ------
    ProjectError
        If there is no such model, or the name is too long or in use.
    """
    _check(project, model)
    name = " ".join(name.split())
    if len(name) > _MAX_NAME or not name.isprintable():
        raise ProjectError(
            f"The name {name!r} has {len(name)} letters. Use at most {_MAX_NAME}, all of them printable."
        )
    names = project.state.model_names
    taken = {text.casefold(): other for other, text in names.items() if other != model and text}
    taken |= {other.casefold(): other for other in (*project.stored_models(), LIVE_MODEL) if other != model}
    if name.casefold() in taken:
        raise ProjectError(f'"{name}" is {taken[name.casefold()]}. Choose another name for {model}.')
    with project.edit_state() as state:
        state.model_names = {key: text for key, text in (names | {model: name}).items() if text}


def remove_models(project: Project, models: Sequence[str]) -> None:
    """Take models off the list of a project; no file is deleted, and what was trained from them keeps its history.

    Raises
    ------
    ProjectError
        If there is no such model; nothing is changed then.
    """
    for model in models:
        _check(project, model)
    with project.edit_state() as state:
        state.removed_models = [*state.removed_models, *dict.fromkeys(models)]


def restore_models(project: Project, models: Sequence[str]) -> None:
    """Bring removed models back.

    Raises
    ------
    ProjectError
        If one of them was not removed; nothing is changed then.
    """
    removed = removed_models(project)
    for model in models:
        if model not in removed:
            known = ", ".join(removed) or "none"
            raise ProjectError(f'No model "{model}" was removed from {project.folder.name}. Removed: {known}.')
    with project.edit_state() as state:
        state.removed_models = [model for model in removed if model not in models]


def removed_models(project: Project) -> list[str]:
    """Return the models that can be brought back, in the order of removal: not those whose weights were deleted."""
    models = project.folder / "models"
    return [model for model in project.state.removed_models if (models / model / WEIGHTS).exists()]


def _check(project: Project, model: str) -> None:
    models = project.model_ids()
    if model in models:
        return
    if model == LIVE_MODEL:
        raise ProjectError(f"{LIVE_MODEL} is replaced as you draw, so it is no version. Name a model with a number.")
    if model in removed_models(project):
        raise ProjectError(f"{model} was removed. Bring it back first: pathseg model PROJECT restore {model}.")
    known = ", ".join(models) or "none yet"
    raise ProjectError(f'{project.folder.name} has no model "{model}". It has: {known}.')
