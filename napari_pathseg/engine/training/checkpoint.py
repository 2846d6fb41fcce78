"""The checkpoint of a run on disk, from which it resumes.

One file, replaced atomically: tensors as safetensors, numbers as JSON in its header.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_pathseg.errors import ProjectError
from napari_pathseg.storage.atomic import replace_file
from napari_pathseg.storage.json_schema import Count, Fraction, conform
from napari_pathseg.storage.portable import remove
from napari_pathseg.storage.regular_files import open_regular

_FILE = "checkpoint.safetensors"
NETWORK = "network."  # begins the names of the network's tensors


class _SlideScore(TypedDict):
    dice: list[Fraction | None]
    truth: str
    confusion: NotRequired[list[list[Count]]]


class _Numbers(TypedDict):
    """The plain values of a checkpoint; see `trainer` for most, and `run_history` for the last six."""

    step: Count
    ema_step: NotRequired[Count]
    loss: float | None
    training_dice: float | None
    training_accuracy: NotRequired[float | None]
    returns: Count
    elapsed: float
    stage_began: tuple[float, Count]
    rate: float
    batch: tuple[Count, Count]
    rng: dict[str, Any]
    schedule: tuple[Count, Count]
    due: tuple[float, Count]
    validation_tiles: NotRequired[Count | None]
    best: list[list[Count]]
    best_step: Count
    coverage: NotRequired[tuple[Count, Count]]
    slides: NotRequired[dict[str, _SlideScore]]
    stale: Count
    curves: list[dict[str, Any]]


@dataclass(frozen=True)
class TrainingCheckpoint:
    """The state of a run: its tensors by name, and plain values."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


def save_checkpoint(run: Path, tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
    """Write the checkpoint of a run; the previous one stays until the new one is complete."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replace_file(run / _FILE) as partial:
        save_file(plain, partial, metadata={"numbers": json.dumps(numbers)})


def checkpoint_shapes(run: Path) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of the network's tensors in the checkpoint of a run, or None if it has none.

    Raises
    ------
    ProjectError
        If the file is damaged.
    """
    path = run / _FILE
    if not path.exists():
        return None
    with _reading(path), safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(NETWORK)]  # noqa: SIM118
        return {name.removeprefix(NETWORK): tuple(file.get_slice(name).get_shape()) for name in names}


def load_checkpoint(run: Path, limit_bytes: int | None = None) -> TrainingCheckpoint | None:
    """Return the checkpoint of a run, or None if it has none.

    Raises
    ------
    ProjectError
        If the file is damaged, or has more than `limit_bytes`.
    """
    path = run / _FILE
    if not path.exists():
        return None
    with _reading(path, limit_bytes), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return TrainingCheckpoint(tensors, dict(conform(json.loads(file.metadata()["numbers"]), _Numbers)))


@contextmanager
def _reading(path: Path, limit_bytes: int | None = None) -> Iterator[None]:
    try:
        open_regular(path, limit_bytes).close()  # safetensors would wait for a pipe
        yield
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        what = getattr(error, "strerror", None) or error
        raise ProjectError(
            f"{path} cannot be read ({what}). Train again from the model {path.parent.name.replace('r', 'm', 1)}."
        ) from error


def delete_checkpoint(run: Path) -> None:
    """Delete the checkpoint of a finished run."""
    remove(run / _FILE)
