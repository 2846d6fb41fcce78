"""Write the report of a model."""

import argparse
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import (
    add_command,
    add_model_option,
    add_setting_options,
    given_settings,
    open_project,
)
from napari_pathseg.cli.output import Answer
from napari_pathseg.cli.progress import follow
from napari_pathseg.config import ScoreConfig


def add_commands(parsers: Any) -> None:
    """Add ``report``."""
    about = "write a page on a model: what it is for, its data, its scores and how sure they are, its worst places"
    command = add_command(parsers, "report", write_report, about)
    add_model_option(command)
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder for the files")
    command.add_argument(
        "--role", choices=("all", "train", "val", "test"), help="slides to score (test, or val if none is labelled)"
    )
    add_setting_options(command, ScoreConfig)


def write_report(args: argparse.Namespace) -> Answer:
    """Write the report of a model."""
    from napari_pathseg.engine.report.report import report_job

    config = given_settings(ScoreConfig, args)
    files = follow(report_job(open_project(args), args.out, args.model, args.role, config))
    return {"files": [str(path) for path in files]}
