"""The command `pathseg`: work on projects without the window.

An error that the user can fix prints one message and exits with code 1, wrong usage with 2, Ctrl+C with 130 and SIGTERM
with 143.  `check` on a project that is not ready, `doctor` with a fault, `relink` while slides are still missing, and
`predict` if parts of a slide could not be predicted, print their answer and exit with 1 as well.
"""

import io
import json
import sys
from collections.abc import Sequence

from napari_pathseg.cli.output import warnings_of
from napari_pathseg.cli.parser import build_parser
from napari_pathseg.cli.progress import stop_signals
from napari_pathseg.cli.terminal import log_to_stderr, say
from napari_pathseg.errors import PathsegError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = build_parser().parse_args(arguments)
    log_to_stderr()
    if isinstance(sys.stdout, io.TextIOWrapper):  # slide names may have characters that the console lacks
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with stop_signals.handled():
            answer = args.run(args)
    except PathsegError as error:
        say(str(error))
        return stop_signals.exit_code or 1
    except KeyboardInterrupt:
        say("Stopped.")
        return stop_signals.exit_code or 130
    for line in [json.dumps(answer)] if args.json else args.show(answer) if answer else []:
        say(line, sys.stdout)
    for text in warnings_of(answer):
        say(text)
    if stop_signals.received is not None:
        say("Stopped early; what was done until then is kept.")
    refused = False in (answer.get("ready"), answer.get("sound"))
    unfinished = refused or bool(answer.get("missing")) or bool(answer.get("failed"))
    return stop_signals.exit_code or int(unfinished)
