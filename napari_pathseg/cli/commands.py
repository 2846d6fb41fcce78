"""The command `pathseg`: the same project as the window, without it.

Each command is a function of the parsed arguments that returns what ``--json`` prints.
What a user can fix ends with one message and exit code 1, wrong usage with 2.
"""

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari_pathseg.config import PredictConfig, Settings, TrainConfig
from napari_pathseg.errors import ConfigError, PathsegError

if TYPE_CHECKING:
    from napari_pathseg.data.project import Project
    from napari_pathseg.engine.events import Event, Job

_Answer = dict[str, Any]
_Result = TypeVar("_Result")
_SettingsT = TypeVar("_SettingsT", bound=Settings)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy neighbour core else stalls each step of torch
    args = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    try:
        answer = args.run(args)
    except PathsegError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(answer))
    elif answer:
        print("\n".join(_plain(answer)))
    return int(answer.get("ready") is False)


def _plain(answer: _Answer) -> list[str]:
    return [f"{key}: {json.dumps(value) if isinstance(value, dict | list) else value}" for key, value in answer.items()]


# -- commands


def _new(args: argparse.Namespace) -> _Answer:
    from napari_pathseg.data.classes import DEFAULT_CLASSES, class_table
    from napari_pathseg.data.project import Project

    classes = DEFAULT_CLASSES
    if args.classes:
        pairs = [text.partition("=") for text in args.classes]
        classes = class_table([(name, color or None) for name, _, color in pairs])
    project = Project.create(args.project, classes, args.mpp)
    return {"project": str(project.folder), "classes": list(classes.names)}


def _add(args: argparse.Namespace) -> _Answer:
    from napari_pathseg.data.importing import AddOptions, add_slides

    options = AddOptions(
        contours=args.contours, partial=args.partial, negative=args.negative, patient=args.patient, role=args.role
    )
    entries = add_slides(_open(args), args.slides, options)
    return {
        "slides": [
            {"slide": e.id, "patient": e.patient, "role": e.role, "complete": e.complete, "mpp": e.mpp} for e in entries
        ]
    }


def _check(args: argparse.Namespace) -> _Answer:
    from napari_pathseg.data.readiness import check

    problems = check(_open(args))
    for problem in problems:
        print(problem.text, file=sys.stderr)
    return {
        "ready": not any(problem.blocks for problem in problems),
        "problems": [{"text": problem.text, "blocks": problem.blocks} for problem in problems],
    }


def _train(args: argparse.Namespace) -> _Answer:
    config = _settings(TrainConfig, args)
    project = _open(args)
    from napari_pathseg.engine.training import train
    from napari_pathseg.jobs.runs import recorded

    parent = None if args.parent == "none" else args.parent
    bundle = _follow(recorded(train(project, config, parent), project))
    return {
        "model": bundle.id,
        "parent": bundle.parent,
        "scores": bundle.scores,
        "steps": bundle.steps,
        "seconds": bundle.seconds,
        "run": bundle.run,
    }


def _predict(args: argparse.Namespace) -> _Answer:
    config = _settings(PredictConfig, args)
    project = _open(args)
    from napari_pathseg.data.geometry import Region
    from napari_pathseg.engine.bundle import find_bundle
    from napari_pathseg.engine.prediction import fill_masks, predict

    region = Region(*args.region) if args.region else None
    model = find_bundle(project, args.model).name
    done = _follow(predict(project, config, model, slides=args.slide, region=region))
    fill_masks(project, model, done)
    return {
        "model": model,
        "slides": [{"slide": s.slide, "seconds": s.seconds, "pixels": s.pixels} for s in done],
    }


def _score(args: argparse.Namespace) -> _Answer:
    project = _open(args)
    from napari_pathseg.engine.prediction import score

    return score(project, args.role, args.model)


def _export(args: argparse.Namespace) -> _Answer:
    from napari_pathseg.data.exporting import export

    files = export(_open(args), args.out, args.format, what=args.what, model=args.model, slides=args.slide)
    return {"files": [str(path) for path in files]}


def _open_window(args: argparse.Namespace) -> _Answer:
    from napari_pathseg.ui.launch import open_window

    open_window(args.paths)
    return {}


def _demo(args: argparse.Namespace) -> _Answer:
    from napari_pathseg.ui.demo import run_demo, show_demo

    if args.headless is None:
        show_demo()
        return {}
    return run_demo(args.headless)


def _open(args: argparse.Namespace) -> "Project":
    from napari_pathseg.data.project import Project

    return Project.open(args.project)


def _follow(job: "Job[_Result]") -> _Result:
    """Run a job to its end with a line of progress on stderr; Ctrl+C stops it and keeps what was won."""
    from napari_pathseg.engine.events import Stop

    command = None
    shown = 0.0
    while True:
        try:
            event = job.send(command)  # type: ignore[arg-type]
            command = None
            if (line := _line(event)) and (event.to_json()["event"] != "progress" or time.monotonic() - shown > 1):
                print(line, file=sys.stderr, flush=True)
                shown = time.monotonic()
        except StopIteration as end:
            result: _Result = end.value
            return result
        except KeyboardInterrupt:
            command = Stop()


def _line(event: "Event") -> str:
    said = event.to_json()
    match said["event"]:
        case "progress":
            loss = "" if said["loss"] is None else f", loss {said['loss']:.3f}"
            return f"{said['stage']}: {said['fraction']:.0%}, {said['seconds_left']:.0f} s left{loss}"
        case "validated":
            dice = ", ".join(f"{name} {value:.3f}" for name, value in said["dice"].items())
            return f"After {said['seconds']:.0f} s on held-out slides: Dice {dice}{' (best)' if said['best'] else ''}"
        case "note":
            return str(said["text"])
        case "started":
            return f"{said['model']} learns from {len(said['train'])} slides, {len(said['val'])} held out"
    return ""


# -- arguments


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pathseg", description="Outline, train, correct on whole slides. Research use only.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = _command(commands, "new", _new, "make a project")
    command.add_argument("--class", dest="classes", action="append", metavar="NAME[=#rrggbb]", help="a class, Background first")
    command.add_argument("--mpp", type=_mpp, default=1.0, metavar="1.0|native", help="micrometres per pixel to work at")

    command = _command(commands, "add", _add, "add slides, with their contours")
    command.add_argument("slides", nargs="+", metavar="SLIDE")
    command.add_argument("--contours", type=Path, help="a file, or a folder paired by stem")
    outside = command.add_mutually_exclusive_group()
    outside.add_argument("--partial", action="store_true", help="what lies outside the contours is unlabelled")
    outside.add_argument("--negative", action="store_true", help="the slides have nothing to find")
    command.add_argument("--patient", metavar="REGEX|CSV", help="the part of the name that is the patient, or a table")
    command.add_argument("--role", default="auto", choices=("auto", "train", "val", "test"))

    _command(commands, "check", _check, "what would go wrong in training, and how to fix it")

    command = _command(commands, "train", _train, "fine-tune a model")
    command.add_argument("--from", dest="parent", default="latest", metavar="MODEL|none", help="what to start from (the newest)")
    _add_settings(command, TrainConfig)

    command = _command(commands, "predict", _predict, "predict slides into their masks")
    _add_model(command)
    command.add_argument("--slide", action="append", help="a slide's name; may be repeated")
    command.add_argument("--region", type=_region, metavar="ROW,COL,HEIGHT,WIDTH", help="in level-0 pixels")
    _add_settings(command, PredictConfig)

    command = _command(commands, "score", _score, "score a model against contours")
    _add_model(command)
    command.add_argument("--role", default="test", choices=("all", "train", "val", "test"))

    command = _command(commands, "export", _export, "write masks or predictions for other programs")
    _add_model(command)
    command.add_argument("--format", required=True, help="geojson, svg or mask")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    command.add_argument("--what", default="mask", help="mask or prediction")
    command.add_argument("--slide", action="append", help="a slide's name; may be repeated")

    command = _command(commands, "open", _open_window, "open the window", project=False)
    command.add_argument("paths", nargs="*", type=Path, metavar="PROJECT|SLIDE")
    command = _command(commands, "demo", _demo, "sample slides, a short training, the overlay", project=False)
    command.add_argument("--headless", type=Path, metavar="FOLDER", help="run the whole loop, leave pictures and scores there")
    return parser


def _command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], _Answer], help: str, *, project: bool = True
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help.capitalize() + ".")
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    if project:
        command.add_argument("project", type=Path, metavar="PROJECT")
    return command


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", metavar="ID", help="the model (the newest)")


def _add_settings(command: argparse.ArgumentParser, kind: type[Settings]) -> None:
    for field, limits in kind.described():
        unit = f" [{limits.unit}]" if limits.unit else ""
        command.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(field.default),
            metavar=field.name.upper() if not limits.choices else "|".join(limits.choices),
            help=f"{limits.help}{unit} ({field.default})",
        )


def _settings(kind: type[_SettingsT], args: argparse.Namespace) -> _SettingsT:
    given = {field.name: getattr(args, field.name) for field, _ in kind.described()}
    return kind(**{name: value for name, value in given.items() if value is not None})


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
