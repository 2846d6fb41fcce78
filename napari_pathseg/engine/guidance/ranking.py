"""Choice of patches to annotate: those whose labels would leave the least doubt in all unlabelled tissue.

The live model is linear in its features, so how much a label here says about a pixel there is known before it is
drawn: the features that both share, in directions of which no label has said anything yet (the posterior variance of
Bayesian regression).  A patch is worth the variance that its label would take from all patches, each weighted with how
unsure a model is of it.  Patches are chosen one after another, each as if those before it were labelled, so that one
doubt is not asked twenty times (transductive experimental design: Yu, Bi and Tresp, ICML 2006).

With three places a round of a simulated annotator, the mean of eight beginnings, 95 % of the Dice with all labels takes
0.72 (glands) and 0.86 (tumour) of the area that random places take, 0.92 and 0.72 of random ones in what a model finds.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from napari_pathseg.engine.live.discriminant import FeatureSums
from napari_pathseg.geometry.arrays import Float32Array, Float64Array

_NEAR = 2.5  # sides of a patch within which another one of the same slide shows much the same
_PIXELS = 1000.0  # labelled ones that say as much as one independent label; neighbours say the same
_NOISE, _PRIOR = 1.0, 4.0  # variance of a label, and precision of each direction before any label
_LEAST_DOUBT = 0.1  # that counts of a patch: a model that is sure may be wrong
_MOST_JUDGED = 1024  # patches whose variance counts
_MIN_STD, _FARTHEST = 1e-6, 2.5  # standard deviations beyond which a patch is no farther from the others


class Description(NamedTuple):
    """What is known of each of n patches.

    Attributes
    ----------
    doubt
        Shape (n,): 1 where a model cannot decide between two classes, 0 where it is sure.
    share
        Shape (n,): the part of it that is unlabelled tissue.
    features
        Shape (n, numbers): its mean features.
    slides, centres
        Shape (n,) and (n, 2): the number of its slide, and where it lies there, in sides of a patch.
    """

    doubt: Float64Array
    share: Float64Array
    features: Float32Array
    slides: Float64Array
    centres: Float64Array


def choose(patches: Description, labelled: FeatureSums, widths: Sequence[int], count: int) -> list[int]:
    """Return the indices of at most `count` patches in the order in which to annotate them, without worthless ones.

    Parameters
    ----------
    patches
        The patches to choose from.
    labelled
        Sums over the labelled pixels.
    widths
        How many features belong to each scale, in order; each scale counts the same.
    count
        The most patches.
    """
    weight = (patches.doubt + _LEAST_DOUBT) * patches.share
    if not len(weight) or count < 1:
        return []
    places = _in_posterior(patches.features, labelled, widths)
    judged = slice(None, None, 1 + len(weight) // _MOST_JUDGED)
    free, chosen = weight > 0, list[int]()
    while len(chosen) < count and free.any():
        variance = places.square().sum(dim=1)
        shared = (places @ places[judged].T).square() @ torch.from_numpy(weight[judged])
        gain = np.where(free, (shared / (_NOISE + variance)).numpy(), -np.inf)
        best = int(gain.argmax())
        chosen.append(best)
        near = np.abs(patches.centres - patches.centres[best]).max(axis=1) < _NEAR
        free &= ~(near & (patches.slides == patches.slides[best]))
        free[best] = False
        if variance[best] > 0:  # what its label would leave of all variances
            left = 1 - (_NOISE / (_NOISE + variance[best])).sqrt()
            places = places - torch.outer(places @ places[best], places[best]) * (left / variance[best])
    return chosen


def _in_posterior(features: Float32Array, labelled: FeatureSums, widths: Sequence[int]) -> torch.Tensor:
    """Return vectors of patches whose products are the covariances of what the live model would say of them."""
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    levels = np.repeat(np.sqrt(np.asarray(widths, float)), widths)
    scale = levels * wide.std(axis=0).clip(min=_MIN_STD)
    precision = _PRIOR * np.eye(len(mean))
    for index in labelled.classes:
        crossed = np.outer(labelled.first[index], mean)
        around = labelled.second[index] - crossed - crossed.T + labelled.weight[index] * np.outer(mean, mean)
        precision += around / np.outer(scale, scale) / _PIXELS
    factor = torch.linalg.cholesky(torch.from_numpy(precision))
    deviations = (wide - mean) / wide.std(axis=0).clip(min=_MIN_STD)
    standardised = torch.from_numpy((deviations.clip(-_FARTHEST, _FARTHEST) / levels).T)
    places: torch.Tensor = torch.linalg.solve_triangular(factor, standardised, upper=False).T.contiguous()
    return places
