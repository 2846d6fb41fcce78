"""A slide in a project's manifest, and its state as derived from the pixel counts of its mask."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.geometry import Region, grid_shape, on_grid
from napari_pathseg.masks.counts import Counts, Provenance
from napari_pathseg.projects import roles


@dataclass(frozen=True)
class SlideRecord:
    """A slide in the manifest.

    Attributes
    ----------
    id, patient, role
        Its name, unique in the project, its patient, and one of `roles.ROLES`.
    path, relative_path
        The file, absolute and relative to the folder that contains the project.
    fingerprint
        Identifies the file's content when it was moved.
    shape, channels, mpp
        Rows and columns of level 0, 1 or 3 channels, and micrometres per level-0 pixel if known.
    downsample
        Level-0 pixels per mask pixel.
    complete, boxes
        Whether unlabelled pixels are Background on the whole slide, and the level-0 boxes in which they are.
    page
        The page of a multi-page file, from 0; None for a file with one slide.
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
        """Micrometres per mask pixel, if known."""
        return None if self.mpp is None else self.mpp * self.downsample

    @property
    def mask_boxes(self) -> list[Region]:
        """The complete boxes on the mask's grid: the mask pixels whose centres lie inside."""
        return [on_grid(box, self.downsample).clip(self.mask_shape) for box in self.boxes]

    def complete_in(self, region: Region) -> bool | npt.NDArray[np.bool_]:
        """Return where in a region of the mask's grid unlabelled means Background: everywhere, nowhere, or by pixel."""
        met = [] if self.complete else [box.intersect(region) for box in self.mask_boxes]
        met = [box.shift(-region.top, -region.left) for box in met if not box.empty]
        if not met:
            return self.complete
        complete = np.zeros((region.height, region.width), bool)
        for box in met:
            complete[box.slices] = True
        return complete


def labelled_classes(record: SlideRecord, counts: Counts) -> set[int]:
    """Return the classes with human-confirmed pixels; includes Background if the slide, or a box, is complete."""
    by_person = counts[1:, Provenance.ACCEPTED :].sum(axis=1)
    classes = {int(index) + 1 for index in np.flatnonzero(by_person)}
    return classes | {BACKGROUND} if record.complete or record.boxes else classes


def role_candidates(records: Iterable[SlideRecord], counts: Mapping[str, Counts]) -> list[roles.Candidate]:
    """Return what the assignment of roles needs to know of slides, given the `counts` of their masks."""
    return [
        roles.Candidate(record.id, record.patient, record.role, frozenset(labelled_classes(record, counts[record.id])))
        for record in records
    ]


def state(record: SlideRecord, counts: Counts) -> str:
    """Return the annotation state of a slide: "new", "annotated", "predicted" or "corrected"."""
    if counts[:, Provenance.CORRECTED].any() or counts[:, Provenance.ACCEPTED].any():
        return "corrected"
    if counts[1:, Provenance.MODEL].any():
        return "predicted"
    return "annotated" if labelled_classes(record, counts) else "new"
