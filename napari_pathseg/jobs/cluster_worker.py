"""What the workers of a cluster run: each loads a model once, and computes rows of tiles with it."""

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numcodecs import Zstd

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import load_bundle
from napari_pathseg.engine.inference.predict import Orders, SlidePredictor
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.machine import usable_cores

TOPIC = "pathseg-rows"  # of the scheduler's log, where workers note the rows that they begin
_CODEC = Zstd(level=1)
_LOCK = threading.Lock()  # a worker may have several threads; a network is computed by one at a time


class ClusterModel(NamedTuple):
    """A model of a project, and how it predicts how much; `token` tells runs apart, as a project changes."""

    project: str
    model: str
    config: PredictConfig
    megapixels: float
    token: float


class RowOfTiles(NamedTuple):
    """Tiles of a slide's mask grid that are computed together, in a row or a block, and the box around them."""

    slide: str
    region: Region
    tiles: list[Region]


class _Packed(NamedTuple):
    """A compressed array of uint8."""

    shape: tuple[int, ...]
    content: bytes

    @classmethod
    def of(cls, array: UInt8Array) -> "_Packed":
        return cls(array.shape, bytes(_CODEC.encode(np.ascontiguousarray(array))))

    def unpack(self) -> UInt8Array:
        return np.frombuffer(_CODEC.decode(self.content), np.uint8).reshape(self.shape)


@dataclass
class TilesOfRow:
    """What a worker has computed of a row: compressed tiles, and why others failed."""

    row: RowOfTiles
    tiles: list[tuple[Region, list["_Packed"]]] = field(default_factory=list)
    failed: dict[Region, str] = field(default_factory=dict)

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return whether a tile is not asked for; see `Prediction.has`."""
        return tile not in self.row.tiles

    def write(self, region: Region, probabilities: UInt8Array, disagreement: UInt8Array | None = None) -> None:
        """Keep a tile until the row is done."""
        arrays = [probabilities] if disagreement is None else [probabilities, disagreement]
        self.tiles.append((region, [_Packed.of(array) for array in arrays]))

    def leave_out(self, tiles: Iterable[Region]) -> None:
        """Do nothing: the one that asked knows which tiles have no tissue."""

    def store(self, prediction: Prediction) -> Iterator[Region]:
        """Write all to the stored prediction, and yield the tiles."""
        for region, arrays in self.tiles:
            prediction.write(region, *(packed.unpack() for packed in arrays))
            yield region


def choose_on_worker(wanted: ClusterModel, slide: str, hosts: Sequence[str]) -> str:
    """Return the runtime and precision that suit this worker; the others follow."""
    with _LOCK:
        return _loaded(wanted, "", hosts).runtime_of(slide)


def plan_on_worker(
    wanted: ClusterModel, runtime: str, slide: str, hosts: Sequence[str]
) -> tuple[list[RowOfTiles], list[Region]]:
    """Return the rows of tiles of a slide, and the tiles without tissue."""
    with _LOCK:
        record = Project.open(wanted.project).slide(slide)
        blocks, glass = _loaded(wanted, runtime, hosts).blocks(record)
        return [RowOfTiles(slide, block.whole, block.tiles) for block in blocks], glass


def compute_row(wanted: ClusterModel, runtime: str, row: RowOfTiles, hosts: Sequence[str]) -> TilesOfRow:
    """Compute a row of tiles.

    Raises
    ------
    ConfigError
        If this worker cannot compute as the others do.
    PathsegError
        If it does not see the project, or the slide cannot be opened.
    """
    from distributed import get_worker

    with _LOCK:
        get_worker().log_event(TOPIC, {"slide": row.slide, "top": row.region.top})
        predictor = _loaded(wanted, runtime, hosts)
        found = predictor.runtime_of(row.slide)
        if found != runtime:
            raise ConfigError(
                f"The worker on {socket.gethostname()} computes with {found}, the others with {runtime}. Install the "
                "same packages on all, or choose --runtime torch."
            )
        answer, record = TilesOfRow(row), Project.open(wanted.project).slide(row.slide)
        for _ in predictor.compute(record, row.region, Orders(), answer):
            pass
        answer.failed = dict(predictor.failed)
        return answer


_LAST: dict[tuple[ClusterModel, str], SlidePredictor] = {}  # a worker keeps the model that it used last


def _loaded(wanted: ClusterModel, runtime: str, hosts: Sequence[str]) -> SlidePredictor:
    """Return the model, with the runtime and precision of the other workers, or "" to choose."""
    import torch
    from distributed import get_worker

    if (wanted, runtime) not in _LAST:
        here = max(1, list(hosts).count(get_worker().address.partition("://")[2].rpartition(":")[0]))
        torch.set_num_threads(max(1, usable_cores() // here))
        project = Project.open(wanted.project)
        folder, config = Path(wanted.project) / "models" / wanted.model, wanted.config
        bundle = load_bundle(folder)
        if runtime:
            name, precision = runtime.split()
            config = config.replace(runtime=name)
            bundle = replace(bundle, config={**bundle.config, "precision": precision})
        _LAST.clear()
        _LAST[wanted, runtime] = SlidePredictor(project, config, bundle, folder, wanted.megapixels)
    return _LAST[wanted, runtime]
