"""The labelled pixels of many tiles, which come, change and go, and the classifier that fits them.

Of a tile at most `PER_CLASS` pixels of each class count, always the same ones for the same labels: each pixel of a tile
has a fixed random rank, and the first ones count.  So a stroke changes few of them, and only these are added to, or
taken out of, the sums.  A few pixels of each tile are remembered with their features; penalty and scale of the
probabilities are chosen on them, so that they suit slides, or parts of them, that a fit has not seen.
"""

from collections.abc import Collection, Generator, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from napari_pathseg.engine.live.discriminant import FeatureSums, LabelledFeatures, LinearClassifier, solve
from napari_pathseg.engine.live.tile_features import Indices, TileFeatures
from napari_pathseg.geometry.arrays import BoolArray, Float32Array, Float64Array, UInt8Array

PER_CLASS = 600  # pixels of a tile; neighbours say the same, so more of them add time and little else
_REMEMBERED = 200  # of these for each class, to choose the penalty; of many tiles fewer
_MOST_REMEMBERED = 64 * _REMEMBERED  # pixels of a class, 13 MB
_JUDGED = 12_000  # remembered pixels that are used together
_BLOCK = 128  # pixels; parts of a single slide that are held out together
_FOLDS = 5
_PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # of standardised features, divided by the root of their scale's width
_TEMPERATURES = tuple(2.0**power for power in range(-5, 3))
_KINDS = 512  # labels, and whether they are corrections

_Codes = npt.NDArray[np.int64]  # of labelled pixels: place in the tile, label, and whether it is a correction


@dataclass(frozen=True)
class Strength:
    """What a fit needs beside its pixels: the penalty, and the scale of the logits that makes probabilities of them."""

    penalty: float = 0.03
    factor: float = 0.5


@dataclass(frozen=True)
class TileLabels:
    """The human-confirmed labels of a tile, and which of them are corrections, shape (rows, columns) of its region."""

    labels: UInt8Array
    corrected: BoolArray


@dataclass(frozen=True)
class _Sample:
    """Remembered pixels of a tile: half-precision features, classes from 1, and the blocks that they lie in.

    `places` counts the pixels of each class.
    """

    group: str
    features: npt.NDArray[np.float16]
    classes: UInt8Array
    blocks: Indices
    places: Indices

    def thinned(self, most: int) -> "_Sample":
        kept = self.places < most
        if kept.all():
            return self
        return _Sample(self.group, self.features[kept], self.classes[kept], self.blocks[kept], self.places[kept])


class LabelledTiles:
    """The labelled pixels of tiles, as sums of their features.

    Parameters
    ----------
    classes
        How many classes there are.
    widths
        How many features belong to each scale.
    corrected_weight
        The weight of a corrected pixel; others have 1.
    """

    def __init__(self, classes: int, widths: Sequence[int], corrected_weight: float = 1.0) -> None:
        self._widths, self._corrected_weight = tuple(widths), corrected_weight
        self.sums = FeatureSums(classes, sum(widths))
        self._codes: dict[Hashable, _Codes] = {}
        self._samples: dict[Hashable, _Sample] = {}
        self._remembered = _REMEMBERED

    def __contains__(self, key: Hashable) -> bool:
        return key in self._codes

    @property
    def pixels(self) -> float:
        """The labelled pixels that count, by weight."""
        return float(self.sums.weight.sum())

    def differs(self, key: Hashable, labels: TileLabels | None) -> bool:
        """Return whether the pixels of a tile that count are others than they were."""
        return not np.array_equal(self._codes.get(key, _NO_CODES), _codes(labels))

    def change(self, key: Hashable, group: str, labels: TileLabels | None, tile: TileFeatures) -> None:
        """Replace the labels of a tile; None takes them away.

        Parameters
        ----------
        key
            What the tile is known by.
        group
            The patient: slides of a group are held out together.
        labels
            Labels of the tile now.
        tile
            Its features, the same ones as before.
        """
        after, before = _codes(labels), self._codes.pop(key, _NO_CODES)
        self._samples.pop(key, None)
        for codes, sign in ((np.setdiff1d(before, after, True), -1.0), (np.setdiff1d(after, before, True), 1.0)):
            if len(codes):
                self.sums.add(self._pixels(codes, tile), sign)
        if len(after):
            self._codes[key] = after
            self._samples[key] = self._sample(group, after, tile)
            self._thin_samples()

    def fit(self, strength: Strength, classes: Collection[int] | None = None) -> LinearClassifier:
        """Return the classifier that fits, distinguishing the classes of these indices, all that occur by default."""
        (found,) = solve(self.sums, self._widths, [strength.penalty], classes)
        return found.scaled(strength.factor)

    def choose(self, classes: Collection[int] | None = None) -> Generator[None, None, Strength]:
        """Return what suits slides, or parts of a single one, that a fit has not seen; yield between the fits."""
        present = [index for index in self.sums.classes if classes is None or index in classes]
        features, labels, folds = self._judged(present)
        total, losses = self._sums_of(features, labels), np.zeros((len(_PENALTIES), len(_TEMPERATURES)))
        for fold in np.unique(folds):
            here = folds == fold
            others = total - self._sums_of(features[here], labels[here])
            if not set(present) <= set(others.classes):
                continue
            for row, classifier in zip(losses, solve(others, self._widths, _PENALTIES, present), strict=True):
                logits = classifier.logits(features[here])[:, present]
                row += [_balanced_loss(one * logits, labels[here], present) for one in _TEMPERATURES]
            yield
        if not losses.any():
            return Strength()
        penalty, factor = np.unravel_index(losses.argmin(), losses.shape)
        return Strength(_PENALTIES[penalty], _TEMPERATURES[factor])

    def chosen_strength(self) -> Strength:
        """Return the result of `choose`, all at once."""
        choosing = self.choose()
        while True:
            try:
                next(choosing)
            except StopIteration as end:
                strength: Strength = end.value
                return strength

    def _judged(self, present: Sequence[int]) -> tuple[Float32Array, UInt8Array, Indices]:
        """Return features, classes and folds of remembered pixels."""
        samples = list(self._samples.values())
        if not samples:
            return np.zeros((0, sum(self._widths)), np.float32), np.zeros(0, np.uint8), np.zeros(0, np.intp)
        names = sorted({sample.group for sample in samples})
        if len(names) > 1:
            parts = [np.full(len(s.classes), names.index(s.group) % _FOLDS) for s in samples]
        else:
            parts = [(s.blocks + number) % _FOLDS for number, s in enumerate(samples)]
        classes = np.concatenate([sample.classes for sample in samples])
        used = np.flatnonzero(np.isin(classes, [index + 1 for index in present]))
        used = used[:: 1 + len(used) // _JUDGED]
        features = np.concatenate([sample.features for sample in samples])[used].astype(np.float32)
        return features, classes[used], np.concatenate(parts)[used]

    def _sums_of(self, features: Float32Array, classes: UInt8Array) -> FeatureSums:
        sums = FeatureSums(*self.sums.first.shape)
        sums.add(LabelledFeatures(features, classes, np.ones(len(classes), np.float32)))
        return sums

    def _pixels(self, codes: _Codes, tile: TileFeatures) -> LabelledFeatures:
        features = tile.at(*np.divmod(codes // _KINDS, tile.region.width))
        weights = np.where(codes % 2, self._corrected_weight, 1.0).astype(np.float32)
        usable = np.isfinite(features).all(axis=1)
        return LabelledFeatures(features[usable], _labels_of(codes)[usable], weights[usable])

    def _sample(self, group: str, codes: _Codes, tile: TileFeatures) -> _Sample:
        labels, ranks = _labels_of(codes), _ranks(tile.region.height, tile.region.width)[codes // _KINDS]
        order = np.argsort(ranks)
        kept = [order[labels[order] == label][: self._remembered] for label in np.unique(labels)]
        places = np.concatenate([np.arange(len(of_class)) for of_class in kept])
        codes = codes[np.concatenate(kept)]
        rows, columns = np.divmod(codes // _KINDS, tile.region.width)
        features = tile.at(rows, columns)
        usable = np.isfinite(features).all(axis=1)
        blocks = rows // _BLOCK * 2 + columns // _BLOCK  # neighbours differ
        halved = features[usable].astype(np.float16)
        return _Sample(group, halved, _labels_of(codes)[usable], blocks[usable], places[usable])

    def _thin_samples(self) -> None:
        """Remember fewer pixels of each tile if there are many tiles."""
        while self._remembered > 1 and self._remembered * len(self._samples) > _MOST_REMEMBERED:
            self._remembered //= 2
            self._samples = {key: sample.thinned(self._remembered) for key, sample in self._samples.items()}


_NO_CODES: _Codes = np.empty(0, np.int64)


def _codes(labels: TileLabels | None) -> _Codes:
    """Return the pixels that count, in ascending order."""
    if labels is None:
        return _NO_CODES
    flat = labels.labels.ravel()
    at = np.sort(thinned(labels.labels, PER_CLASS))
    codes: _Codes = at.astype(np.int64) * _KINDS + flat[at] * np.int64(2) + labels.corrected.ravel()[at]
    return codes


def _labels_of(codes: _Codes) -> UInt8Array:
    labels: UInt8Array = (codes % _KINDS // 2).astype(np.uint8)
    return labels


def thinned(labels: UInt8Array, most: int) -> Indices:
    """Return the places, in the flattened array, of labelled pixels: of each class the first `most` by rank."""
    flat, chosen = labels.ravel(), [np.empty(0, np.intp)]
    ranks = _ranks(*labels.shape)
    for label in np.flatnonzero(np.bincount(flat)[1:]) + 1:
        places = np.flatnonzero(flat == label)
        if len(places) > most:
            places = places[np.argpartition(ranks[places], most)[:most]]
        chosen.append(places)
    return np.concatenate(chosen)


@lru_cache(maxsize=16)  # a megabyte each; tiles at the edge of a slide have other shapes
def _ranks(rows: int, columns: int) -> npt.NDArray[np.int32]:
    """Return the rank of each pixel of a tile, a fixed random one."""
    return np.random.default_rng(0).permutation(rows * columns).astype(np.int32)


def _balanced_loss(logits: Float64Array, classes: UInt8Array, present: Sequence[int]) -> float:
    """Return the cross-entropy, each class with the same weight."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    right = shifted[np.arange(len(classes)), np.searchsorted(present, classes - 1)]
    losses = np.log(np.exp(shifted).sum(axis=1)) - right
    return float(np.mean([losses[classes == label].mean() for label in np.unique(classes)]))
