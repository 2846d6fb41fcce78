"""Print what makes a shell complete the commands and options of `pathseg`."""

import argparse
from pathlib import Path
from typing import Any

from napari_pathseg.cli.arguments import add_command
from napari_pathseg.cli.output import Answer

_SHELLS = ("bash", "zsh", "fish", "tcsh")


def add_commands(parsers: Any) -> None:
    """Add ``completion``."""
    about = "print a script with which a shell completes commands, options and files"
    command = add_command(parsers, "completion", print_completion, about, project=False)
    command.add_argument("shell", choices=_SHELLS, help="the shell that is to read the script")


def print_completion(args: argparse.Namespace) -> Answer:
    """Return the script for a shell."""
    import shtab

    parser: argparse.ArgumentParser = args.parser
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    for command in commands.values():
        for action in command._actions:
            if action.type is Path:
                action.complete = shtab.FILE
    return {"script": shtab.complete(parser, args.shell)}
