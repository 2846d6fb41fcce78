"""Write masks, predictions and contours for other programs."""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import (
    CONTOURS,
    add_command,
    add_label_image_options,
    add_model_option,
    add_slide_option,
    add_transform_options,
    given_transform,
    open_project,
)
from napari_pathseg.cli.output import Answer


def add_commands(parsers: Any) -> None:
    """Add ``export`` and ``convert``."""
    command = add_command(parsers, "export", export_project, "export masks or predictions for other programs")
    add_model_option(command)
    command.add_argument("--format", required=True, help=f"{CONTOURS}, mask, ome-tiff, ome-zarr or csv")
    command.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="folder for the files")
    command.add_argument(
        "--what",
        default="mask",
        help="mask: your labels and unreviewed predictions; prediction: a model's raw output (mask)",
    )
    add_slide_option(command)
    add_label_image_options(command)
    command.add_argument(
        "--smooth-um",
        type=float,
        default=0.0,
        help="smooth contours by at most this many micrometres (0)",
    )

    command = add_command(parsers, "convert", convert_contours, "convert contours to another format", project=False)
    command.add_argument("source", type=Path, metavar="IN", help="a contour file, or a label image with --slide")
    command.add_argument("target", type=Path, metavar="OUT", help="the new file; its suffix sets the format")
    command.add_argument(
        "--slide",
        type=Path,
        help="slide of the contours, where a format needs its size, pixel size or position on the glass",
    )
    command.add_argument("--format", help="format, if several share the suffix of OUT: " + CONTOURS)
    add_transform_options(command)


def export_project(args: argparse.Namespace) -> Answer:
    """Export masks or predictions."""
    from napari_pathseg.engine.bundle import find_bundle
    from napari_pathseg.projects.exporting.export import ExportOptions, export, left_out

    source = {"what": args.what, "model": args.model, "slides": args.slide, "smooth_um": args.smooth_um}
    images = {"pixels": args.pixels, "probabilities": args.probabilities, "suffix": args.suffix}
    options = ExportOptions(format=args.format, **source, **images)
    project = open_project(args)
    if args.what == "prediction" and args.model is not None:
        find_bundle(project, args.model)  # raises for an unknown name
    files, missing = export(project, args.out, options), left_out(project, options)
    return {"files": [str(path) for path in files], "warnings": [missing] if missing else []}


def convert_contours(args: argparse.Namespace) -> Answer:
    """Convert contours to another format."""
    from napari_pathseg.contours.conversion import convert_contours

    contours = convert_contours(args.source, args.target, args.slide, args.format, given_transform(args))
    classes = Counter(contour.class_name or "(no class)" for contour in contours)
    return {"file": str(args.target), "contours": len(contours), "classes": dict(classes)}
