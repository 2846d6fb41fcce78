"""The rules that keep training honest: what becomes of a pixel's label and of who set it.

A model's pixels are known as such until a person paints over, erases or accepts them, and a
model never overwrites a person.  Pixels of a class that a person locked stay as they are,
whoever paints and whatever a model finds.  Arrays here are labels and provenance of a box,
``(2, rows, columns)``.
"""

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.counts import Provenance

Locked = frozenset[int]  # classes whose pixels stay as they are
NONE_LOCKED: Locked = frozenset()


def training_labels(labels: UInt8Array, provenance: UInt8Array, complete: bool | BoolArray) -> UInt8Array:
    """Return the labels that a person stands for; where it is `complete` the rest is Background.

    What a person declared unlabelled, QuPath's *Ignore*, stays so.
    """
    rest = np.where(complete, np.uint8(BACKGROUND), np.uint8(UNLABELLED))
    return np.where(provenance >= Provenance.ACCEPTED, labels, rest).astype(np.uint8)


def apply_paint(
    pixels: UInt8Array, wanted: UInt8Array, marked: BoolArray | None = None, locked: Locked = NONE_LOCKED
) -> UInt8Array:
    """Return a box after a person painted the labels `wanted`.

    Painted are the pixels whose label changes, and those of `marked` that were nobody's or a
    model's.  A new label is *drawn* on free ground and *corrected* over an import or a model.
    Erasing frees a pixel, but erasing what a model found says that it is none of it:
    Background, corrected; that stays under the eraser, so that a stroke which crosses itself
    says the same as one that does not.
    """
    labels, provenance = pixels
    changed = wanted != labels
    if marked is not None:
        changed |= marked & (provenance <= Provenance.ACCEPTED) & (wanted != UNLABELLED)
    if locked:
        changed &= ~_is_in(labels, locked)
    by_hand = (provenance == Provenance.NONE) | (provenance == Provenance.DRAWN)
    new_provenance = np.where(by_hand, np.uint8(Provenance.DRAWN), np.uint8(Provenance.CORRECTED))
    new_labels = wanted
    if (wanted == UNLABELLED).any():
        changed &= ~((wanted == UNLABELLED) & (labels == BACKGROUND) & (provenance == Provenance.CORRECTED))
        erased = changed & (wanted == UNLABELLED)
        found = (provenance == Provenance.MODEL) | (provenance == Provenance.ACCEPTED)
        refuted = erased & found & (labels > BACKGROUND)
        new_provenance[erased & ~refuted] = Provenance.NONE
        new_labels = np.where(refuted, np.uint8(BACKGROUND), wanted)
    return np.where(changed, np.stack([new_labels, new_provenance]), pixels)


def apply_model(
    pixels: UInt8Array, classes: UInt8Array, complete: bool | BoolArray = False, locked: Locked = NONE_LOCKED
) -> UInt8Array:
    """Return a box after a model said `classes`, 0 where it has none: nothing where a person has spoken.

    Where it is `complete` a person has, without a label too.
    """
    filled = (pixels[1] <= Provenance.MODEL) & (classes != UNLABELLED) & ~np.asarray(complete)
    if locked:
        filled &= ~_is_in(pixels[0], locked)
    return _set(pixels, filled, classes, Provenance.MODEL)


def apply_import(pixels: UInt8Array, wanted: UInt8Array, known: BoolArray) -> UInt8Array:
    """Return a box after an expert's labels came in where they are `known`: not over what was drawn or corrected."""
    return _set(pixels, known & (pixels[1] <= Provenance.IMPORTED), wanted, Provenance.IMPORTED)


def reassign_provenance(
    pixels: UInt8Array, before: Provenance, after: Provenance, locked: Locked = NONE_LOCKED
) -> UInt8Array:
    """Return a box in which pixels of one provenance have another; with none they lose their labels."""
    labels, provenance = pixels
    wanted = provenance == before
    if locked:
        wanted &= ~_is_in(labels, locked)
    return _set(pixels, wanted, np.zeros_like(labels) if after is Provenance.NONE else labels, after)


def apply_clear(pixels: UInt8Array, label: int | None, locked: Locked = NONE_LOCKED) -> UInt8Array:
    """Return a box without a class, or with None without all: as if nobody had ever said it."""
    gone = pixels[1] != Provenance.NONE if label is None else pixels[0] == label
    if locked:
        gone &= ~_is_in(pixels[0], locked)
    return _set(pixels, gone, np.zeros_like(pixels[0]), Provenance.NONE)


def _set(pixels: UInt8Array, flags: BoolArray, labels: UInt8Array, provenance: Provenance) -> UInt8Array:
    changed = np.stack([labels, np.full_like(pixels[1], provenance)])
    return np.where(flags, changed, pixels)


def _is_in(labels: UInt8Array, locked: Locked) -> BoolArray:
    table = np.zeros(256, bool)
    table[list(locked)] = True
    return table[labels]
