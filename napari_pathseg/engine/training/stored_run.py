"""A run's ``config.json``: what a training started from.  It needs no torch."""

from pathlib import Path
from typing import Any, NotRequired, TypedDict

from napari_pathseg.engine.bundle import NetworkSpec, StoredParts
from napari_pathseg.storage.json_schema import load_record


class StoredRun(TypedDict):
    """The content of the file: settings and slides, and the model that the training started from.

    `held_out` are the parts of the slides `val` that were held out; without them it is whole slides.
    """

    parent: str | None
    network: NetworkSpec
    config: dict[str, Any]
    classes: list[str]
    train: list[str]
    val: list[str]
    origin: NotRequired[dict[str, Any]]
    held_out: NotRequired[StoredParts]


def load_stored_run(run: Path) -> StoredRun:
    """Read the ``config.json`` of the folder of a run.

    Raises
    ------
    ProjectError
        If it is missing or damaged.
    """
    return load_record(run / "config.json", StoredRun, "Train without resuming.")
