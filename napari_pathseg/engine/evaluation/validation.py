"""Scoring of a network on the held-out tiles of a run: on a sample while it trains, on all of them at the end."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from torch import Tensor

from napari_pathseg.config import SCORED_HALO
from napari_pathseg.engine.dataset.patches import PatchDataset, balanced
from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.device import Device
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.slide_scores import SlideScore, SlideTally
from napari_pathseg.engine.inference.region_predictor import RegionPredictor, to_8_bits
from napari_pathseg.engine.networks import Network
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import most_likely_classes

_SIDE = 512

_Tile = tuple[SlidePatchSource, Region]


class Coverage(NamedTuple):
    """How many of the held-out tiles a score covers."""

    tiles: int
    of: int

    @property
    def whole(self) -> bool:
        """True if every labelled pixel of the held-out slides is scored."""
        return self.tiles >= self.of


class Validation(NamedTuple):
    """What a validation found: the confusion matrix of the tiles that it covered, and their mean loss if known.

    `slides` are the scores of each slide, `base_slides` those of the model before, as far as they compare.
    """

    confusion: Confusion
    coverage: Coverage
    loss: float | None = None
    slides: Mapping[str, SlideScore] = MappingProxyType({})
    base_slides: Mapping[str, SlideScore] = MappingProxyType({})


class ScoredTile(NamedTuple):
    """A held-out tile, a box of its mask's grid: class probabilities, labels, 0 where unlabelled, and classes found."""

    slide: SlidePatchSource
    region: Region
    probabilities: Tensor
    labels: UInt8Array
    classes: UInt8Array

    def count_in(self, tally: SlideTally) -> None:
        """Add the tile to the scores of its slide."""
        tally.add(self.slide.record.id, self.region, self.labels, self.classes)


OnTile = Callable[[ScoredTile], None]


class Validator:
    """Scores networks on held-out tiles.

    During training it is a sample, drawn once and balanced over the slides: one tile of each slide,
    then a second one of each, and so on.  So every shorter sample is balanced, too.

    Parameters
    ----------
    held_out
        The held-out slides.
    classes
        The number of classes.
    most
        The largest number of tiles in the sample.
    """

    def __init__(self, held_out: PatchDataset, classes: int, most: int) -> None:
        self._classes = classes
        self._all = tiles_to_score([held_out])
        self.sample: Sequence[_Tile] = self._all[:most]
        self._seconds_per_tile = 0.0  # when the sample was last scored

    @property
    def seconds_for_all(self) -> float:
        """The estimated seconds of scoring on all tiles; 0 before a tile was measured, and if all are in the sample."""
        return 0.0 if self.coverage.whole else self._seconds_per_tile * len(self._all)

    @property
    def coverage(self) -> Coverage:
        """The part of the held-out tiles that the sample covers."""
        return Coverage(len(self.sample), len(self._all))

    def shorten(self, tiles: int) -> None:
        """Shorten the sample to so many tiles, at least one."""
        self.sample = self.sample[: max(1, tiles)]

    def score(
        self, network: Network, device: Device, seconds: float | None = None, on_tile: OnTile | None = None
    ) -> Confusion:
        """Return the confusion matrix over the sample.

        If this takes more than `seconds`, the sample is shortened, for good, to the tiles scored by then.
        `on_tile` is called with each tile.
        """
        predictor = RegionPredictor(network.eval(), device, SCORED_HALO)
        start, confusion = time.perf_counter(), Confusion.empty(self._classes)
        for number, tile in enumerate(self.sample, 1):
            _add(confusion, predictor, tile, on_tile)
            elapsed = time.perf_counter() - start
            self._seconds_per_tile = elapsed / number
            if seconds is not None and elapsed > seconds:
                self.shorten(number)
                break
        return confusion

    def scores_on_all(self, network: Network, device: Device, on_tile: OnTile | None = None) -> Iterator[Confusion]:
        """Yield the confusion matrix over the held-out tiles so far, after each of them; `on_tile` is called first."""
        predictor, confusion = RegionPredictor(network.eval(), device, SCORED_HALO), Confusion.empty(self._classes)
        for tile in self._all:
            _add(confusion, predictor, tile, on_tile)
            yield confusion


def tiles_to_score(held_out: Iterable[PatchDataset]) -> list[_Tile]:
    """Return the tiles of held-out slides in the order in which they are scored: a sample is the first ones."""
    regions = (dataset.labelled_regions(_SIDE, 1 << 40, np.random.default_rng(0)) for dataset in held_out)
    return balanced([tile for of_slides in regions for tile in of_slides])


def _add(confusion: Confusion, predictor: RegionPredictor, tile: _Tile, on_tile: OnTile | None = None) -> None:
    """Count the labelled pixels of a tile as the network classifies them."""
    slide, region = tile
    probabilities = predictor.probabilities(slide, region)
    labels = slide.labels(region)
    classes = most_likely_classes(to_8_bits(probabilities))
    confusion.add(labels, classes)
    if on_tile is not None:
        on_tile(ScoredTile(slide, region, probabilities, labels, classes))
