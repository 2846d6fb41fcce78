"""Write models for other programs, and take models in."""

import argparse
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import add_command, add_model_option, open_project
from napari_pathseg.cli.output import Answer
from napari_pathseg.engine.exchange.export_formats import EXPORT_FORMATS


def add_commands(parsers: Any) -> None:
    """Add ``export-model`` and ``import-model``."""
    about = "write a model for other programs, with its card; needs the extra [export], but for torchscript"
    command = add_command(parsers, "export-model", export_model, about, project=False)
    command.add_argument("path", type=Path, metavar="MODEL", help="folder of a model, or of a project")
    add_model_option(command)
    command.add_argument("--format", required=True, choices=tuple(EXPORT_FORMATS), help="what to write")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder for the files")

    about = "take in a model: a bundle (folder or zip), or a bioimage.io package of a known network"
    command = add_command(parsers, "import-model", import_model, about)
    command.add_argument("source", type=Path, metavar="FILE", help="the folder or zip file")


def export_model(args: argparse.Namespace) -> Answer:
    """Write a model for other programs."""
    from napari_pathseg.engine.exchange.model_export import export_model, model_folder

    files = export_model(model_folder(args.path, args.model), args.format, args.out)
    return {"files": [str(path) for path in files]}


def import_model(args: argparse.Namespace) -> Answer:
    """Take a model into a project."""
    from napari_pathseg.engine.exchange.model_import import import_model, import_warnings

    project = open_project(args)
    model = import_model(project, args.source)
    return {"model": model, "current": project.current_model, "warnings": import_warnings(project, model)}
