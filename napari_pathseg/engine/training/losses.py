"""What training makes small: six losses over the labelled pixels alone.

Each is made of sums over a batch; a ratio is formed of them last.  So several processes
that add up their sums first get the loss of the whole batch.  A pixel's weight multiplies
all it adds to a sum: its entropy and the count it is divided by, its share of what is
found, and of what is there; an unlabelled pixel weighs nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from napari_pathseg.config import TrainConfig
from napari_pathseg.errors import ConfigError

AllReduce = Callable[[Tensor], Tensor]
_SMOOTH = 0.5  # pixels; of a class that hardly occurs, a few wrong pixels are no disaster
_SUREST = 1e-6  # least doubt of the focal loss, whose slope is endless at 0 for a small gamma


def build_loss(
    config: TrainConfig, pixels_by_class: Sequence[int], all_reduce: AllReduce = lambda sums: sums
) -> "Loss":
    """Return the loss of `config.loss`, by the class weights of `config.class_weights`.

    Parameters
    ----------
    config
        Its group *Loss* counts.
    pixels_by_class
        Labelled pixels of each class, Background first.
    all_reduce
        Adds up a vector over processes and lets gradients through; once for a batch.

    Raises
    ------
    ConfigError
        If `class_weights` is neither a known word nor a number for each class.
    """
    shares = class_weights(config.class_weights, pixels_by_class)
    parts: dict[str, tuple[LossTerm, ...]] = {
        "cross-entropy+dice": (FocalCrossEntropyLoss(shares), DiceTverskyLoss(shares)),
        "cross-entropy": (FocalCrossEntropyLoss(shares),),
        "dice": (DiceTverskyLoss(shares),),
        "focal": (FocalCrossEntropyLoss(shares, config.focal_gamma),),
        "tversky": (DiceTverskyLoss(shares, config.tversky_alpha),),
        "lovasz": (LovaszSoftmaxLoss(shares),),
    }
    return Loss(parts[config.loss], all_reduce)


def class_weights(text: str, pixels_by_class: Sequence[int]) -> tuple[float, ...]:
    """Return what a pixel of each class counts: "none", "balanced" by rarity, or numbers.

    Raises
    ------
    ConfigError
        If `text` is anything else, or tells another number of classes.
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
            f'class_weights is "{text}", which is {len(numbers)} for {classes} classes; '
            f"give {classes} numbers with commas between, Background first, or none or balanced."
        )
    if not any(numbers):
        raise ConfigError(f'class_weights is "{text}", so that no class counts; give one of them more than 0.')
    return numbers


def _number(part: str, text: str) -> float:
    try:
        value = float(part)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(
            f'class_weights is "{text}", in which "{part}" is no number from 0; '
            "give none, balanced, or a number for each class with commas between, such as 1,2.5."
        )
    return value


@dataclass(frozen=True)
class LossInputs:
    """What the parts of a loss look at.

    Attributes
    ----------
    log_p
        Logarithms of probabilities, shape (tiles, classes, rows, columns).
    weights
        What each pixel counts, 0 where unlabelled, shape (tiles, 1, rows, columns).
    truth
        `weights` in the channel of the true class, 0 in the others.
    """

    log_p: Tensor
    weights: Tensor
    truth: Tensor

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, weights: Tensor | None) -> "LossInputs":
        """Compute in float32 at least, whatever the logits are."""
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
        """What the pixels of each class count together."""
        return _by_class(self.truth)


class LossTerm(Protocol):
    """A loss, or a summand of one: sums over a batch, and the value they make."""

    def sums(self, batch: LossInputs) -> Tensor:
        """Return a vector that may be added up over parts of a batch."""

    def value(self, sums: Tensor) -> Tensor:
        """Return the loss that the sums over a whole batch make."""


@dataclass(frozen=True)
class Loss:
    """What a batch costs; 0, with gradients of 0, where nothing is labelled."""

    parts: tuple[LossTerm, ...]
    all_reduce: AllReduce

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Return the loss of a batch, float32 or finer.

        Parameters
        ----------
        logits
            Shape (tiles, classes, rows, columns); channel ``k`` is class ``k + 1``.
        labels
            Class indices, shape (tiles, rows, columns); 0, unlabelled, counts nowhere.
        weights
            What each pixel counts, same shape; None where all count alike.
        """
        batch = LossInputs.of(logits, labels, weights)
        sums = [part.sums(batch) for part in self.parts]
        whole = torch.split(self.all_reduce(torch.cat(sums)), [len(vector) for vector in sums])
        values = [part.value(vector) for part, vector in zip(self.parts, whole, strict=True)]
        return torch.stack(values).sum()


@dataclass(frozen=True)
class FocalCrossEntropyLoss:
    """Cross-entropy, a weighted mean over pixels; with a `gamma` the focal loss.

    The focal loss multiplies each pixel's entropy by ``(1 - p) ** gamma`` [1]_.

    References
    ----------
    .. [1] Lin et al., Focal loss for dense object detection, ICCV 2017.
    """

    shares: tuple[float, ...]
    gamma: float = 0.0

    def sums(self, batch: LossInputs) -> Tensor:
        """Return the entropies and the counts of each class."""
        entropy = batch.log_p * batch.truth
        if self.gamma > 0:
            entropy = entropy * (1 - batch.p).clamp(min=_SUREST) ** self.gamma
        return torch.cat([-_by_class(entropy), batch.true])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean."""
        entropy, count = sums.view(2, -1) @ sums.new_tensor(self.shares)
        return _ratio(entropy, count)


@dataclass(frozen=True)
class DiceTverskyLoss:
    """The Dice loss; with an `alpha` other than a half the Tversky loss.

    Over a batch, by class: 1 minus what is found rightly, divided by itself, `alpha` times
    what is found wrongly and ``1 - alpha`` times what is missed [1]_.  With a half that is Dice [2]_.
    The mean of the classes that occur, weighted by `shares`.

    References
    ----------
    .. [1] Salehi et al., Tversky loss function for image segmentation, MLMI 2017.
    .. [2] Milletari et al., V-Net, 3DV 2016.
    """

    shares: tuple[float, ...]
    alpha: float = 0.5

    def sums(self, batch: LossInputs) -> Tensor:
        """Return, by class, what is found rightly, what is found, and what is there."""
        return torch.cat([_by_class(batch.p * batch.truth), _by_class(batch.p * batch.weights), batch.true])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean of the classes."""
        shared, found, true = sums.view(3, -1)
        index = (shared + _SMOOTH) / (self.alpha * found + (1 - self.alpha) * true + _SMOOTH)
        occurs = (true > 0) * sums.new_tensor(self.shares)
        return _ratio(((1 - index) * occurs).sum(), occurs.sum())


@dataclass(frozen=True)
class LovaszSoftmaxLoss:
    """The Lovász-softmax loss: the convex extension of the Jaccard index [1]_.

    By tile, the mean of the classes that occur in it, weighted by `shares`; then the mean of the
    tiles.  Pixels are counted by their weights.

    References
    ----------
    .. [1] Berman, Rannen Triki, Blaschko, The Lovász-softmax loss, CVPR 2018.
    """

    shares: tuple[float, ...]

    def sums(self, batch: LossInputs) -> Tensor:
        """Return the losses of the labelled tiles, and their number."""
        weights = batch.weights.expand_as(batch.truth).flatten(2)
        truth = batch.truth.flatten(2)
        errors = ((truth > 0).to(batch.p.dtype) - batch.p.flatten(2)).abs()
        errors, order = errors.sort(dim=2, descending=True)
        with torch.no_grad():
            slope = _jaccard_slope(truth.gather(2, order), weights.gather(2, order))
            occurs = (truth.sum(dim=2) > 0) * truth.new_tensor(self.shares)
            count = occurs.sum(dim=1)
        by_tile = _ratio(((errors * slope).sum(dim=2) * occurs).sum(dim=1), count)
        return torch.stack([by_tile.sum(), (count > 0).sum().to(by_tile.dtype)])

    def value(self, sums: Tensor) -> Tensor:
        """Return the mean of the tiles."""
        return _ratio(sums[0], sums[1])


def _jaccard_slope(truth: Tensor, weights: Tensor) -> Tensor:
    """Return how much the Jaccard loss grows with each further wrong pixel, along the last axis."""
    missed = truth.cumsum(dim=2)
    whole = missed[..., -1:]
    union = whole + weights.cumsum(dim=2) - missed
    jaccard = 1 - _ratio(whole - missed, union)
    return jaccard.diff(dim=2, prepend=torch.zeros_like(whole))


def _by_class(values: Tensor) -> Tensor:
    return values.sum(dim=(0, 2, 3))


def _ratio(value: Tensor, count: Tensor) -> Tensor:
    """Return value / count, 0 where the count is: nothing counted, nothing lost."""
    return value / torch.where(count > 0, count, torch.ones_like(count))
