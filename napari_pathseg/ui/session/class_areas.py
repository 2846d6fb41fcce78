"""The area of each class on the slide in view, fast enough to update while painting."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.masks import Mask, Provenance
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.ui.session.complete_boxes import unlabelled_in_boxes
from napari_pathseg.ui.session.formatting import format_area
from napari_pathseg.ui.session.tissue import TissueCache, sampling_level
from napari_pathseg.ui.session.workspace import Workspace


@dataclass(frozen=True)
class ClassArea:
    """The area of a class on the slide in view, as text, and its share."""

    area: str
    percent: str


class ClassAreas:
    """The areas of the slide in view.  They are queried at every stroke, so they never block the window.

    `tissue` knows how much of the slide is tissue, once it was made to look.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self.tissue = workspace, TissueCache(workspace)

    @property
    def of_tissue(self) -> bool:
        """Whether shares are of the tissue rather than of the labelled area."""
        return self.tissue.pixel_count is not None

    def by_class(self) -> dict[int, ClassArea]:
        """Return the areas by class; unlabelled pixels of complete slides and boxes count as Background.

        Shares are of the tissue, where that was found, else of what is labelled.
        """
        record, project, mask = self._workspace.slide, self._workspace.project, self._workspace.mask
        if record is None or project is None:
            return {}
        pixels = self._workspace.counts(record.id).sum(axis=1)
        if record.complete:
            rows, columns = record.mask_shape
            pixels[BACKGROUND] = rows * columns - int(pixels[BACKGROUND + 1 :].sum())
        elif record.boxes and mask is not None:
            pixels[BACKGROUND] += unlabelled_in_boxes(record, mask)
        tissue = self.tissue.bits
        if tissue is None or mask is None:
            shares = pixels / max(int(pixels[1:].sum()), 1)
        else:
            shares = class_shares(tissue, record, mask)
        areas = {}
        for spec in project.classes:
            number = int(pixels[spec.index])
            percent = f"{100 * shares[spec.index]:.0f} %" if number else ""
            areas[spec.index] = ClassArea(format_area(number, record.mask_mpp), percent)
        return areas


def class_shares(tissue: BoolArray, record: SlideRecord, mask: Mask) -> npt.NDArray[np.float64]:
    """Return each class's share of the tissue, for classes 0 to 255; `tissue` lies on `sampling_level`'s pixels."""
    level, every = sampling_level(record.mask_shape)
    labels, provenance = mask.preview(Region(0, 0, *mask.shapes[level]), level)[:, ::every, ::every].copy()
    for box in [Region(0, 0, *record.mask_shape)] if record.complete else record.mask_boxes:
        inside = box.coarser(2**level * every).clip(tissue.shape).slices
        rest = (labels[inside] == UNLABELLED) & (record.complete or provenance[inside] < Provenance.ACCEPTED)
        labels[inside][rest] = BACKGROUND
    found = np.bincount(labels[tissue], minlength=256)
    return np.asarray(found / max(int(found.sum()), 1))
