"""Acceptance of a model's pixels by the probability that a stored prediction gives to their class.

A probability that was asked for is reached by those of the 256 stored ones that are at least as high.  On a complete
slide, whose mask holds no pixels of a model, what counts are those at which a model differs and nobody has decided.
"""

import math

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.comparison import Opinion, differences
from napari_pathseg.masks.edits import change_labelled
from napari_pathseg.masks.label_rules import NONE_LOCKED, Locked
from napari_pathseg.masks.operations import MaskOperation
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.shapes import InRegion

Histogram = npt.NDArray[np.int64]  # pixels by class and stored probability, shape (256, 256)


def stored_threshold(share: float) -> int:
    """Return the lowest stored probability, 0 to 255, that is at least a share from 0 to 1."""
    return max(1, math.ceil(255 * share - 1e-9))


def probability_of(labels: UInt8Array, prediction: Prediction, region: Region) -> UInt8Array:
    """Return the stored probability of each pixel's class in a box, 0 where it has none or nothing was predicted."""
    found = np.zeros_like(labels)
    outputs = prediction.probabilities.shape[0]
    for label in np.flatnonzero(np.bincount(labels.ravel(), minlength=2)):
        if UNLABELLED < label <= outputs:
            there = labels == label
            found[there] = prediction.sample(int(label), region)[there]
    return found


def histogram(labels: UInt8Array, probability: UInt8Array, where: BoolArray) -> Histogram:
    """Return how many pixels of a box have a class and a probability, of those that are True in `where`."""
    pairs = labels[where].astype(np.intp) * 256 + probability[where]
    counted: Histogram = np.bincount(pairs, minlength=256 * 256).reshape(256, 256)
    return counted


def accept_confident(
    region: Region,
    prediction: Prediction,
    wanted: tuple[float, int | None],
    locked: Locked = NONE_LOCKED,
    inside: InRegion | None = None,
) -> MaskOperation:
    """Accept the model's pixels in `region` whose class has at least a probability.

    Parameters
    ----------
    region
        A box of the mask.
    prediction
        What a model has stored of the slide.
    wanted
        The least probability, 0 to 1, and the class; None for any class.
    locked
        Classes whose pixels stay as they are.
    inside
        Returns which pixels of a box count; None for all.
    """
    threshold, label = stored_threshold(wanted[0]), wanted[1]

    def change(box: Region, before: UInt8Array) -> UInt8Array:
        labels, provenance = before
        chosen = models_pixels(before, label, locked)
        if not chosen.any():
            return before
        sure = chosen & (probability_of(np.where(chosen, labels, np.uint8(UNLABELLED)), prediction, box) >= threshold)
        return np.stack([labels, np.where(sure, np.uint8(Provenance.ACCEPTED), provenance)])

    return change_labelled("Accepting", region, change, inside)


def sure_opinion(prediction: Prediction, wanted: tuple[float, int | None]) -> Opinion:
    """Return a model's opinion of a complete slide where it is sure; elsewhere it has none.

    Parameters
    ----------
    prediction
        What the model has stored of the slide.
    wanted
        The least probability, 0 to 1, and the class; None for any class.
    """
    threshold, label = stored_threshold(wanted[0]), wanted[1]

    def counts(box: Region, classes: UInt8Array) -> BoolArray:
        sure: BoolArray = probability_of(classes, prediction, box) >= threshold
        return sure if label is None else sure & (classes == label)

    return Opinion(prediction.shape, prediction, counts)


def waiting_classes(
    pixels: UInt8Array, prediction: Prediction, region: Region, locked: Locked, *, complete: bool
) -> UInt8Array:
    """Return the class of each pixel of a box that waits to be accepted, 0 of others.

    Parameters
    ----------
    pixels
        Labels and provenance of the box.
    prediction
        What a model has stored of the slide.
    region
        Where the box lies on the mask's grid.
    locked
        Classes whose pixels stay as they are.
    complete
        Whether the slide is complete.
    """
    if not complete:
        return np.where(models_pixels(pixels, None, locked), pixels[0], np.uint8(UNLABELLED))
    found = prediction.read(region)
    mine, differs = differences(pixels, found)
    return np.where(differs & ~np.isin(mine, list(locked)), found, np.uint8(UNLABELLED))


def models_pixels(pixels: UInt8Array, label: int | None, locked: Locked) -> BoolArray:
    """Return the pixels of a box that are a model's, of a class or of any, and not locked."""
    labels, provenance = pixels
    chosen: BoolArray = (provenance == Provenance.MODEL) & ~np.isin(labels, list(locked))
    return chosen if label is None else chosen & (labels == label)
