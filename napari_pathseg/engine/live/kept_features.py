"""The features of a project's slides: found where they are kept, or computed by an encoder."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from napari_pathseg.config import LINEAR, LiveConfig
from napari_pathseg.engine.bundle import NetworkSpec
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import choose_device
from napari_pathseg.engine.inference.region_predictor import as_tensor
from napari_pathseg.engine.live.encoder_choice import chosen_encoder
from napari_pathseg.engine.live.feature_store import FeatureStore, TilePlace, features_key
from napari_pathseg.engine.live.folding import folded
from napari_pathseg.engine.live.live_slide import Cell, LiveSlide
from napari_pathseg.engine.live.tile_features import SIDE, TileEncoder, TileFeatures
from napari_pathseg.engine.networks import build_network
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.geometry import Region
from napari_pathseg.projects.project import Project

_GB = 1 << 30
_PROBE = 256  # pixels along the tile on which precisions are compared


class KeptFeatures:
    """Features of tiles, computed once.

    Attributes
    ----------
    store
        Where they are kept.
    chosen
        The encoder that was loaded, and its weights.
    """

    def __init__(self, project: Project, config: LiveConfig) -> None:
        self._project, self._config = project, config
        self.store = FeatureStore(project.folder, int(config.memory_gb * _GB), int(config.disk_gb * _GB))
        self._encoder: TileEncoder | None = None
        self.chosen = "", ""
        self._digest = ""
        self._keys: dict[str, str] = {}

    def load_encoder(self) -> None:
        """Load the encoder.

        Raises
        ------
        BundleError
            If the encoder is unknown or cannot be used, or its weights are missing or belong to another one.
        """
        self.chosen = encoder, weights = chosen_encoder(self._project, self._config.encoder)
        network = build_network(NetworkSpec(LINEAR, encoder, 2), weights).eval()
        assert isinstance(network, LinearHead)
        folded_network = folded(network)
        sample = np.random.default_rng(0).integers(0, 256, (1, _PROBE, _PROBE, 3), np.uint8)
        device = choose_device(folded_network, as_tensor(sample))
        self.adopt(network, TileEncoder(folded_network, device))

    def adopt(self, network: LinearHead, encoder: TileEncoder) -> None:
        """Use a network's encoder, whose weights tell which features on disk are its own."""
        self._digest, self._encoder = _digest_of(network), encoder

    @property
    def widths(self) -> Sequence[int]:
        """The number of features of each scale."""
        return self._loaded.widths

    @property
    def tile_bytes(self) -> int:
        """Memory that the features of a tile take."""
        return 2 * sum(rows * columns * numbers for rows, columns, numbers in self._loaded.shapes(_WHOLE))

    def at_hand(self, slide: LiveSlide, cell: Cell) -> bool:
        """Return whether the features of a tile need not be computed."""
        return self._place(slide, cell) in self.store

    def find(self, slide: LiveSlide, cell: Cell) -> TileFeatures | None:
        """Return the features of a tile if they are kept."""
        return self.find_tile(slide, slide.tile(cell))

    def find_tile(self, slide: LiveSlide | SlidePatchSource, tile: Region) -> TileFeatures | None:
        """Return the features of a tile of the working grid if they are kept."""
        place = self._place(slide, (tile.top // SIDE, tile.left // SIDE))
        return self.store.find(place, tile, self._loaded.strides, self._loaded.shapes(tile))

    def compute(self, slide: LiveSlide, cell: Cell) -> TileFeatures:
        """Compute the features of a tile and keep them; also raises the errors of reading a slide."""
        found = self._loaded.encode(slide.source, slide.tile(cell))
        self.store.keep(self._place(slide, cell), found)
        return found

    def find_or_compute(self, slide: SlidePatchSource, tile: Region) -> TileFeatures:
        """Return the features of a tile of the working grid, which are kept; raises the errors of reading a slide."""
        found = self.find_tile(slide, tile)
        if found is None:
            found = self._loaded.encode(slide, tile)
            self.store.keep(self._place(slide, (tile.top // SIDE, tile.left // SIDE)), found)
        return found

    @property
    def _loaded(self) -> TileEncoder:
        assert self._encoder is not None
        return self._encoder

    def _place(self, slide: LiveSlide | SlidePatchSource, cell: Cell) -> TilePlace:
        record = slide.record
        if record.id not in self._keys:
            grid = record.downsample * slide.factor, record.shape, record.page
            self._keys[record.id] = features_key(record.fingerprint, *grid, self._config.stain_norm, self._digest)
            self.store.use(record.id, self._keys[record.id])
        return TilePlace(record.id, self._keys[record.id], *cell)

    def forget_keys(self) -> None:
        """Look at the slides again, as their files or pixel sizes may be others."""
        self._keys.clear()


_WHOLE = Region(0, 0, SIDE, SIDE)


def _digest_of(network: LinearHead) -> str:
    """Return a hash of an encoder's tensors and normalisation."""
    digest = hashlib.sha256()
    for name, tensor in sorted([*network.encoder.state_dict().items(), ("mean", network.mean), ("std", network.std)]):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
