"""The argument parser of `pathseg`."""

import argparse

from napari_pathseg.cli.commands import (
    add,
    classes,
    cluster,
    completion,
    contents,
    doctor,
    exchange,
    export,
    model_versions,
    models,
    project,
    queue,
    report,
    rounds,
    slides,
    training,
    versions,
    window,
)

_SUBJECTS = (
    project,
    contents,
    add,
    slides,
    classes,
    versions,
    training,
    models,
    model_versions,
    queue,
    rounds,
    cluster,
    export,
    exchange,
    report,
    window,
    doctor,
    completion,
)  # in the order of the help


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    about = "Annotate whole slides, train a segmentation model and correct its predictions. Research use only."
    parser = argparse.ArgumentParser(prog="pathseg", description=about)
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    parsers = parser.add_subparsers(required=True, metavar="COMMAND")
    for subject in _SUBJECTS:
        subject.add_commands(parsers)
    parser.set_defaults(parser=parser)
    return parser


class _Version(argparse.Action):
    """Print the version and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Look the version up, which takes time, and print it."""
        from importlib.metadata import version

        print(f"pathseg {version('napari-pathseg')}")
        parser.exit()
