"""How often a model was right where it was sure: counted by class and stored probability on held-out slides.

Only what is stored counts; nothing is predicted.  Slides that the model, or one that it was trained from, has learnt do
not count.  Nor do, on slides with accepted pixels, labels that are accepted or corrected: a model would be compared
with itself.  No torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.engine.bundle import find_bundle, learnt_slides, lineage, load_bundle, slides_to_score
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.confidence import Histogram, histogram, probability_of, stored_threshold
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.provenance import Provenance
from napari_pathseg.masks.zarr_store import CHUNK
from napari_pathseg.projects import roles
from napari_pathseg.projects.ground_truth import GroundTruth
from napari_pathseg.projects.held_out_parts import boxes_on_mask
from napari_pathseg.projects.model_weights import is_outdated
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

BINS = 10  # of the reliability curve, equally wide
_LEAST = 1000  # pixels, below which a share says nothing
_STORED = np.arange(256)  # probabilities

ByProbability = npt.NDArray[np.int64]


@dataclass
class Reliability:
    """Pixels of held-out slides by predicted class and stored probability.

    Attributes
    ----------
    right, all
        Those whose class is the labelled one, and all that are labelled; shape (256, 256).
    slides
        The slides that they are of.
    """

    right: Histogram = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    all: Histogram = field(default_factory=lambda: np.zeros((256, 256), np.int64))
    slides: list[str] = field(default_factory=list)

    def share_right(self, share: float, label: int | None = None) -> float | None:
        """Return how much of what has at least a probability is right; None if that is hardly anything.

        Parameters
        ----------
        share
            The probability, 0 to 1.
        label
            The predicted class; None for any.
        """
        classes = slice(None) if label is None else label
        right, counted = (
            int(pixels[classes, stored_threshold(share) :].sum(dtype=np.int64)) for pixels in (self.right, self.all)
        )
        return right / counted if counted >= _LEAST else None

    def add(self, labels: UInt8Array, prediction: Prediction, tile: Region) -> bool:
        """Count a tile, given its labels, 0 where unlabelled; return whether something was counted."""
        if not labels.any():
            return False
        found = prediction.read(tile)
        known = (labels != UNLABELLED) & (found != UNLABELLED)
        if not known.any():
            return False
        probability = probability_of(found, prediction, tile)
        self.all += histogram(found, probability, known)
        self.right += histogram(found, probability, known & (found == labels))
        return True


def reliability_curve(right: ByProbability, counted: ByProbability) -> list[dict[str, float]]:
    """Return the bins of the reliability curve that hold pixels.

    Parameters
    ----------
    right, counted
        Pixels by the stored probability of their predicted class, shape (256,): those whose class is the labelled
        one, and all that are labelled.

    Returns
    -------
    bins
        ``from`` and ``to``, the limits of the probability, of which a bin holds the upper one, and the first one both;
        ``probability``, the mean over its ``pixels``; ``right``, the fraction of them whose class is right.
    """
    number, bins = np.maximum(-(-_STORED * BINS // 255) - 1, 0), []
    for each in np.unique(number[counted > 0]).tolist():
        inside = number == each
        pixels = int(counted[inside].sum())
        mean = float((counted[inside] * _STORED[inside]).sum() / (255 * pixels))
        share = int(right[inside].sum()) / pixels
        limits = {"from": each / BINS, "to": (each + 1) / BINS}
        bins.append({**limits, "probability": mean, "right": share, "pixels": pixels})
    return bins


def expected_calibration_error(curve: Sequence[Mapping[str, float]]) -> float | None:
    """Return the mean over pixels of how far probability and fraction right are apart in their bin; None without any.

    References
    ----------
    .. [1] Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    pixels = sum(each["pixels"] for each in curve)
    apart = sum(each["pixels"] * abs(each["probability"] - each["right"]) for each in curve)
    return apart / pixels if pixels else None


def count_reliability(project: Project, model: str) -> Iterator[Reliability]:
    """Count how often a model's stored predictions are right on held-out slides, a part of a slide at a time.

    Yields what was counted so far, the same object each time.

    Raises
    ------
    BundleError
        If the model does not exist.
    """
    counted, bundle = Reliability(), load_bundle(find_bundle(project, model))
    models = lineage(project, model)
    records, parts = slides_to_score(project, roles.VAL, bundle)
    for record in records:
        if learnt_slides(models, [record.id], parts):
            continue
        prediction = None
        with suppress(PathsegError):  # a damaged one counts as none
            prediction = project.find_prediction(model, record.id)
        if prediction is None or prediction.shape != record.mask_shape or is_outdated(project, model, prediction):
            continue
        truth, accepted = GroundTruth(project, record), _has_accepted(project, record)
        boxes = boxes_on_mask(record, parts) if parts else [Region(0, 0, *record.mask_shape)]
        for tile in (tile for box in boxes for tile in layout(box, CHUNK)):
            labels = truth.labels_made_alone(tile) if accepted else truth.labels(tile)
            if counted.add(labels, prediction, tile) and record.id not in counted.slides:
                counted.slides.append(record.id)
            yield counted


def _has_accepted(project: Project, record: SlideRecord) -> bool:
    """Return whether labels of a slide are a model's; those of a complete one were accepted one by one."""
    return not record.complete and bool(project.counts(record.id)[:, Provenance.ACCEPTED].any())
