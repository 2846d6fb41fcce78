"""Models that stay loaded: the next view is predicted soon, and to build a network takes longer than to predict it."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_pathseg.config import USUAL_HALO, PredictConfig
from napari_pathseg.engine.bundle_io import load_network
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.inference.adaptation import ScannerAdapter
from napari_pathseg.engine.inference.predictor_choice import choose_predictor
from napari_pathseg.engine.inference.slide_prediction import TilePredictor
from napari_pathseg.engine.networks import Network
from napari_pathseg.engine.runtime.choice import ReadyNetwork, choose_runtime
from napari_pathseg.engine.runtime.openvino_module import module_key
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.machine import give_back_memory

_MOST = 2  # networks: a model may have a second one, for slides that it has learnt

Outputs = tuple[Sequence[int], Mapping[int, int]]


class LoadedModel:
    """A network in eval mode that is only predicted with, and what predicts tiles with it."""

    def __init__(self, network: Network) -> None:
        self._network, self._key = network, module_key(network)
        self._predictors: dict[tuple[object, ...], TilePredictor] = {}
        self._adapter = ScannerAdapter(network)

    @property
    def has_batch_norm(self) -> bool:
        """Whether it can be adapted to a scanner."""
        return self._adapter.has_batch_norm

    @contextmanager
    def adapted_to(self, project: Project, slide: SlidePatchSource, device: Device) -> Iterator[None]:
        """Adapt the network to a slide in the block, and all that predicts with torch; see `ScannerAdapter`."""
        try:
            self._adapter.adapt_to(project, slide, device)
            yield
        finally:
            self._adapter.restore()

    def ready(self, runtime: str, precision: str, megapixels: float) -> ReadyNetwork:
        """Return the network as it predicts the fastest; see `choose_runtime`."""
        ready = choose_runtime(self._network, runtime, precision, megapixels, self._key)
        give_back_memory()  # of the trials
        return ready

    def predictor(
        self, ready: ReadyNetwork, config: PredictConfig, usual_halo: int = USUAL_HALO, largest: int = 0
    ) -> TilePredictor:
        """Return what predicts tiles; see `choose_predictor`."""
        key = (ready.way, config.halo, usual_halo, config.tta, config.shifts, config.blend, largest)
        if key not in self._predictors:
            self._predictors[key] = choose_predictor(self._network, ready, config, usual_halo, largest)
        return self._predictors[key]


_MODELS: OrderedDict[tuple[object, ...], LoadedModel] = OrderedDict()


def load_model(folder: Path, weights: str, classes: int, outputs: Outputs) -> LoadedModel:
    """Return a bundle's network with weights from the file of that name; the same one while its files do not change.

    `classes` and `outputs` are those of `load_network` and `Network.set_outputs`.

    Raises
    ------
    BundleError
        As `load_network`.
    """
    files = [(path.name, _state(path)) for path in (folder / weights, folder / "bundle.json")]
    key = (folder.resolve(), *files, classes, repr(outputs))
    if key not in _MODELS:
        network = load_network(folder, classes, weights)
        network.set_outputs(*outputs)
        _MODELS[key] = LoadedModel(network.eval())
        while len(_MODELS) > _MOST:
            _MODELS.popitem(last=False)
    _MODELS.move_to_end(key)
    return _MODELS[key]


def _state(path: Path) -> tuple[int, ...]:
    """Return what tells whether a file was replaced; nothing of one that is missing."""
    try:
        found = path.stat()
    except OSError:  # `load_network` says what is wrong
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
