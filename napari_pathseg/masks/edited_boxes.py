"""Which pixels of a person have changed in a mask since somebody last looked."""

import numpy as np

from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.zarr_store import Key, chunk_region, chunks_of

_MAX_CHUNKS = 64  # 4096²; to read the whole mask again is then as fast


class EditedBoxes:
    """The boxes in which pixels of a person have changed, at most one a chunk; what a model fills does not count.

    Attributes
    ----------
    pixels
        How many pixels of a person have changed since the mask was opened, each as often as it did.
    """

    def __init__(self) -> None:
        self.pixels = 0
        self._boxes: dict[Key, Region] = {}
        self._too_many = False

    def __bool__(self) -> bool:
        return self._too_many or bool(self._boxes)

    @property
    def too_many(self) -> bool:
        """Whether any pixel may have changed."""
        return self._too_many

    def add(self, region: Region, before: UInt8Array, after: UInt8Array) -> None:
        """Note that a box of labels and provenance, ``(2, rows, columns)``, has changed."""
        by_person = (before[1] > Provenance.MODEL) | (after[1] > Provenance.MODEL)
        changed = int(np.count_nonzero(by_person & (before != after).any(axis=0)))
        self.pixels += changed
        if self._too_many or not changed:
            return
        for key in chunks_of(region):
            part = chunk_region(key).intersect(region)
            self._boxes[key] = self._boxes[key].unite(part) if key in self._boxes else part
        self._too_many = len(self._boxes) > _MAX_CHUNKS

    def pop(self) -> list[Region] | None:
        """Return the boxes since the last call; None if they are too many, and any pixel may have changed."""
        boxes = None if self._too_many else list(self._boxes.values())
        self._boxes, self._too_many = {}, False
        return boxes
