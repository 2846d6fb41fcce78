"""The rules of edits: how each one changes the label and the provenance of a pixel.

A model's pixels are marked as such until a person paints over, erases or accepts them, and a model
never overwrites human labels, so no model is trained on its own output.  Pixels of a locked class
never change, whether a person paints or a model predicts.  Arrays are labels and provenance of a
box, ``(2, rows, columns)``.
"""

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks.provenance import Provenance

Locked = frozenset[int]  # classes whose pixels never change
NONE_LOCKED: Locked = frozenset()


def training_labels(labels: UInt8Array, provenance: UInt8Array, complete: bool | BoolArray) -> UInt8Array:
    """Return the human-confirmed labels; where the annotation is `complete`, the rest is Background.

    Pixels that a person set to unlabelled, QuPath's *Ignore*, stay unlabelled.
    """
    rest = np.where(complete, np.uint8(BACKGROUND), np.uint8(UNLABELLED))
    return np.where(provenance >= Provenance.ACCEPTED, labels, rest).astype(np.uint8)


def with_implied_background(labels: UInt8Array, provenance: UInt8Array, complete: bool | BoolArray) -> UInt8Array:
    """Return the labels with what they imply: where the annotation is `complete`, unlabelled pixels are Background.

    Pixels that a person set to unlabelled, QuPath's *Ignore*, stay unlabelled.
    """
    implied = complete & (labels == UNLABELLED) & (provenance < Provenance.ACCEPTED)
    return np.where(implied, np.uint8(BACKGROUND), labels).astype(np.uint8)


def apply_paint(
    pixels: UInt8Array, wanted: UInt8Array, marked: BoolArray | None = None, locked: Locked = NONE_LOCKED
) -> UInt8Array:
    """Return a box after a person has painted the labels `wanted`.

    It paints the pixels whose label changes, and those of `marked` that were unlabelled or a
    model's.  A new label is *drawn* on unlabelled pixels and *corrected* over an import or a model.
    Erasing clears a pixel; erasing a class that a model predicted rejects it, and the pixel becomes
    Background, *corrected*.  Such a pixel stays so under the eraser, so a stroke that crosses itself
    has the same result as one that does not.
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
        predicted = (provenance == Provenance.MODEL) | (provenance == Provenance.ACCEPTED)
        rejected = erased & predicted & (labels > BACKGROUND)
        new_provenance[erased & ~rejected] = Provenance.NONE
        new_labels = np.where(rejected, np.uint8(BACKGROUND), wanted)
    return np.where(changed, np.stack([new_labels, new_provenance]), pixels)


def apply_model(
    pixels: UInt8Array, classes: UInt8Array, complete: bool | BoolArray = False, locked: Locked = NONE_LOCKED
) -> UInt8Array:
    """Return a box filled with a model's `classes` (0 for none), except where it is annotated.

    Where the annotation is `complete`, unlabelled pixels are annotated, too.
    """
    filled = (pixels[1] <= Provenance.MODEL) & (classes != UNLABELLED) & ~np.asarray(complete)
    if locked:
        filled &= ~_is_in(pixels[0], locked)
    return _set(pixels, filled, classes, Provenance.MODEL)


def apply_import(pixels: UInt8Array, wanted: UInt8Array, known: BoolArray) -> UInt8Array:
    """Return a box with imported labels where they are `known`, except over drawn or corrected pixels."""
    return _set(pixels, known & (pixels[1] <= Provenance.IMPORTED), wanted, Provenance.IMPORTED)


def reassign_provenance(
    pixels: UInt8Array, before: Provenance, after: Provenance, locked: Locked = NONE_LOCKED
) -> UInt8Array:
    """Return a box whose pixels of provenance `before` have `after`; with NONE they lose their labels."""
    labels, provenance = pixels
    wanted = provenance == before
    if locked:
        wanted &= ~_is_in(labels, locked)
    return _set(pixels, wanted, np.zeros_like(labels) if after is Provenance.NONE else labels, after)


def apply_clear(pixels: UInt8Array, label: int | None, locked: Locked = NONE_LOCKED) -> UInt8Array:
    """Return a box in which the pixels of a class are cleared: their label and provenance are 0.  None is any class."""
    cleared = pixels[1] != Provenance.NONE if label is None else pixels[0] == label
    if locked:
        cleared &= ~_is_in(pixels[0], locked)
    return _set(pixels, cleared, np.zeros_like(pixels[0]), Provenance.NONE)


def apply_replace(pixels: UInt8Array, label: int, into: int, complete: bool | BoolArray) -> UInt8Array:
    """Return a box in which the class `into` has the pixels of `label`.

    With `into` 0 they are cleared; where the annotation is `complete`, those that a person set stay without a label,
    so that they do not become Background.
    """
    labels, provenance = pixels
    found = labels == label
    kept = found if into != UNLABELLED else found & complete & (provenance >= Provenance.ACCEPTED)
    cleared = found & ~kept
    new_labels = np.where(found, np.uint8(into), labels)
    return np.stack([new_labels, np.where(cleared, np.uint8(Provenance.NONE), provenance)])


def apply_reversal(pixels: UInt8Array, before: UInt8Array, after: UInt8Array) -> UInt8Array:
    """Return a box after the undo or redo of an edit, which turns its pixels from `before` to `after`.

    What was changed by a model only, such as a prediction or its rejection, is turned back only where nothing else
    has changed it since; edits of a person, which may be undone before an earlier prediction, always.
    """
    changed = (before != after).any(axis=0)
    by_person = (before[1] > Provenance.MODEL) | (after[1] > Provenance.MODEL)
    return np.where(changed & (by_person | (pixels == before).all(axis=0)), after, pixels)


def _set(pixels: UInt8Array, flags: BoolArray, labels: UInt8Array, provenance: Provenance) -> UInt8Array:
    changed = np.stack([labels, np.full_like(pixels[1], provenance)])
    return np.where(flags, changed, pixels)


def _is_in(labels: UInt8Array, locked: Locked) -> BoolArray:
    table = np.zeros(256, bool)
    table[list(locked)] = True
    return table[labels]
