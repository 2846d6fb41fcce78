"""JSON from strangers, read with limits."""

import json
from pathlib import Path
from typing import Any

from napari_pathseg.data.formats.limits import open_limited
from napari_pathseg.errors import AnnotationError


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises
    ------
    AnnotationError
        If the file cannot be read, is no JSON, is nested too deep or larger than 256 MiB.
    """
    with open_limited(path) as file:
        raw = file.read()
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path.name} is no JSON: {error}. Export it again.") from error
