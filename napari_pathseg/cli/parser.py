"""The argument parser of `pathseg`; options for settings are derived from `config`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_pathseg.cli import commands, versions
from napari_pathseg.cli.output import SHOWN, Answer
from napari_pathseg.config import PredictConfig, TrainConfig
from napari_pathseg.settings import Settings

# The keys of `contours.formats.FORMATS`, whose import costs time; a test compares them.
_CONTOURS = "svg, asap, aperio, halo, ndpa, cvat, geojson, coco, labelme"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    about = "Outline, train, correct on whole slides. Research use only."
    parser = argparse.ArgumentParser(prog="pathseg", description=about)
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_project_commands(parsers)
    _add_model_commands(parsers)
    _add_window_commands(parsers)
    return parser


def _add_project_commands(parsers: Any) -> None:
    command = _command(parsers, "new", commands.new_project, "create a project")
    command.add_argument(
        "--class", dest="classes", action="append", metavar="NAME[=#rrggbb]", help="a class, Background first"
    )
    command.add_argument("--mpp", type=_mpp, default=1.0, metavar="1.0|native", help="micrometres per pixel to work at")

    command = _command(parsers, "add", commands.add_to_project, "add slides, with their contours")
    command.add_argument("slides", nargs="+", metavar="SLIDE", help="a file, or a pattern such as 'slides/*.tif'")
    command.add_argument(
        "--contours", type=Path, help="a file, or a folder: a.tif goes with a.svg, a.geojson, a.xml, a_mask.png ..."
    )
    command.add_argument(
        "--map", action="append", metavar="NAME=CLASS",
        help="the class, or Unlabelled, for a name in the contours or a value of a label image; may be repeated",
    )  # fmt: skip
    command.add_argument("--scale", type=float, default=1.0, help="scale the contours by this factor (1)")
    command.add_argument("--swapped", action="store_true", help="swap rows and columns of the contours")
    outside = command.add_mutually_exclusive_group()
    outside.add_argument("--partial", action="store_true", help="leave everything outside the contours unlabelled")
    outside.add_argument("--negative", action="store_true", help="the slides contain nothing to find")
    command.add_argument("--patient", metavar="REGEX|CSV", help="the part of the name that is the patient, or a table")
    command.add_argument("--role", default="auto", choices=("auto", "train", "val", "test"))

    command = _command(parsers, "split", commands.split_project, "split all slides again, by patient")
    for role, usual in (("train", 0.7), ("val", 0.15), ("test", 0.15)):
        command.add_argument(
            f"--{role}", type=float, metavar="SHARE",
            help=f"its share of the patients ({usual}, or none where the others make up the whole); all three as "
            "fractions that add up to 1, or as percents that add up to 100",
        )  # fmt: skip
    command.add_argument("--seed", type=int, default=0, help="seed of the split (0)")

    command = _command(parsers, "relink", commands.relink_project, "find slides whose files were moved")
    command.add_argument("folder", type=Path, help="folder to search, with its subfolders")

    _command(parsers, "check", commands.check_project, "report what would go wrong in training, and how to fix it")
    _add_versions_command(parsers)


def _add_versions_command(parsers: Any) -> None:
    command = _command(parsers, "versions", versions.keep_or_restore, "list, create or restore versions of masks")
    command.add_argument("--slide", action="append", help="a slide's name; may be repeated (all)")
    done = command.add_mutually_exclusive_group()
    done.add_argument("--keep", action="store_true", help="create a version of each mask as it is now")
    done.add_argument("--restore", type=int, metavar="NUMBER", help="restore a version of a mask; can be undone")


def _add_model_commands(parsers: Any) -> None:
    command = _command(parsers, "train", commands.train_model, "fine-tune a model")
    command.add_argument(
        "--from", dest="parent", default="latest", metavar="MODEL|none", help="model to start from (the newest)"
    )
    command.add_argument(
        "--resume", action="store_true", help="resume the newest interrupted run, with its own settings"
    )
    _add_settings(command, TrainConfig)

    _add_tune_command(parsers)

    command = _command(parsers, "predict", commands.predict_slides, "predict slides into their masks", project=False)
    command.add_argument("paths", nargs="+", type=Path, metavar="PROJECT|IMAGE")
    command.add_argument(
        "--bundle", type=Path, metavar="FOLDER", help="a model's folder: predict images without a project"
    )
    command.add_argument("--out", type=Path, metavar="FOLDER", help="with --bundle: folder for the label images")
    _add_model(command)
    command.add_argument("--slide", action="append", help="a slide's name; may be repeated")
    command.add_argument("--region", type=_region, metavar="ROW,COL,HEIGHT,WIDTH", help="in level-0 pixels")
    _add_settings(command, PredictConfig)

    command = _command(parsers, "score", commands.score_model, "score a model against contours")
    _add_model(command)
    command.add_argument("--role", default="test", choices=("all", "train", "val", "test"))

    command = _command(
        parsers,
        "convert-weights",
        commands.convert_weights,
        "convert a .pth file to safe weights",
        project=False,
    )
    command.add_argument("source", type=Path, metavar="IN.pth")
    command.add_argument("target", type=Path, metavar="OUT.safetensors")

    _add_outgoing_commands(parsers)


def _add_outgoing_commands(parsers: Any) -> None:
    command = _command(parsers, "export", commands.export_project, "export masks or predictions for other programs")
    _add_model(command)
    command.add_argument("--format", required=True, help=f"{_CONTOURS}, mask, ome-tiff or csv")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    command.add_argument(
        "--what",
        default="mask",
        help="mask: the masks, with your labels (the default); prediction: a model's raw output",
    )
    command.add_argument("--slide", action="append", help="a slide's name; may be repeated")
    command.add_argument(
        "--smooth-um",
        type=float,
        default=0.0,
        help="how far contours may leave the pixel edges",
    )

    command = _command(parsers, "convert", commands.convert_contours, "convert contours", project=False)
    command.add_argument("source", type=Path, metavar="IN", help="a contour file, or a label image with --slide")
    command.add_argument("target", type=Path, metavar="OUT", help="the new file; its suffix is the format")
    command.add_argument("--slide", type=Path, help="their slide: its size, pixel size and position on the glass")
    command.add_argument("--format", help="where several formats share OUT's suffix: " + _CONTOURS)


def _add_tune_command(parsers: Any) -> None:
    about = "train with different settings and compare the models"
    command = _command(parsers, "tune", commands.tune_model, about, project=False)
    project = command.add_argument("project", type=Path, action=_Project, metavar="PROJECT")
    command.add_argument(
        "--vary", nargs="+", action=_Vary, project=project, required=True, metavar="FIELD=A,B,C|LOW..HIGH",
        help="a setting and its values, or for optuna its range; several, or repeated. A word without = after them is "
        "PROJECT, which may stand anywhere",
    )  # fmt: skip
    command.add_argument(
        "--trials", type=int, default=0, metavar="N",
        help="at most so many trials: of a grid the first in an order that the seed shuffles (all; 20 of optuna)",
    )  # fmt: skip
    command.add_argument(
        "--search", default="grid", choices=("grid", "optuna"),
        help="try all combinations, or those that optuna suggests (grid)",
    )  # fmt: skip
    command.add_argument("--name", default="", help="name of the tuning; the same name resumes it")
    command.add_argument(
        "--from", dest="parent", default="none", metavar="MODEL|none", help="model that each trial starts from (none)"
    )
    _add_settings(command, TrainConfig)


def _add_window_commands(parsers: Any) -> None:
    command = _command(parsers, "open", commands.open_window, "open the window", project=False)
    command.add_argument("paths", nargs="*", type=Path, metavar="PROJECT|SLIDE")
    command = _command(parsers, "demo", commands.demo, "sample slides, a short training, the result", project=False)
    command.add_argument(
        "--headless", type=Path, metavar="FOLDER", help="run without a window; write screenshots and scores here"
    )


def _command(
    parsers: Any, name: str, run: Callable[[argparse.Namespace], Answer], help: str, *, project: bool = True
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = parsers.add_parser(name, help=help, description=help.capitalize() + ".")
    command.set_defaults(run=run, show=SHOWN[name])
    command.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    if project:
        command.add_argument("project", type=Path, metavar="PROJECT")
    return command


class _Project(argparse.Action):
    """Store the project, wherever it is given, and reject a second one."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        """Store it."""
        _store_project(parser, namespace, values)


class _Vary(argparse.Action):
    """Store settings and their values; a word without ``=`` among them is the project."""

    def __init__(self, *names: Any, project: argparse.Action, **options: Any) -> None:
        super().__init__(*names, **options)
        self._project = project

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, _: str | None = None
    ) -> None:
        """Store the settings, and pass a project on to its own argument."""
        varied = [word for word in values if "=" in word]
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), *varied])
        for word in values:
            if "=" not in word:
                _store_project(parser, namespace, Path(word))
                self._project.required = False  # argparse would still expect it as a positional argument


def _store_project(parser: argparse.ArgumentParser, namespace: argparse.Namespace, project: Path) -> None:
    if namespace.project is not None:
        parser.error(f"one PROJECT, not {namespace.project} and {project}; settings are varied as FIELD=A,B,C")
    namespace.project = project


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="ID", help="the model (the newest)")


def _add_settings(command: argparse.ArgumentParser, kind: type[Settings]) -> None:
    groups: dict[str, Any] = {"": command}
    for field, limits in kind.described():
        if limits.group not in groups:
            groups[limits.group] = command.add_argument_group(limits.group)
        unit = f" [{limits.unit}]" if limits.unit else ""
        name, text = "--" + field.name.replace("_", "-"), f"{limits.help}{unit} ({field.default})"
        options: dict[str, Any] = {"action": argparse.BooleanOptionalAction}
        if not isinstance(field.default, bool):
            options = {"type": type(field.default), "metavar": "|".join(limits.choices) or field.name.upper()}
        groups[limits.group].add_argument(name, help=text, **options)
        for alias in limits.aliases:
            old_name = "--" + alias.replace("_", "-")
            command.add_argument(old_name, dest=field.name, help=argparse.SUPPRESS, **options)


def _mpp(text: str) -> float | None:
    if text == "native":
        return None
    value = float(text)
    if not 0.05 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} must lie between 0.05 and 100, or be native")
    return value


def _region(text: str) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(","))
    if len(numbers) != 4 or min(numbers) < 0:
        raise argparse.ArgumentTypeError(f"{text} must be four whole numbers: ROW,COL,HEIGHT,WIDTH")
    return numbers
