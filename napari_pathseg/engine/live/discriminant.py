"""Penalised linear discriminant analysis of labelled pixels, from sums to which pixels come and go.

All that it needs of the pixels are sums, class by class: their number, the sum of their features, and the sum of the
products of each two features.  Sums add up, so annotations can come and go at a cost that does not grow with what is
there already.  For two classes it is the ridge regression of the one against the other; of more classes, regression
hides one that lies between two others.

Features are standardised, and each scale of the encoder has the same weight in the penalty, whatever its number
of features: on 8 pictures of glands with six strokes a class, Dice on held-out patients is 0.942 to 0.946 so, 0.914
to 0.934 with the same penalty for each feature.

Arrays go in and come out.  torch does the linear algebra, as its threads wait for each other without spinning: on two
cores shared with two other programs, 515 features take 10 ms with its Cholesky solver, 140 with numpy's.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from napari_pathseg.geometry.arrays import Float32Array, Float64Array, UInt8Array

_MIN_STD = 1e-6
NEVER = -1e4  # the bias of a class that is not predicted


@dataclass(frozen=True)
class LabelledFeatures:
    """Labelled pixels of a tile: features (n, numbers), classes (n,) from 1, and their weights (n,)."""

    features: Float32Array
    classes: UInt8Array
    weights: Float32Array


class FeatureSums:
    """The sums over labelled pixels that a fit needs, for each class, from 1.

    Parameters
    ----------
    classes, numbers
        How many classes and features there are.
    """

    def __init__(self, classes: int, numbers: int) -> None:
        self.weight: Float64Array = np.zeros(classes)
        self.first: Float64Array = np.zeros((classes, numbers))
        self.second: dict[int, Float64Array] = {}  # by class, where it occurs

    def add(self, pixels: LabelledFeatures, sign: float = 1.0) -> None:
        """Add the pixels of a tile, or with a `sign` of -1 take them away."""
        for label in np.unique(pixels.classes):
            here = pixels.classes == label
            rows = pixels.features[here].astype(np.float64)
            weighted = rows * (sign * pixels.weights[here, None])
            products = torch.from_numpy(weighted).T @ torch.from_numpy(rows)
            index = int(label) - 1
            self.weight[index] += sign * pixels.weights[here].sum(dtype=np.float64)
            self.first[index] += weighted.sum(axis=0)
            self.second[index] = self.second.get(index, 0.0) + products.numpy()

    def __add__(self, other: "FeatureSums") -> "FeatureSums":
        return self._plus(other, 1.0)

    def __sub__(self, other: "FeatureSums") -> "FeatureSums":
        return self._plus(other, -1.0)

    def _plus(self, other: "FeatureSums", sign: float) -> "FeatureSums":
        total = FeatureSums(*self.first.shape)
        total.weight, total.first = self.weight + sign * other.weight, self.first + sign * other.first
        for index in self.second.keys() | other.second.keys():
            total.second[index] = np.add(self.second.get(index, 0.0), sign * other.second.get(index, 0.0))
        return total

    @property
    def classes(self) -> list[int]:
        """The indices of the classes that have pixels."""
        return [int(index) for index in np.flatnonzero(self.weight > 1e-9)]


@dataclass(frozen=True)
class LinearClassifier:
    """Logits of the classes: features @ weights.T + bias."""

    weights: Float64Array
    bias: Float64Array

    def logits(self, features: Float32Array) -> Float64Array:
        """Return the logits (n, classes) of features (n, numbers)."""
        found: Float64Array = features.astype(np.float64) @ self.weights.T + self.bias
        return found

    def scaled(self, factor: float) -> "LinearClassifier":
        """Return the classifier whose logits are `factor` times as large."""
        bias = np.where(self.bias <= NEVER, self.bias, factor * self.bias)
        return LinearClassifier(factor * self.weights, bias)


def solve(
    sums: FeatureSums, widths: Sequence[int], penalties: Sequence[float], classes: Collection[int] | None = None
) -> list[LinearClassifier]:
    """Return the discriminants of the classes for each penalty; every class that has pixels weighs the same.

    Parameters
    ----------
    sums
        Sums over the labelled pixels.
    widths
        How many features belong to each scale, in order.
    penalties
        What is added to the variance of the standardised features within the classes.
    classes
        The indices of the classes that are distinguished, those of `sums` by default; others are never predicted.
    """
    present = [index for index in sums.classes if classes is None or index in classes]
    share = np.zeros(len(sums.weight))
    share[present] = 1 / (len(present) * sums.weight[present])
    mean = share @ sums.first
    second = np.sum([share[index] * sums.second[index] for index in present], axis=0)
    covariance = second - np.outer(mean, mean)
    deviations = sums.first[present] / sums.weight[present, None] - mean
    within = covariance - deviations.T @ deviations / len(present)
    levels = np.repeat(np.sqrt(np.asarray(widths, float)), widths)
    scale = levels * np.sqrt(np.diag(covariance).clip(min=_MIN_STD**2))
    standardised = _solved(within / np.outer(scale, scale), deviations / scale, penalties)
    found = []
    for coefficients in (each / scale for each in standardised):
        weights, bias = np.zeros((len(share), len(mean))), np.full(len(share), NEVER)
        weights[present] = coefficients
        bias[present] = -(coefficients @ mean) - (coefficients * deviations).sum(axis=1) / 2
        found.append(LinearClassifier(weights, bias))
    return found


def novelty_of(features: Float32Array, sums: FeatureSums, penalty: float = 0.1) -> Float64Array:
    """Return how unlike all that is labelled features (n, numbers) are, 0 to 1, shape (n,).

    It is judged by the distance to the nearest class, in the spread of features within the classes: 0 up to the
    median of all that are given, 1 from four times of it on.  Without labels, nothing is unlike them.
    """
    present = sums.classes
    if not present or not len(features):
        return np.zeros(len(features))
    means = sums.first[present] / sums.weight[present, None]
    second = np.mean([sums.second[index] / sums.weight[index] for index in present], axis=0)
    within = second - means.T @ means / len(present)
    scale = np.sqrt(np.diag(within).clip(min=_MIN_STD**2))
    square = torch.from_numpy(within / np.outer(scale, scale))
    factor = torch.linalg.cholesky(square + penalty * torch.eye(len(square), dtype=square.dtype))
    distances = []
    for mean in means:
        away = torch.from_numpy(((features - mean) / scale).T)
        distances.append(torch.linalg.solve_triangular(factor, away, upper=False).square().sum(dim=0).numpy())
    nearest = np.min(distances, axis=0)
    usual = max(float(np.median(nearest)), _MIN_STD)
    found: Float64Array = (np.log2(nearest.clip(min=_MIN_STD) / usual) / 2).clip(0, 1)
    return found


def _solved(matrix: Float64Array, targets: Float64Array, penalties: Sequence[float]) -> Iterator[Float64Array]:
    """Yield the rows x for which x @ (matrix + penalty * 1) is `targets`; many penalties cost little more than one."""
    square, wanted = torch.from_numpy(matrix), torch.from_numpy(np.ascontiguousarray(targets.T))
    if len(penalties) == 1:
        factor = torch.linalg.cholesky(square + penalties[0] * torch.eye(len(square), dtype=square.dtype))
        yield torch.cholesky_solve(wanted, factor).T.numpy()
        return
    values, vectors = torch.linalg.eigh(square)
    projected = wanted.T @ vectors
    for penalty in penalties:
        yield (projected / (values.clamp(min=0) + penalty) @ vectors.T).numpy()
