"""All that is counted of one scored slide, from which the scores of slides, patients and all slides are computed.

A slide is read tile by tile, and only counts, border pixels and numbers of regions are kept.
"""

from dataclasses import dataclass, field

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED, ClassTable
from napari_pathseg.engine.evaluation.answers import ScratchAnswer
from napari_pathseg.engine.evaluation.borders import BorderDistance, BorderPixels, border_distance, border_of
from napari_pathseg.engine.evaluation.lesions import LesionCounts, LesionTally
from napari_pathseg.engine.evaluation.metrics import Confusion
from napari_pathseg.engine.evaluation.reliability import ByProbability, Reliability
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.held_out_parts import Parts, boxes_on_mask
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

TILE = 2048  # side of the regions that are compared at once

Answer = Prediction | ScratchAnswer


@dataclass
class SlideEvidence:
    """What was counted on a slide, or on its parts that are held out.

    Attributes
    ----------
    record
        The slide.
    confusion
        Of its labelled pixels.
    borders
        By class number, in micrometres or, without a pixel size, in mask pixels.
    lesions
        By class number but for Background; empty if the slide is not complete: what is outlined there need not be a
        whole lesion.
    right, counted
        Pixels by the stored probability of their predicted class, shape (256,): those that are right, and all that
        are labelled; zeros if the answer has no probabilities.
    """

    record: SlideRecord
    confusion: Confusion
    borders: dict[int, BorderDistance] = field(default_factory=dict)
    lesions: dict[int, LesionCounts] = field(default_factory=dict)
    right: ByProbability = field(default_factory=lambda: np.zeros(256, np.int64))
    counted: ByProbability = field(default_factory=lambda: np.zeros(256, np.int64))

    @property
    def mm2_per_pixel(self) -> float | None:
        """The area of a mask pixel; None if the pixel size is unknown."""
        mpp = self.record.mask_mpp
        return None if mpp is None else (mpp / 1000) ** 2

    @property
    def patient_is_known(self) -> bool:
        """Whether a patient was named; else a slide has its own name as patient."""
        return self.record.patient != self.record.id


def compare_slide(
    project: Project, answer: Answer, record: SlideRecord, parts: Parts, tolerance_um: float
) -> SlideEvidence:
    """Compare a model's answer on a slide, or on its held-out `parts`, with the labels."""
    collector = _Collector(project.classes, record)
    truth = GroundTruth(project, record)
    for box in boxes_on_mask(record, parts) if parts else [Region(0, 0, *record.mask_shape)]:
        collector.begin(box)
        for region in layout(box, TILE):
            around = Region(region.top - 1, region.left - 1, region.height + 2, region.width + 2).intersect(box)
            labels = truth.labels(around)
            if labels.any():
                found = answer.read_with_glass(around)
                collector.add(region, around, labels, found)
                if isinstance(answer, Prediction):
                    inner = region.shift(-around.top, -around.left).slices
                    collector.reliability.add(labels[inner], answer, region)
        collector.end()
    return collector.finish(tolerance_um)


class _Collector:
    """Counts the tiles of a slide."""

    def __init__(self, classes: ClassTable, record: SlideRecord) -> None:
        self.evidence = SlideEvidence(record, Confusion.empty(classes.highest))
        self._numbers = [spec.index for spec in classes]
        columns = record.mask_shape[1]
        self._borders = {number: (BorderPixels(columns), BorderPixels(columns)) for number in self._numbers}
        self._lesions: dict[int, LesionTally] = {}
        self.reliability = Reliability()

    def begin(self, box: Region) -> None:
        """Begin with a box, whose tiles follow row by row."""
        if self.evidence.record.complete:
            self._lesions = {number: LesionTally(box) for number in self._numbers if number != BACKGROUND}

    def add(self, region: Region, around: Region, labels: UInt8Array, found: UInt8Array) -> None:
        """Count a tile, given the pixels of the box `around` it."""
        inner = region.shift(-around.top, -around.left).slices
        self.evidence.confusion.add(labels[inner], found[inner])
        found = np.where(labels == UNLABELLED, np.uint8(UNLABELLED), found)
        for which, pixels in enumerate((labels, found)):
            border = border_of(pixels)[inner]
            if border.any():
                for number in np.unique(pixels[inner][border]):
                    if int(number) in self._borders:
                        here = border & (pixels[inner] == number)
                        self._borders[int(number)][which].add(here, region.top, region.left)
        for number, tally in self._lesions.items():
            tally.add(region, labels[inner] == number, found[inner] == number)

    def end(self) -> None:
        """End a box."""
        for number, tally in self._lesions.items():
            self.evidence.lesions[number] = self.evidence.lesions.get(number, LesionCounts()) + tally.counts()
        self._lesions = {}

    def finish(self, tolerance_um: float) -> SlideEvidence:
        """Compare the borders, and return all that was counted."""
        mpp = self.evidence.record.mask_mpp or 1.0
        for number, (truth, found) in self._borders.items():
            self.evidence.borders[number] = border_distance(truth, found, mpp, tolerance_um)
        self.evidence.right, self.evidence.counted = self.reliability.right.sum(0), self.reliability.all.sum(0)
        return self.evidence
