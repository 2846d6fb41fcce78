"""List what is in a project, show one thing of it, and free disk space."""

import argparse
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ConfigError

if TYPE_CHECKING:
    from napari_pathseg.projects.project import Project

_KINDS = ("slides", "models", "runs", "classes")


def add_commands(parsers: Any) -> None:
    """Add ``list``, ``show`` and ``clean``."""
    command = add_command(parsers, "list", list_project, "list the slides, models, trainings and classes of a project")
    about = "only these; disk: how much disk each part takes (all but disk)"
    command.add_argument("kind", nargs="?", choices=(*_KINDS, "disk"), metavar="|".join((*_KINDS, "disk")), help=about)

    command = add_command(parsers, "show", show_one, "show all that is known of a slide, model, training or class")
    about = "name of a slide, a model, a training or a class; the first kind that has it"
    command.add_argument("name", metavar="NAME", help=about)

    about = "delete what a project can do without: old trainings' files, features, old versions, removed models"
    command = add_command(parsers, "clean", clean_project, about)
    command.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def list_project(args: argparse.Namespace) -> Answer:
    """List what is in a project."""
    project = open_project(args)
    if args.kind == "disk":
        from napari_pathseg.projects.disk_use import disk_use

        return {"disk": disk_use(project)}
    return {kind: _describe(project, kind) for kind in _KINDS if args.kind in (None, kind)}


def _describe(project: "Project", kind: str) -> list[dict[str, Any]]:
    from napari_pathseg.engine.contents import describe_models, describe_runs
    from napari_pathseg.projects.contents import describe_classes, describe_slides

    describe = {
        "slides": describe_slides,
        "models": describe_models,
        "runs": describe_runs,
        "classes": describe_classes,
    }
    return describe[kind](project)


def show_one(args: argparse.Namespace) -> Answer:
    """Show a slide, a model, a run or a class."""
    from napari_pathseg.engine.bundle import keeps_live_model
    from napari_pathseg.engine.contents import show_model, show_run
    from napari_pathseg.projects.contents import show_class, show_slide
    from napari_pathseg.projects.model_weights import LIVE_MODEL

    project, name = open_project(args), args.name
    if name in project.slides:
        return show_slide(project, name)
    by_name = {given: model for model, given in project.state.model_names.items()}
    if name in project.model_ids() or (name == LIVE_MODEL and keeps_live_model(project)):
        return show_model(project, name)
    if by_name.get(name) in project.model_ids():
        return show_model(project, by_name[name])
    run, spec = show_run(project, name), project.classes.named(name)
    if run is not None:
        return run
    if spec is not None:
        return show_class(project, spec)
    raise ConfigError(
        f'{project.folder.name} has no slide, model, training or class "{name}". See what it has: '
        f"pathseg list {args.project}"
    )


def clean_project(args: argparse.Namespace) -> Answer:
    """Delete what a project can do without, or say what that is."""
    from napari_pathseg.engine.project_cleanup import clean_up, find_cleanups

    project = open_project(args)
    cleanups = find_cleanups(project)
    if not args.dry_run:
        clean_up(project, cleanups)
    found = [
        {
            "kind": one.kind,
            "text": f"{one.title}: {one.loss}",
            "bytes": one.size,
            "paths": [path.relative_to(project.folder).as_posix() for path in one.paths],
        }
        for one in cleanups
    ]
    return {"deleted": not args.dry_run, "bytes": sum(one.size for one in cleanups), "found": found}
