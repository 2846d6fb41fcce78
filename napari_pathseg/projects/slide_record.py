"""A slide as a project lists it, and what its mask's pixels say of it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.geometry import Region, grid_shape, on_grid
from napari_pathseg.masks.counts import Counts, Provenance
from napari_pathseg.projects import roles


@dataclass(frozen=True)
class SlideRecord:
    """A slide as the project lists it.

    `relative_path` is seen from the folder that holds the project; `shape` is of level 0;
    `downsample` are level-0 pixels per mask pixel; `complete` says that what is unlabelled is
    Background, and `boxes` that it is so in these, in level-0 pixels; `page` is which one of a
    stack it is, from 0.
    """

    id: str
    path: str
    relative_path: str
    fingerprint: str
    shape: tuple[int, int]
    channels: int
    mpp: float | None
    downsample: int
    patient: str
    role: str = roles.AUTO
    complete: bool = False
    page: int | None = None
    boxes: tuple[Region, ...] = ()

    @property
    def mask_shape(self) -> tuple[int, int]:
        """Rows and columns of the mask."""
        return grid_shape(self.shape, self.downsample)

    @property
    def mask_mpp(self) -> float | None:
        """Micrometres per mask pixel, where the slide says."""
        return None if self.mpp is None else self.mpp * self.downsample

    @property
    def mask_boxes(self) -> list[Region]:
        """The complete boxes on the mask's grid: the pixels whose centres lie inside."""
        return [on_grid(box, self.downsample).clip(self.mask_shape) for box in self.boxes]

    def complete_in(self, region: Region) -> bool | npt.NDArray[np.bool_]:
        """Return where in a box of the mask's grid the unlabelled is Background: everywhere, nowhere, or by pixel."""
        met = [] if self.complete else [box.intersect(region) for box in self.mask_boxes]
        met = [box.shift(-region.top, -region.left) for box in met if not box.empty]
        if not met:
            return self.complete
        complete = np.zeros((region.height, region.width), bool)
        for box in met:
            complete[box.slices] = True
        return complete


def labelled_classes(entry: SlideRecord, counts: Counts) -> set[int]:
    """Return the classes of which a person labelled pixels; Background where a slide, or a box on it, is complete."""
    by_person = counts[1:, Provenance.ACCEPTED :].sum(axis=1)
    classes = {int(index) + 1 for index in np.flatnonzero(by_person)}
    return classes | {BACKGROUND} if entry.complete or entry.boxes else classes


def state(entry: SlideRecord, counts: Counts) -> str:
    """Return what was done to a slide last: "new", "annotated", "predicted" or "corrected"."""
    if counts[:, Provenance.CORRECTED].any() or counts[:, Provenance.ACCEPTED].any():
        return "corrected"
    if counts[1:, Provenance.MODEL].any():
        return "predicted"
    return "annotated" if labelled_classes(entry, counts) else "new"
