"""Change what a project knows of its slides: their records, their split and their files."""

import argparse
import time
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import ROLES, add_command, add_pixel_size_option, add_slide_option, open_project
from napari_pathseg.cli.output import Answer, join_names
from napari_pathseg.cli.progress import follow_search
from napari_pathseg.errors import ConfigError

_MAX_SEARCH_SECONDS = 600.0  # for moved files; longer than in the window, where the user waits


def add_commands(parsers: Any) -> None:
    """Add ``set``, ``remove``, ``split`` and ``relink``."""
    _add_set_command(parsers)

    about = "take slides or models off the list, or bring them back; no file is deleted"
    command = add_command(parsers, "remove", remove, about)
    command.add_argument("slides", nargs="*", metavar="SLIDE", help="name of a slide; none lists what was removed")
    command.add_argument("--slide", action="append", metavar="ID", help="name of a slide, too; may be repeated")
    command.add_argument("--model", action="append", metavar="ID", help="name of a model; may be repeated")
    about = "bring the slides and models back with all that belongs to them"
    command.add_argument("--restore", "--undo", dest="restore", action="store_true", help=about)

    command = add_command(parsers, "split", split_project, "assign train, val and test roles again, by patient")
    command.add_argument(
        "--patient", metavar="REGEX|CSV", help="first set the patients: the part of the name that is one, or a table"
    )
    for role, usual in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        command.add_argument(
            f"--{role}",
            type=float,
            metavar="SHARE",
            help=f"share of patients ({usual}, or 0 if the other shares add up to the whole); all three are "
            "fractions that add up to 1, or percentages that add up to 100",
        )
    command.add_argument("--seed", type=int, default=0, help="random seed of the split (0)")

    command = add_command(parsers, "relink", relink_project, "find slides whose files were moved, by content")
    command.add_argument("folder", type=Path, help="folder to search, including its subfolders")


def _add_set_command(parsers: Any) -> None:
    command = add_command(parsers, "set", set_slides, "set the pixel size, patient or role of slides")
    add_slide_option(command)
    add_pixel_size_option(command)
    command.add_argument("--patient", metavar="NAME", help="patient of the slides named with --slide")
    command.add_argument("--role", choices=ROLES, help="role of the slides and of their patients' other slides")
    outside = command.add_mutually_exclusive_group()
    outside.add_argument(
        "--complete", action="store_true", default=None, help="unlabelled pixels of the slides are Background"
    )
    outside.add_argument(
        "--partial",
        dest="complete",
        action="store_false",
        default=None,
        help="unlabelled pixels of the slides stay unlabelled",
    )


def set_slides(args: argparse.Namespace) -> Answer:
    """Set the pixel size, patient, role or completeness of slides."""
    from napari_pathseg.projects.slide_settings import SlideChanges, change_slides

    changes = SlideChanges(pixel_size=args.pixel_size, patient=args.patient, role=args.role, complete=args.complete)
    if changes == SlideChanges():
        raise ConfigError("set changes nothing. Give --pixel-size, --patient, --role, --complete or --partial.")
    project = open_project(args)
    if args.patient is not None and not args.slide:
        raise ConfigError(f"--patient {args.patient} needs the slides of this patient. Name them with --slide.")
    records = change_slides(project, list(dict.fromkeys(args.slide or project.slides)), changes)
    names = ("patient", "role", "complete", "mpp")
    return {"slides": [{"slide": record.id} | {name: getattr(record, name) for name in names} for record in records]}


def remove(args: argparse.Namespace) -> Answer:
    """Remove slides and models, or bring them back."""
    from napari_pathseg.projects.model_versions import remove_models, removed_models, restore_models
    from napari_pathseg.projects.removed_slides import remove_slides, removed_slides, restore_slides

    project, slides, models = open_project(args), [*args.slides, *(args.slide or [])], args.model or []
    if args.restore and not slides and not models:
        raise ConfigError("--restore needs the slides or models to bring back. Name them.")
    with project.write_lock():
        if slides:
            (restore_slides if args.restore else remove_slides)(project, slides)
        if models:
            (restore_models if args.restore else remove_models)(project, models)
    return {
        "slides": list(project.slides),
        "models": project.model_ids(),
        "removed": list(removed_slides(project)),
        "removed_models": removed_models(project),
    }


def split_project(args: argparse.Namespace) -> Answer:
    """Split the slides again, by patient."""
    from napari_pathseg.projects.patients import grouping_advice
    from napari_pathseg.projects.splits import read_shares, split_project

    shares = read_shares({"train": args.train, "val": args.val, "test": args.test})
    project = open_project(args)
    roles = split_project(project, shares, args.seed, args.patient)
    advice = grouping_advice(project)
    by_role = {role: [slide for slide in roles if roles[slide] == role] for role in ("train", "val", "test")}
    return {"roles": by_role, "warnings": [advice] if advice else []}


def relink_project(args: argparse.Namespace) -> Answer:
    """Find and relink slides whose files were moved."""
    from napari_pathseg.projects.relink import find_moved, missing, relink

    project = open_project(args)
    start = time.monotonic()
    found = follow_search(find_moved(project, args.folder, _MAX_SEARCH_SECONDS))
    relink(project, found)
    still_missing = [record.id for record in missing(project)]
    answer = {"found": {slide: str(path) for slide, path in found.items()}, "missing": still_missing}
    if not still_missing:
        return answer
    timed_out = time.monotonic() - start >= _MAX_SEARCH_SECONDS
    limit = f"; the search stopped after {_MAX_SEARCH_SECONDS / 60:.0f} min" if timed_out else ""
    warning = (
        f"Still missing: {join_names(still_missing)}; no file in {args.folder} or its subfolders has the same "
        f"content{limit}. Name the folder that the files were moved to, or put them back."
    )
    return {**answer, "warnings": [warning]}
