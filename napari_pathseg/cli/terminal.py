"""Write lines to the terminal: whatever a file, slide or class is called, a line stays a line of plain text."""

import logging
import sys
from typing import TextIO

from napari_pathseg.storage.names import printable


def say(line: str, stream: TextIO | None = None) -> None:
    """Write a line to `stream`, by default stderr; control characters are written as escape sequences."""
    print(printable(line), file=stream or sys.stderr, flush=True)


def log_to_stderr() -> None:
    """Write warnings that are logged to stderr, each as one line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return printable(super().formatMessage(record))
