"""Loss functions over labelled pixels only.

Each loss is a ratio of sums over a batch, taken last.  Processes that share a batch add up
their sums first, and so get the loss of the whole batch.  A pixel's weight multiplies all its
contributions to the sums: cross-entropy and count, predicted and true area.  An unlabelled
pixel has weight 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import ConfigError
from napari_pathseg.geometry.arrays import UInt8Array

AllReduce = Callable[[Tensor], Tensor]
_SMOOTH = 0.5  # pixels; a few wrong pixels of a class that hardly occurs then cost little
_MIN_PROBABILITY = 1e-12  # in validation; float32 rounds smaller ones to 0, whose logarithm is infinite
_MIN_DOUBT = 1e-6  # lower bound of 1 - p in the focal loss, whose gradient is infinite at 0 for gamma below 1


def build_loss(
    config: TrainConfig, pixels_by_class: Sequence[int], all_reduce: AllReduce = lambda sums: sums
) -> "Loss":
    """Return the loss function `config.loss`, weighted by `config.class_weights`.

    Parameters
    ----------
    config
        Only its group *Loss* is used.
    pixels_by_class
        Labelled pixels of each class, Background first.
    all_reduce
        Adds up a vector over processes, differentiably; called once for each batch.

    Raises
    ------
    ConfigError
        If `class_weights` is neither "none" nor "balanced" nor a number for each class.
    """
    weights = class_weights(config.class_weights, pixels_by_class)
    terms: dict[str, tuple[LossTerm, ...]] = {
        "cross-entropy+dice": (FocalCrossEntropyLoss(weights), DiceTverskyLoss(weights)),
        "cross-entropy": (FocalCrossEntropyLoss(weights),),
        "dice": (DiceTverskyLoss(weights),),
        "focal": (FocalCrossEntropyLoss(weights, config.focal_gamma),),
        "tversky": (DiceTverskyLoss(weights, config.tversky_alpha),),
        "lovasz": (LovaszSoftmaxLoss(weights),),
    }
    return Loss(terms[config.loss], all_reduce)


def class_weights(text: str, pixels_by_class: Sequence[int]) -> tuple[float, ...]:
    """Return the weight of each class's pixels, read from a setting.

    The setting is "none" for equal weights, "balanced" for inverse frequency, or a list of numbers.

    Raises
    ------
    ConfigError
        If `text` is anything else, or has another number of classes.
    """
    classes = len(pixels_by_class)
    word = text.strip().casefold()
    if word == "none":
        return (1.0,) * classes
    if word == "balanced":
        present = [pixels for pixels in pixels_by_class if pixels > 0]
        return tuple(sum(present) / (len(present) * pixels) if pixels > 0 else 1.0 for pixels in pixels_by_class)
    numbers = tuple(_number(part.strip(), text) for part in text.split(","))
    if len(numbers) != classes:
        raise ConfigError(
            f'class_weights is "{text}": {len(numbers)} for {classes} classes. '
            f"Give {classes} numbers separated by commas, Background first, or none or balanced."
        )
    if not any(numbers):
        raise ConfigError(f'class_weights is "{text}": all are 0. Give at least one class a weight above 0.')
    return numbers


def _number(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(
            f'class_weights is "{text}": "{part}" is not a number of 0 or more. '
            "Give none, balanced, or a number for each class separated by commas, such as 1,2.5."
        )
    return value


@dataclass(frozen=True)
class LossInputs:
    """Inputs that the terms of a loss share.

    Attributes
    ----------
    log_p
        Logarithms of probabilities, shape (tiles, classes, rows, columns).
    weights
        Weight of each pixel, 0 where unlabelled, shape (tiles, 1, rows, columns).
    truth
        `weights` in the channel of the true class, 0 in the others; shape of `log_p`.
    """

    log_p: Tensor
    weights: Tensor
    truth: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, weights: Tensor | None) -> "LossInputs":
        """Compute the inputs in float32 or finer, whatever the type of the logits."""
        log_p = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=1)
        labels = labels.unsqueeze(1)
        numbers = torch.arange(1, log_p.shape[1] + 1, dtype=labels.dtype, device=labels.device)
        truth = (labels == numbers.view(1, -1, 1, 1)).to(log_p.dtype)
        known = (labels > 0).to(log_p.dtype)
        if weights is None:
            return cls(log_p, known, truth)
        weights = weights.unsqueeze(1).to(log_p.dtype)
        return cls(log_p, known * weights, truth * weights)

    @cached_property
    def p(self) -> Tensor:
        """Probabilities."""
        return self.log_p.exp()

    @cached_property
    def true(self) -> Tensor:
        """Total weight of the pixels of each class."""
        return _sum_by_class(self.truth)


class LossTerm(Protocol):
    """A loss, or one of its summands: sums over a batch, and the value computed from them."""

    def sums(self, batch: LossInputs) -> Tensor:
        """Return a vector of sums, which add up over the parts of a batch."""

    def value(self, sums: Tensor) -> Tensor:
        """Return the loss from the sums over a whole batch."""


@dataclass(frozen=True)
class Loss:
    """The loss of a batch: the sum of its terms; 0, with gradients of 0, if nothing is labelled."""

    terms: tuple[LossTerm, ...]
    all_reduce: AllReduce

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, float32 or finer.

        Parameters
        ----------
        logits
            Shape (tiles, classes, rows, columns); channel ``k`` is class ``k + 1``.
        labels
            Class indices, shape (tiles, rows, columns); 0 is unlabelled and ignored.
        weights
            Weight of each pixel, same shape; None if all weigh the same.
        """
        batch = LossInputs.of(logits, labels, weights)
        sums = [term.sums(batch) for term in self.terms]
        return self.value(torch.split(self.all_reduce(torch.cat(sums)), [len(vector) for vector in sums]))

    def value(self, sums: Sequence[Tensor]) -> Tensor:
        """Return the loss from the sums of each term over a whole batch."""
        return torch.stack([term.value(vector) for term, vector in zip(self.terms, sums, strict=True)]).sum()


class ValidationLoss:
    """The loss over all held-out tiles of a validation: that of training, but each labelled pixel has weight 1.

    Parameters
    ----------
    config, pixels_by_class
        As for :func:`build_loss`.
    """

    def __init__(self, config: TrainConfig, pixels_by_class: Sequence[int]) -> None:
        self._loss = build_loss(config, pixels_by_class)
        self._sums: list[Tensor] = []

    @torch.inference_mode()
    def add(self, probabilities: Tensor, labels: UInt8Array) -> None:
        """Add a tile: class probabilities, shape (classes, rows, columns), and labels, 0 where unlabelled."""
        logits = probabilities.clamp(min=_MIN_PROBABILITY).log()
        truth = torch.from_numpy(np.ascontiguousarray(labels)).to(logits.device)
        batch = LossInputs.of(logits[None], truth[None], None)
        sums = [term.sums(batch).cpu().double() for term in self._loss.terms]
        self._sums = [one + other for one, other in zip(self._sums, sums, strict=True)] if self._sums else sums

    @property
    def value(self) -> float | None:
        """The loss over the tiles so far; None without any."""
        return float(self._loss.value(self._sums)) if self._sums else None


@dataclass(frozen=True)
class FocalCrossEntropyLoss:
    """Cross-entropy, averaged over weighted pixels; with a `gamma` above 0 the focal loss.

    The focal loss multiplies the cross-entropy of each pixel by ``(1 - p) ** gamma`` [1]_.

    References
    ----------
    .. [1] Lin et al., Focal loss for dense object detection, ICCV 2017.
    """

    class_weights: tuple[float, ...]
    gamma: float = 0.0

    def sums(self, batch: LossInputs) -> Tensor:
        """Return the cross-entropy and the count of each class."""
        entropy = batch.log_p * batch.truth
        if self.gamma > 0:
            entropy = entropy * (1 - batch.p).clamp(min=_MIN_DOUBT) ** self.gamma
        return torch.cat([-_sum_by_class(entropy), batch.true])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean over pixels."""
        entropy, count = sums.view(2, -1) @ sums.new_tensor(self.class_weights)
        return _ratio(entropy, count)


@dataclass(frozen=True)
class DiceTverskyLoss:
    """The Dice loss; with an `alpha` other than a half the Tversky loss.

    For each class over the batch: ``1 - TP / (TP + alpha * FP + (1 - alpha) * FN)`` [1]_, which
    is Dice for a half [2]_.  The loss is the mean of the classes that occur, weighted by
    `class_weights`.

    References
    ----------
    .. [1] Salehi et al., Tversky loss function for image segmentation, MLMI 2017.
    .. [2] Milletari et al., V-Net, 3DV 2016.
    """

    class_weights: tuple[float, ...]
    alpha: float = 0.5

    def sums(self, batch: LossInputs) -> Tensor:
        """Return true positives, predicted area and true area of each class."""
        return torch.cat([_sum_by_class(batch.p * batch.truth), _sum_by_class(batch.p * batch.weights), batch.true])

    def value(self, sums: Tensor) -> Tensor:
        """Return the weighted mean over classes."""
        hit, predicted, true = sums.view(3, -1)
        index = (hit + _SMOOTH) / (self.alpha * predicted + (1 - self.alpha) * true + _SMOOTH)
        occurs = (true > 0) * sums.new_tensor(self.class_weights)
        return _ratio(((1 - index) * occurs).sum(), occurs.sum())


@dataclass(frozen=True)
class LovaszSoftmaxLoss:
    """The Lovász-softmax loss: the convex extension of the Jaccard index [1]_.

    For each tile the mean of the classes that occur in it, weighted by `class_weights`; then the
    mean of the tiles.  Pixels count by their weights.

    References
    ----------
    .. [1] Berman, Rannen Triki, Blaschko, The Lovász-softmax loss, CVPR 2018.
    """

    class_weights: tuple[float, ...]

    def sums(self, batch: LossInputs) -> Tensor:
        """Return the summed loss of the labelled tiles, and their number."""
        weights = batch.weights.expand_as(batch.truth).flatten(2)
        truth = batch.truth.flatten(2)
        errors = ((truth > 0).to(batch.p.dtype) - batch.p.flatten(2)).abs()
        errors, order = errors.sort(dim=2, descending=True)
        with torch.no_grad():
            gradient = _jaccard_gradient(truth.gather(2, order), weights.gather(2, order))
            occurs = (truth.sum(dim=2) > 0) * truth.new_tensor(self.class_weights)
            count = occurs.sum(dim=1)
        by_tile = _ratio(((errors * gradient).sum(dim=2) * occurs).sum(dim=1), count)
        return torch.stack([by_tile.sum(), (count > 0).sum().to(by_tile.dtype)])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean over tiles."""
        return _ratio(sums[0], sums[1])


def _jaccard_gradient(truth: Tensor, weights: Tensor) -> Tensor:
    """Return the increase of the Jaccard loss with each further wrong pixel, along the last axis."""
    missed = truth.cumsum(dim=2)
    whole = missed[..., -1:]
    union = whole + weights.cumsum(dim=2) - missed
    jaccard = 1 - _ratio(whole - missed, union)
    return jaccard.diff(dim=2, prepend=torch.zeros_like(whole))


def _sum_by_class(values: Tensor) -> Tensor:
    return values.sum(dim=(0, 2, 3))


def _ratio(value: Tensor, count: Tensor) -> Tensor:
    """Return value / count, and 0 where the count is 0."""
    return value / torch.where(count > 0, count, torch.ones_like(count))
