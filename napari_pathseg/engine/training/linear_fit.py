"""Fit the linear classifier of `networks.linear_head` to the labelled tiles of a training, in closed form.

It is fitted as the live model of the window is, see `engine.live`, so that both answer the same to the same labels.
"""

from collections.abc import Iterator

import torch

from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.live.kept_features import KeptFeatures
from napari_pathseg.engine.live.labelled_tiles import LabelledTiles, TileLabels
from napari_pathseg.engine.live.tile_features import SIDE, TileEncoder, TileFeatures
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region


class LinearFit:
    """The labelled pixels of a training, tile by tile, and the classifier that fits them.

    Parameters
    ----------
    network
        A network with its encoder's weights; `fit` sets the rest.
    dataset
        The training slides.
    device
        Where features are computed.
    kept
        Where the live model keeps features, which are then not computed again; None to compute all.
    """

    def __init__(self, network: LinearHead, dataset: PatchDataset, device: Device, kept: KeptFeatures | None) -> None:
        self._network, self._dataset, self._kept = network, dataset, kept
        self._encoder = TileEncoder(network, device)
        if kept is not None:
            kept.adopt(network, self._encoder)
        self._labels = LabelledTiles(len(network.bias), network.widths, dataset.corrected_weight)

    def read(self) -> Iterator[tuple[int, int]]:
        """Read the labelled tiles, all slides in turn; yield how many are read and how many there are."""
        tiles = self._dataset.tiles_to_learn(SIDE)
        for number, (slide, region) in enumerate(tiles, 1):
            labels = TileLabels(*self._dataset.truth_to_learn(slide, region))
            if labels.labels.any():
                group = slide.record.patient or slide.record.id
                self._labels.change((slide.record.id, region), group, labels, self._features(slide, region))
            yield number, len(tiles)

    def _features(self, slide: SlidePatchSource, tile: Region) -> TileFeatures:
        found = None if self._kept is None else self._kept.find_tile(slide, tile)
        return found or self._encoder.encode(slide, tile)

    def fit(self) -> None:
        """Set the weights of the network's classifier to those that fit best.

        Raises
        ------
        NothingToLearnError
            If fewer than two classes have pixels with finite features among those that were read.
        """
        if len(self._labels.sums.classes) < 2:
            raise NothingToLearnError(
                "Too little was read to learn from: two classes need pixels with finite features. Let it read longer, "
                "outline more, or choose other initial weights."
            )
        classifier = self._labels.fit(self._labels.chosen_strength())
        self._network.set_classifier(torch.from_numpy(classifier.weights), torch.from_numpy(classifier.bias))
