"""Logs of JSON lines, which several programs may add to and none changes."""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from napari_pathseg.storage.json_schema import SchemaError, conform
from napari_pathseg.storage.regular_files import read_regular

_logger = logging.getLogger(__name__)
_Line = TypeVar("_Line")


def append_line(path: Path, values: Mapping[str, Any]) -> None:
    """Add a line with the time, after the end of one that a killed program has begun; a disk that refuses is logged."""
    line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **values}) + "\n"
    try:
        with path.open("ab+") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())
    except OSError as error:
        _logger.warning("%s could not be written: %s", path, error.strerror or error)


def read_lines(path: Path, kind: type[_Line], most_bytes: int) -> Iterator[_Line]:
    """Yield the lines that conform to a schema; others, as of a newer version, are left out."""
    try:
        content = read_regular(path, most_bytes)
    except OSError as error:
        if path.exists():
            _logger.warning("%s could not be read: %s", path, error.strerror or error)
        return
    for line in content.splitlines():
        try:
            yield conform(json.loads(line), kind)
        except (ValueError, RecursionError, SchemaError):  # the last line of a killed program, or one of a newer one
            continue
