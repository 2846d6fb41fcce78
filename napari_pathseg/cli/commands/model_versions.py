"""List the models of a project as versions of one another, and choose, name, remove and restore them."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project


def add_commands(parsers: Any) -> None:
    """Add ``model``."""
    about = "list the models as a tree, or make one current, name, remove and restore them; no file is deleted"
    command = add_command(parsers, "model", change_models, about)
    actions = "; ".join(f"{name} {usage}".strip() for name, (usage, _) in _ACTIONS.items())
    command.add_argument("action", nargs="?", choices=("list", *_ACTIONS), metavar="ACTION", help=f"list; {actions}")
    command.add_argument("names", nargs="*", metavar="NAME", help="what the action needs")


def change_models(args: argparse.Namespace) -> Answer:
    """Change the models as asked, and list them."""
    project = open_project(args)
    usage, action = _ACTIONS.get(args.action, ("", None))
    if len(args.names) != len(usage.split()):
        raise ConfigError(f"{args.action or 'list'} has {len(args.names)} names; it takes {usage or 'none'}.")
    if action is not None:
        action(project, *args.names)
    return _describe(project)


def _describe(project: "Project") -> Answer:
    from napari_pathseg.engine.contents import describe_models
    from napari_pathseg.projects.model_versions import removed_models

    return {
        "models": describe_models(project),
        "current": project.current_model,
        "removed": removed_models(project),
    }


def _make_current(project: "Project", model: str) -> None:
    from napari_pathseg.projects.model_versions import make_current

    make_current(project, model)


def _rename(project: "Project", model: str, name: str) -> None:
    from napari_pathseg.projects.model_versions import rename_model

    rename_model(project, model, name)


def _remove(project: "Project", model: str) -> None:
    from napari_pathseg.projects.model_versions import remove_models

    remove_models(project, [model])


def _restore(project: "Project", model: str) -> None:
    from napari_pathseg.projects.model_versions import restore_models

    restore_models(project, [model])


_ACTIONS: dict[str, tuple[str, Callable[..., None]]] = {
    "current": ("ID", _make_current),
    "rename": ("ID NAME", _rename),
    "remove": ("ID", _remove),
    "restore": ("ID", _restore),
}
