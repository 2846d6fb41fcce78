"""Open the window, with or without a demonstration."""

import argparse
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import add_command, region
from napari_pathseg.cli.output import Answer
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region


def add_commands(parsers: Any) -> None:
    """Add ``open`` and ``demo``."""
    command = add_command(parsers, "open", open_window, "open the window", project=False)
    command.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="PROJECT|SLIDE",
        help="a project folder or slides to open; may be left out",
    )
    command.add_argument("--slide", metavar="ID", help="name of the slide to show first")
    about = "rectangle of that slide to show, in level-0 pixels"
    command.add_argument("--region", type=region, metavar="ROW,COL,HEIGHT,WIDTH", help=about)
    command = add_command(
        parsers,
        "demo",
        demo,
        "annotate, train and correct on sample slides, as a demonstration",
        project=False,
    )
    command.add_argument(
        "--headless",
        type=Path,
        metavar="FOLDER",
        help="run without a visible window; write screenshots and scores to this folder",
    )


def open_window(args: argparse.Namespace) -> Answer:
    """Open the window."""
    from napari_pathseg.ui.qt_binding import check_qt

    if args.region is not None and args.slide is None:
        raise ConfigError("region needs --slide, the slide that it lies on.")
    check_qt()
    from napari_pathseg.ui.launch import open_window

    open_window(args.paths, args.slide, None if args.region is None else Region(*args.region))
    return {}


def demo(args: argparse.Namespace) -> Answer:
    """Demonstrate annotation, training and correction."""
    from napari_pathseg.ui.qt_binding import check_qt

    check_qt()
    from napari_pathseg.ui.demo.demo import run_demo, show_demo

    if args.headless is None:
        show_demo()
        return {}
    return run_demo(args.headless)
