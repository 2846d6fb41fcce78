"""Prequential scores: how a model did where a person labelled next, before it learns from that.  No torch.

What the model said is its stored prediction; what it knew is the version of the mask from when its training began.  A
person who only corrects paints where the model is wrong, so the score is taken in places around the new labels: there,
what they left as the model has it counts as right.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np

from napari_pathseg.classes import UNLABELLED
from napari_pathseg.engine.bundle import Bundle, load_bundle
from napari_pathseg.engine.evaluation.metrics import Confusion, mean_dice
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.masks import Mask, Provenance, training_labels
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.masks.zarr_store import MaskStore
from napari_pathseg.projects.annotation_log import Score
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.versions import Version, changed_regions, check_version, versions

PLACE = 128  # mask pixels along a place
_LONGEST_S = 2.0  # on all slides; of more slides and labels a random sample is read
_logger = logging.getLogger(__name__)


def prequential_scores(project: Project, model: str) -> dict[str, Score]:
    """Return how a model did on the labels that came since its training began, by slide.

    Left out are slides on which there are none, which the model has not predicted there, or of which it is not known
    any more what it learnt.
    """
    found, until = dict[str, Score](), time.monotonic() + _LONGEST_S
    try:
        bundle = load_bundle(project.folder / "models" / model)
        since = datetime.fromisoformat(bundle.origin.get("date", "")).astimezone()
    except (PathsegError, TypeError, ValueError):  # of an older version
        return found
    records = list(project.slides.values())
    for number in np.random.default_rng(0).permutation(len(records)):
        record = records[number]
        if time.monotonic() > until:
            break
        try:
            score = _score(project, record, bundle, since, until)
        except PathsegError as error:  # reported where the slide is used
            _logger.warning("%s is not scored on %s: %s", model, record.id, error)
            continue
        if score is not None:
            found[record.id] = score
    return found


def _score(project: Project, record: SlideRecord, bundle: Bundle, since: datetime, until: float) -> Score | None:
    prediction = project.find_prediction(bundle.id, record.id)
    if prediction is None or prediction.shape != record.mask_shape or not project.mask_path(record.id).exists():
        return None
    before, known = _version_from(since, versions(project, record.id))
    if not known or (before is None and record.id in (*bundle.train, *bundle.val)):
        return None
    if before is not None:
        check_version(before)
    confusion, right, pixels = Confusion.empty(project.classes.highest), 0, 0
    with project.open_mask_readonly(record.id) as mask:
        store = None if before is None else MaskStore(before.snapshot)
        for region in _changed(mask, before):
            if time.monotonic() > until:
                break
            old = (
                np.zeros((2, region.height, region.width), np.uint8) if store is None else np.stack(store.read(region))
            )
            new, truth, said = _compare(record, region, np.stack(mask.read(region)), old, prediction)
            confusion.add(truth, said)
            right, pixels = right + int(np.count_nonzero(new & (truth == said))), pixels + int(np.count_nonzero(new))
    return Score(bundle.id, mean_dice(confusion), right / pixels, pixels) if pixels else None


def _version_from(since: datetime, stored: Sequence[Version]) -> tuple[Version | None, bool]:
    """Return the newest version that is as old, None for none, and whether it is known: it may have been deleted."""
    before = next((version for version in stored if version.when <= since), None)
    number = 0 if before is None else before.number
    newer = [version.number for version in stored if version.number > number]
    return before, not newer or min(newer) == number + 1


def _changed(mask: Mask, before: Version | None) -> Iterator[Region]:
    """Yield boxes that hold all that has changed since a version, in a random order that is always the same."""
    whole = Region(0, 0, *mask.shape)
    boxes = list(mask.nonempty_chunks(whole)) if before is None else changed_regions(before)
    for number in np.random.default_rng(0).permutation(len(boxes)):
        box = boxes[number].clip(mask.shape)
        if not box.empty:
            yield box


def _compare(
    record: SlideRecord, region: Region, now: UInt8Array, old: UInt8Array, prediction: Prediction
) -> tuple[BoolArray, UInt8Array, UInt8Array]:
    """Return the pixels that are new labels, the labels in the places around them, 0 elsewhere, and the model's."""
    complete, said = record.complete_in(region), prediction.read(region)
    truth, learnt = (training_labels(pixels[0], pixels[1], complete) for pixels in (now, old))
    new = (truth != UNLABELLED) & (truth != learnt) & (said != UNLABELLED)
    left_as_it_is = _places(new) & (learnt == UNLABELLED) & (now[1] <= Provenance.MODEL) & (said != UNLABELLED)
    return new, np.where(new, truth, np.where(left_as_it_is, said, np.uint8(UNLABELLED))), said


def _places(pixels: BoolArray) -> BoolArray:
    """Return the squares of a box that hold any of its pixels."""
    rows, columns = pixels.shape
    tall, wide = -(-rows // PLACE), -(-columns // PLACE)
    padded = np.zeros((tall * PLACE, wide * PLACE), bool)
    padded[:rows, :columns] = pixels
    held = padded.reshape(tall, PLACE, wide, PLACE).any(axis=(1, 3))
    return held.repeat(PLACE, axis=0).repeat(PLACE, axis=1)[:rows, :columns]
