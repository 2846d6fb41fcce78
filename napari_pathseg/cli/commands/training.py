"""Train a model, or several with different settings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, add_setting_options, given_settings, open_project
from napari_pathseg.cli.commands.models import check_model
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.progress import follow
from napari_pathseg.cli.settings_file import parent_in
from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import ProjectError

if TYPE_CHECKING:
    from napari_pathseg.engine.bundle import Bundle
    from napari_pathseg.engine.evaluation.before_after import BeforeAfter
    from napari_pathseg.projects.project import Project


def add_commands(parsers: Any) -> None:
    """Add ``train`` and ``tune``."""
    command = add_command(parsers, "train", train_model, "fine-tune a model")
    command.add_argument(
        "--from",
        dest="parent",
        metavar="MODEL|none",
        help="model to fine-tune; none: train from scratch (that of the training in --config, or the current one)",
    )
    command.add_argument(
        "--resume", action="store_true", help="resume the newest interrupted training with its own settings"
    )
    add_setting_options(command, TrainConfig)

    _add_tune_command(parsers)


def _add_tune_command(parsers: Any) -> None:
    about = "train with different settings and compare the models"
    command = add_command(parsers, "tune", tune_model, about, project=False)
    project = command.add_argument("project", type=Path, action=_Project, metavar="PROJECT", help="the project folder")
    command.add_argument(
        "--vary",
        nargs="+",
        action=_Vary,
        project=project,
        required=True,
        metavar="FIELD=A,B,C|LOW..HIGH",
        help="a setting and its values or, for optuna, its range; takes several and may be repeated. PROJECT may come "
        "before or after it",
    )
    command.add_argument(
        "--trials",
        type=int,
        default=0,
        metavar="N",
        help="maximum number of trials; a grid is shuffled by the seed first (all of a grid; 20 of optuna)",
    )
    command.add_argument(
        "--search",
        default="grid",
        choices=("grid", "optuna"),
        help="grid: all combinations; optuna: those that it suggests (grid)",
    )
    command.add_argument("--name", default="", help="name of the tuning; give the same name to resume it")
    command.add_argument(
        "--from", dest="parent", default="none", metavar="MODEL|none", help="model that each trial fine-tunes (none)"
    )
    add_setting_options(command, TrainConfig)


def train_model(args: argparse.Namespace) -> Answer:
    """Fine-tune a model."""
    from napari_pathseg.engine.training.interrupted import find_resumable_run

    config = given_settings(TrainConfig, args)
    project = open_project(args)
    named = args.parent or (None if args.config is None else parent_in(args.config)) or "latest"
    parent = None if named == "none" else named
    if args.resume:
        find_resumable_run(project)  # raises without one, before torch is loaded
    else:
        _check_training(project, parent)
    from napari_pathseg.engine.evaluation.verdict import judge
    from napari_pathseg.jobs.training import record_training
    from napari_pathseg.projects.versions import TRAINING, create_versions

    create_versions(project, TRAINING)
    bundle = follow(record_training(project, config, parent, resume="" if args.resume else None))
    verdict = judge(project, bundle)
    compared, warnings = _compare(project, bundle)
    return {
        "model": bundle.id,
        "parent": bundle.parent,
        "scores": bundle.scores,
        "mean_dice": bundle.mean_dice,
        "reliable": verdict.reliable,
        "summary": verdict.text,
        "held_out": bundle.val,
        "held_out_parts": bundle.held_out,
        "comparable_with_parent": verdict.comparable,
        "before_after": None if compared is None else compared.to_json(),
        "steps": bundle.steps,
        "seconds": bundle.seconds,
        "run": bundle.run,
        "folder": str(project.folder / "models" / bundle.id),
        "scored_tiles": bundle.scored_tiles,
        "held_out_tiles": bundle.held_out_tiles,
        "current": project.current_model,
        "warnings": [*([f"{bundle.id} {bundle.caveat}."] if bundle.caveat else []), *warnings],
    }


def _compare(project: "Project", bundle: "Bundle") -> tuple["BeforeAfter | None", list[str]]:
    """Compare a new model with the one before it, make the better one current, and return what to know of that."""
    from napari_pathseg.engine.evaluation.before_after import before_after, choose_current

    compared = before_after(project, bundle)
    warnings = [compared.warning] if compared is not None and compared.worse else []
    change = f"pathseg model {project.folder} current {bundle.id}"
    try:
        project.reload()  # the training took its time
        choose_current(project, bundle)
    except ProjectError as error:  # the model is there all the same
        return compared, [f"{bundle.id} is kept, but which model is current was not saved: {error}"]
    return compared, [f"{text} To use {bundle.id}: {change}" for text in warnings]


def tune_model(args: argparse.Namespace) -> Answer:
    """Train with several combinations of settings."""
    from napari_pathseg.engine.search_space import TuneRequest

    config, parent = given_settings(TrainConfig, args), None if args.parent == "none" else args.parent
    request = TuneRequest.read(args.vary, config, trials=args.trials, search=args.search, name=args.name, parent=parent)
    project = open_project(args)
    _check_training(project, parent)
    from napari_pathseg.jobs.tuning import tune
    from napari_pathseg.projects.model_versions import make_current

    result = follow(tune(project, request))
    project.reload()
    make_current(project, project.model_ids()[-1])
    return result.to_json()


def _check_training(project: "Project", parent: str | None) -> None:
    """Raise if a project cannot be trained on, or not from a model; torch is not loaded for that."""
    from napari_pathseg.projects.checks.trainability import train_val_split

    train_val_split(project, {name: project.counts(name) for name in project.slides})
    if parent not in (None, "latest"):
        check_model(project, parent)


class _Project(argparse.Action):
    """Store the project, wherever it is given, and reject a second project."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        """Store the project."""
        _store_project(parser, namespace, values)


class _Vary(argparse.Action):
    """Store settings and their values; an argument without ``=`` among them is the project."""

    def __init__(self, *names: Any, project: argparse.Action, **options: Any) -> None:
        super().__init__(*names, **options)
        self._project = project

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        """Store the settings, and pass a project on to its own argument."""
        varied = [value for value in values if "=" in value]
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), *varied])
        for value in values:
            if "=" not in value:
                _store_project(parser, namespace, Path(value))
                self._project.required = False  # argparse would still expect it as a positional argument


def _store_project(parser: argparse.ArgumentParser, namespace: argparse.Namespace, project: Path) -> None:
    if namespace.project is not None:
        parser.error(f"expected one PROJECT, not {namespace.project} and {project}; vary settings as FIELD=A,B,C")
    namespace.project = project
