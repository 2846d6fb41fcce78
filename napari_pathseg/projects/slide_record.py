"""Slide records of a project's manifest, and the labelled classes derived from a mask's pixel counts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Annotated

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.geometry import Region, grid_shape, on_grid
from napari_pathseg.masks.provenance import Counts, Provenance
from napari_pathseg.projects import roles
from napari_pathseg.storage.json_schema import Count, Name, PixelSize, Side


@dataclass(frozen=True)
class SlideRecord:
    """A slide in the manifest.

    Attributes
    ----------
    id, patient, role
        The name, unique in the project; the patient; and one of `roles.ROLES`.
    path, relative_path
        The file, absolute and relative to the folder that contains the project.
    fingerprint
        Hash that identifies the file's content if it was moved.
    shape, channels, mpp
        Rows and columns of level 0, 1 or 3 channels, and micrometres per level-0 pixel if known.
    downsample
        Level-0 pixels per mask pixel.
    complete, boxes
        Whether unlabelled pixels are Background on the whole slide; the level-0 boxes in which they are.
    page
        The page of a multi-page file, from 0; None for a file with one slide.
    """

    id: Name
    path: str
    relative_path: str
    fingerprint: str
    shape: tuple[Side, Side]
    channels: Annotated[int, Meta(ge=1, le=3)]
    mpp: PixelSize | None
    downsample: Side
    patient: str
    role: roles.Role = roles.AUTO
    complete: bool = False
    page: Count | None = None
    boxes: tuple[Region, ...] = ()

    @property
    def file_name(self) -> str:
        """The name of the slide's file, also if its path was written on Windows."""
        return PureWindowsPath(self.path).name if "\\" in self.path else Path(self.path).name

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

    def boxes_at(self, row: float, column: float) -> list[Region]:
        """Return the complete boxes at a level-0 position."""
        rows = [box for box in self.boxes if box.top - 0.5 <= row < box.bottom - 0.5]
        return [box for box in rows if box.left - 0.5 <= column < box.right - 0.5]

    def complete_in(self, region: Region) -> bool | npt.NDArray[np.bool_]:
        """Return where in a region of the mask's grid unlabelled means Background: everywhere, nowhere, or by pixel."""
        overlaps = [] if self.complete else [box.intersect(region) for box in self.mask_boxes]
        overlaps = [box.shift(-region.top, -region.left) for box in overlaps if not box.empty]
        if not overlaps:
            return self.complete
        complete = np.zeros((region.height, region.width), bool)
        for box in overlaps:
            complete[box.slices] = True
        return complete


def labelled_classes(record: SlideRecord, counts: Counts) -> set[int]:
    """Return the classes with human-confirmed pixels; includes Background if the slide, or a box, is complete."""
    confirmed = counts[1:, Provenance.ACCEPTED :].sum(axis=1)
    classes = {int(index) + 1 for index in np.flatnonzero(confirmed)}
    return classes | {BACKGROUND} if record.complete or record.boxes else classes


def labels_in_numbers(record: SlideRecord, counts: Counts, highest: int) -> list[int]:
    """Return how much of a slide is complete, then the human-confirmed pixels of each class up to the `highest`.

    The first number is 1 for a complete slide, else the area of its complete boxes.
    """
    completed = int(record.complete) or sum(box.height * box.width for box in record.boxes)
    return [completed, *counts[1 : highest + 1, Provenance.ACCEPTED :].sum(axis=1).tolist()]


def role_candidates(records: Iterable[SlideRecord], counts: Mapping[str, Counts]) -> list[roles.Candidate]:
    """Return the slides as input for the assignment of roles, given the `counts` of their masks."""
    return [
        roles.Candidate(record.id, record.patient, record.role, frozenset(labelled_classes(record, counts[record.id])))
        for record in records
    ]
