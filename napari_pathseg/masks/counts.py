"""Provenance, which says who set a pixel of a mask, and pixel counts by class and provenance."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry.arrays import UInt8Array

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


def counts_to(counts: Counts) -> dict[str, int]:
    """Return the non-zero counts as JSON values."""
    return {f"{label},{kind}": int(counts[label, kind]) for label, kind in zip(*np.nonzero(counts), strict=True)}


def counts_from(saved: dict[str, int]) -> Counts:
    """Return the counts from the JSON values of :func:`counts_to`."""
    counts = np.zeros((256, _KINDS), np.int64)
    for key, number in saved.items():
        label, kind = map(int, key.split(","))
        counts[label, kind] = number
    return counts
