"""Provenance: who set each pixel of a mask, and pixel counts by class and provenance."""

from enum import IntEnum
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.storage.json_schema import Count

Counts = npt.NDArray[np.int64]  # pixels by class (0 to 255) and provenance


class Provenance(IntEnum):
    """Who set a pixel of a mask."""

    NONE = 0
    MODEL = 1
    ACCEPTED = 2
    IMPORTED = 3
    DRAWN = 4
    CORRECTED = 5


_KINDS = len(Provenance)
_KEY = rf"^(\d\d?|1\d\d|2[0-4]\d|25[0-5]),[0-{_KINDS - 1}]$"
StoredCounts = dict[Annotated[str, Meta(pattern=_KEY)], Count]  # pixels by "class,provenance"


def is_uniform(pixels: UInt8Array) -> bool:
    """Return whether every plane is constant (true for most chunks, and cheap to check)."""
    planes = pixels if pixels.ndim > 2 else pixels[None]
    return pixels.size > 0 and all(plane.min() == plane.max() for plane in planes)


def count(labels: UInt8Array, provenance: UInt8Array) -> Counts:
    """Return the number of pixels by class (0 to 255) and provenance."""
    if is_uniform(labels) and is_uniform(provenance):
        counts = np.zeros((256, _KINDS), np.int64)
        counts[labels.flat[0], min(int(provenance.flat[0]), _KINDS - 1)] = labels.size
        return counts
    pairs = labels.astype(np.intp) * _KINDS + np.minimum(provenance, _KINDS - 1)
    return np.bincount(pairs.ravel(), minlength=256 * _KINDS).reshape(256, _KINDS)


def with_implied_background_count(counts: Counts, shape: tuple[int, int]) -> Counts:
    """Return the counts of a complete mask of `shape`: what is not annotated is Background, of provenance *none*."""
    full = counts.copy()
    full[UNLABELLED, : Provenance.ACCEPTED] = 0
    full[BACKGROUND, Provenance.NONE] += shape[0] * shape[1] - full.sum()
    return full


def counts_to(counts: Counts) -> StoredCounts:
    """Return the non-zero counts as JSON values."""
    return {f"{label},{kind}": int(counts[label, kind]) for label, kind in zip(*np.nonzero(counts), strict=True)}


def counts_from(saved: StoredCounts) -> Counts:
    """Return the counts from the JSON values of :func:`counts_to`."""
    counts = np.zeros((256, _KINDS), np.int64)
    for key, number in saved.items():
        label, kind = map(int, key.split(","))
        counts[label, kind] = number
    return counts
