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
    """The class areas of the slide in view, fast enough to be read at every stroke.

    Attributes
    ----------
    tissue
        The slide's tissue; call its :meth:`~.TissueCache.update` until it is detected.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace, self.tissue = workspace, TissueCache(workspace)

    @property
    def of_tissue(self) -> bool:
        """True if shares are of the tissue, False if of the labelled area."""
        return self.tissue.pixel_count is not None

    def by_class(self) -> dict[int, ClassArea]:
        """Return the areas by class; unlabelled pixels of complete slides and boxes count as Background.

        Shares are of the tissue if it is known, else of the labelled area.
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
        tissue = self.tissue.sampled
        if tissue is None or mask is None:
            shares = pixels / max(int(pixels[1:].sum()), 1)
        else:
            shares = class_shares(tissue, record, mask)
        areas = {}
        for spec in project.classes:
            count = int(pixels[spec.index])
            percent = f"{100 * shares[spec.index]:.0f} %" if count else ""
            areas[spec.index] = ClassArea(format_area(count, record.mask_mpp), percent)
        return areas


def class_shares(tissue: BoolArray, record: SlideRecord, mask: Mask) -> npt.NDArray[np.float64]:
    """Return each class's share of the tissue, for classes 0 to 255; `tissue` is on the pixels of `sampling_level`."""
    level, stride = sampling_level(record.mask_shape)
    labels, provenance = mask.preview(Region(0, 0, *mask.shapes[level]), level)[:, ::stride, ::stride].copy()
    for box in [Region(0, 0, *record.mask_shape)] if record.complete else record.mask_boxes:
        inside = box.coarser(2**level * stride).clip(tissue.shape).slices
        unlabelled = (labels[inside] == UNLABELLED) & (record.complete or provenance[inside] < Provenance.ACCEPTED)
        labels[inside][unlabelled] = BACKGROUND
    counts = np.bincount(labels[tissue], minlength=256)
    return np.asarray(counts / max(int(counts.sum()), 1))
