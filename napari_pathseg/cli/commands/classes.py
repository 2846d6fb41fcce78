"""List and change the classes of a project."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project


def add_commands(parsers: Any) -> None:
    """Add ``class``."""
    command = add_command(parsers, "class", change_classes, "list the classes, or change, merge and remove them")
    actions = "; ".join(f"{name} {usage}" for name, (usage, _) in _ACTIONS.items())
    command.add_argument("action", nargs="?", choices=tuple(_ACTIONS), metavar="ACTION", help=actions)
    command.add_argument("names", nargs="*", metavar="NAME", help="what the action needs")


def change_classes(args: argparse.Namespace) -> Answer:
    """Change the classes as asked, and list them."""
    project = open_project(args)
    answer: dict[str, Any] = {}
    if args.action is not None:
        usage, action = _ACTIONS[args.action]
        if len(args.names) != len(usage.split()):
            raise ConfigError(f"{args.action} has {len(args.names)} names; it takes {usage}.")
        with project.write_lock():
            answer["slides"] = action(project, *args.names)
    from napari_pathseg.projects.contents import describe_classes

    removed = [gone.spec.name for gone in project.classes.removed]
    return {**answer, "classes": describe_classes(project), "removed": removed}


def _add(project: "Project", text: str) -> list[str]:
    name, _, color = text.partition("=")
    project.change_classes(project.classes.add(name, color or None))
    return []


def _rename(project: "Project", name: str, new_name: str) -> list[str]:
    from napari_pathseg.projects.class_changes import find_class

    project.change_classes(project.classes.changed(find_class(project, name).index, name=new_name))
    return []


def _recolour(project: "Project", name: str, color: str) -> list[str]:
    from napari_pathseg.projects.class_changes import find_class

    project.change_classes(project.classes.changed(find_class(project, name).index, color=color))
    return []


def _move(project: "Project", name: str, place: str) -> list[str]:
    from napari_pathseg.projects.class_changes import find_class

    if not place.isdigit() or not 2 <= int(place) <= len(project.classes):
        raise ConfigError(f'The place of {name} is "{place}"; it is a number from 2 to {len(project.classes)}.')
    project.change_classes(project.classes.moved(find_class(project, name).index, int(place)))
    return []


def _remove(project: "Project", name: str) -> list[str]:
    from napari_pathseg.projects.class_changes import find_class, remove_class

    return remove_class(project, find_class(project, name).index)


def _merge(project: "Project", name: str, into: str) -> list[str]:
    from napari_pathseg.projects.class_changes import find_class, remove_class

    return remove_class(project, find_class(project, name).index, find_class(project, into).index)


def _restore(project: "Project", name: str) -> list[str]:
    removed = project.classes.removed
    found = [gone.spec.index for gone in removed if gone.spec.name.casefold() == name.strip().casefold()]
    if not found:
        known = ", ".join(gone.spec.name for gone in removed) or "none"
        raise ConfigError(f'No class "{name}" was removed from {project.folder.name}. Removed: {known}.')
    project.change_classes(project.classes.restored(found[-1]))
    return []


_ACTIONS: dict[str, tuple[str, Callable[..., list[str]]]] = {
    "add": ("NAME[=#rrggbb]", _add),
    "rename": ("NAME NEW", _rename),
    "recolour": ("NAME #rrggbb", _recolour),
    "move": ("NAME PLACE", _move),
    "merge": ("NAME INTO", _merge),
    "remove": ("NAME", _remove),
    "restore": ("NAME", _restore),
}
