"""The command `pathseg`: projects without the window.

An error that the user can fix ends with one message and exit code 1, wrong usage with 2.  A check that finds a project
not ready, and a search that leaves slides missing, print their answer and exit with 1 as well.
"""

import io
import json
import logging
import sys
from collections.abc import Sequence

from napari_pathseg.cli.output import complaints
from napari_pathseg.cli.parser import build_parser
from napari_pathseg.errors import PathsegError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    if isinstance(sys.stdout, io.TextIOWrapper):  # slide names may have characters that the console lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        answer = args.run(args)
    except PathsegError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 1
    lines = [json.dumps(answer)] if args.json else args.show(answer) if answer else []
    if lines:
        print("\n".join(lines), flush=True)
    for text in complaints(answer):
        print(text, file=sys.stderr)
    return int(answer.get("ready") is False or bool(answer.get("missing")))
