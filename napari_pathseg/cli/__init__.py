"""The command `pathseg`: the same project as the window, without it.

What a user can fix ends with one message and exit code 1, wrong usage with 2.
"""

import json
import logging
import sys
from collections.abc import Sequence

from napari_pathseg.cli.arguments import build_parser
from napari_pathseg.errors import PathsegError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = build_parser().parse_args(arguments)
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
        print("\n".join(args.show(answer)))
    return int(answer.get("ready") is False)
