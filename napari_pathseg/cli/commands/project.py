"""Create a project, and check it before training."""

import argparse
import math
from typing import Any

from napari_pathseg.cli.arguments import add_command, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.config import TrainConfig


def add_commands(parsers: Any) -> None:
    """Add ``new`` and ``check``."""
    command = add_command(parsers, "new", new_project, "create a project")
    command.add_argument(
        "--class",
        dest="classes",
        action="append",
        metavar="NAME[=#rrggbb]",
        help="name of a class; repeat for each one, Background first",
    )
    command.add_argument(
        "--mpp",
        type=_mpp,
        default=argparse.SUPPRESS,  # so that a default that was chosen is known
        metavar="1.0|native",
        help="resolution of masks and models, in micrometres per pixel; native is that of each slide (1.0)",
    )

    add_command(parsers, "check", check_project, "report problems before training, and how to fix them")


def new_project(args: argparse.Namespace) -> Answer:
    """Create a project."""
    from napari_pathseg.classes import DEFAULT_CLASSES, class_table
    from napari_pathseg.projects.project import DEFAULT_MPP, Project

    classes = DEFAULT_CLASSES
    if args.classes:
        pairs = [text.partition("=") for text in args.classes]
        classes = class_table([(name, color or None) for name, _, color in pairs])
    project = Project.create(args.project, classes, vars(args).get("mpp", DEFAULT_MPP), mpp_is_chosen="mpp" in args)
    return {"project": str(project.folder), "classes": list(classes.names)}


def check_project(args: argparse.Namespace) -> Answer:
    """Report what would go wrong in training, and estimate its time and memory."""
    from napari_pathseg.engine.cost_model import estimate
    from napari_pathseg.projects.checks.checks import check
    from napari_pathseg.projects.checks.trainability import describe_training, train_val_split
    from napari_pathseg.projects.review_progress import describe_review

    project = open_project(args)
    problems = check(project)
    answer: dict[str, Any] = {
        "ready": not any(problem.blocks for problem in problems),
        "problems": [{"text": problem.text, "blocks": problem.blocks} for problem in problems],
        "review": describe_review(project),
    }
    if answer["ready"]:
        train, val = train_val_split(project, {name: project.counts(name) for name in project.slides})
        answer["learns_from"], answer["held_out"] = [record.id for record in train], [record.id for record in val]
        answer["training_data"] = describe_training(answer["learns_from"], answer["held_out"])
        cost = estimate(project, TrainConfig())
        answer["estimate"] = {"minutes": cost.minutes, "memory_gb": round(cost.memory_gb, 2), "text": cost.text}
    return answer


def _mpp(text: str) -> float | None:
    if text == "native":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.05 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0.05 and 100, or be native")
    return value
