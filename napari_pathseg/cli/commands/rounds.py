"""Show what each round of annotating and training took, and what it brought."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.cli.arguments import add_command, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ProjectError

if TYPE_CHECKING:
    from napari_pathseg.projects.annotation_log import Round


def add_commands(parsers: Any) -> None:
    """Add ``rounds``."""
    about = "the work of each round until a training, how the model before did there, and what the training gained"
    command = add_command(parsers, "rounds", show_rounds, about)
    command.add_argument("--out", type=Path, metavar="FILE", help="also write a CSV, one row for each slide of a round")


def show_rounds(args: argparse.Namespace) -> Answer:
    """Return the rounds that trainings have learnt, and the one that is open."""
    from napari_pathseg.projects.annotation_log import read_rounds, stop_sentence

    rounds = read_rounds(open_project(args))
    if args.out is not None:
        _write(rounds, args.out)
    files = [] if args.out is None else [str(args.out)]
    return {"rounds": [_values(one) for one in rounds], "text": stop_sentence(rounds), "files": files}


def _values(one: "Round") -> dict[str, Any]:
    """Return a round as JSON values."""
    from dataclasses import asdict

    return {
        "model": one.model or None,
        **asdict(one.total),
        "seconds_per_slide": one.seconds_per_slide,
        "dice_before_learning": one.dice,
        "held_out_dice": one.held_out,
        "gain": one.gain,
        "slides": _slides(one),
    }


def _slides(one: "Round") -> list[dict[str, Any]]:
    """Return the work on each slide of a round, and how the model before did there."""
    from napari_pathseg.projects.annotation_log import Work

    found = []
    for slide in sorted({*one.work, *one.scores}):
        work, score = one.work.get(slide, Work()), one.scores.get(slide)
        scored = {
            "scored_model": None if score is None else score.model,
            "dice_before_learning": None if score is None else score.dice,
            "right": None if score is None else score.right,
            "new_labels": None if score is None else score.pixels,
        }
        effort = {"strokes": work.strokes, "seconds": work.seconds, "pixels": work.pixels, "mm2": work.mm2}
        found.append({"slide": slide, **effort, **scored})
    return found


def _write(rounds: "list[Round]", path: Path) -> None:
    """Write a CSV with a row for each slide of each round."""
    import csv

    from napari_pathseg.storage.atomic import replace_file

    rows = [
        {"round": number, "model": one.model, "held_out_dice": one.held_out, "gain": one.gain, **slide}
        for number, one in enumerate(rounds, 1)
        for slide in _slides(one)
    ]
    names = ["round", "model", "held_out_dice", "gain", "slide", "strokes", "seconds", "pixels", "mm2"]
    names += ["scored_model", "dice_before_learning", "right", "new_labels"]
    try:
        with replace_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, names)
            table.writeheader()
            table.writerows(rows)
    except OSError as error:
        raise ProjectError(f"{path} could not be written ({error.strerror or error}). Choose another place.") from error
