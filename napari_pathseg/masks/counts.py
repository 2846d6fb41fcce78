"""Who set the pixels of a mask, and how many there are of each class."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from napari_pathseg.masks.chunk_files import is_uniform

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


def count(labels: npt.NDArray[np.uint8], provenance: npt.NDArray[np.uint8]) -> Counts:
    """Return the number of pixels by class (0 to 255) and provenance."""
    if is_uniform(labels) and is_uniform(provenance):
        counts = np.zeros((256, _KINDS), np.int64)
        counts[labels.flat[0], min(int(provenance.flat[0]), _KINDS - 1)] = labels.size
        return counts
    pairs = labels.astype(np.intp) * _KINDS + np.minimum(provenance, _KINDS - 1)
    return np.bincount(pairs.ravel(), minlength=256 * _KINDS).reshape(256, _KINDS)


def counts_to(counts: Counts) -> dict[str, int]:
    """Return counts as plain values, without the zeros."""
    return {f"{label},{kind}": int(counts[label, kind]) for label, kind in zip(*np.nonzero(counts), strict=True)}


def counts_from(saved: dict[str, int]) -> Counts:
    """Return the counts of :func:`counts_to`'s values."""
    counts = np.zeros((256, _KINDS), np.int64)
    for key, number in saved.items():
        label, kind = map(int, key.split(","))
        counts[label, kind] = number
    return counts
