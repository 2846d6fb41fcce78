"""Scoring of a network on held-out tiles while it trains."""

from collections.abc import Iterator

import numpy as np

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.inference.predict_region import most_likely_classes, predict_region
from napari_pathseg.engine.networks import Network
from napari_pathseg.geometry import Region

_SIDE = 512
_HALO = PredictConfig().halo  # as in prediction, whose mirrored slide edges count, so that `score` finds the same


class Validator:
    """Scores networks on the held-out tiles of a run, the same tiles each time."""

    def __init__(self, held_out: PatchDataset, classes: int, most: int | None = None) -> None:
        self._classes = classes
        tiles = list(held_out.labelled_regions(_SIDE, 1 << 40, np.random.default_rng(0)))
        self.whole = most is None or len(tiles) <= most  # whether all labelled pixels are scored
        selected = sorted(np.random.default_rng(0).permutation(len(tiles))[:most])
        self.tiles: list[tuple[SlidePatchSource, Region]] = [tiles[number] for number in selected]

    def score(self, network: Network, device: Device) -> Confusion:
        """Return the confusion matrix over all held-out tiles."""
        *_, confusion = Confusion.empty(self._classes), *self.scores(network, device)
        return confusion

    def scores(self, network: Network, device: Device) -> Iterator[Confusion]:
        """Yield the confusion matrix over the tiles so far, after each tile."""
        network.eval()
        confusion = Confusion.empty(self._classes)
        for slide, region in self.tiles:
            probabilities = predict_region(network, device, slide, region, _HALO)
            confusion.add(slide.labels(region), most_likely_classes(probabilities))
            yield confusion
