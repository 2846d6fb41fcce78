"""Fit the linear classifier of `networks.linear_head` to the labelled tiles of a training, in closed form.

It is fitted as the live model of the window is, see `engine.live`, so that both answer the same to the same labels.
"""

from collections.abc import Callable, Iterator, Sequence

import torch

from napari_pathseg.engine.dataset.patches import PatchDataset
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.live.discriminant import LinearClassifier
from napari_pathseg.engine.live.labelled_tiles import LabelledTiles, TileLabels
from napari_pathseg.engine.live.tile_features import SIDE, TileFeatures
from napari_pathseg.engine.networks.linear_head import LinearHead
from napari_pathseg.errors import NothingToLearnError
from napari_pathseg.geometry import Region

FindFeatures = Callable[[SlidePatchSource, Region], TileFeatures]  # of a tile of a slide's working grid


class LinearFit:
    """The labelled pixels of a training, tile by tile, and the classifier that fits them.

    Parameters
    ----------
    classes
        How many classes there are.
    widths
        How many features belong to each scale.
    features
        Returns the features of a tile.
    corrected_weight
        The weight of a corrected pixel; others have 1.
    """

    def __init__(
        self, classes: int, widths: Sequence[int], features: FindFeatures, corrected_weight: float = 1.0
    ) -> None:
        self._features, self._labels = features, LabelledTiles(classes, widths, corrected_weight)

    def read(self, dataset: PatchDataset) -> Iterator[tuple[int, int]]:
        """Read the labelled tiles, all slides in turn; yield how many are read and how many there are."""
        tiles = dataset.tiles_to_learn(SIDE)
        for number, (slide, region) in enumerate(tiles, 1):
            labels = TileLabels(*dataset.truth_to_learn(slide, region))
            if labels.labels.any():
                group = slide.record.patient or slide.record.id
                self._labels.change((slide.record.id, region), group, labels, self._features(slide, region))
            yield number, len(tiles)

    def fit(self, network: LinearHead) -> LinearClassifier:
        """Set the weights of a network's classifier to those that fit best, and return it.

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
        network.set_classifier(torch.from_numpy(classifier.weights), torch.from_numpy(classifier.bias))
        return classifier
