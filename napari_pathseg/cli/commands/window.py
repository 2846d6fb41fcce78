"""Open the window, with or without a demonstration."""

import argparse
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import add_command
from napari_pathseg.cli.output import Answer


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

    check_qt()
    from napari_pathseg.ui.launch import open_window

    open_window(args.paths)
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
