"""Whether a model that is loaded again gives the answer that is stored: hashes of the labels of a slide."""

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import find_bundle, load_bundle
from napari_pathseg.engine.evaluation.answers import Answers
from napari_pathseg.engine.events import Job
from napari_pathseg.engine.inference.predict import is_adapted
from napari_pathseg.geometry import Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord

_MOST_PIXELS = 4096**2  # of a mask that is predicted again
_TILE = 2048


class _Labels(Protocol):
    def read_with_glass(self, region: Region) -> UInt8Array: ...


def reload_test(project: Project, model: str, slides: Sequence[str]) -> Job[dict[str, Any] | None]:
    """Predict the smallest of some slides again with the model loaded from its folder.

    Returns
    -------
    found
        ``slide``, ``mask_pixels``, ``stored_with``, the settings of the stored answer, ``stored`` and ``again``, the
        SHA-256 of the labels in tiles of 2048 mask pixels, row by row, and ``different_pixels``; None if all slides are
        large, or the answer was stopped or is adapted.
    """
    records = [project.slide(name) for name in slides]
    record = min(records, key=_pixels, default=None)
    stored = None if record is None else project.find_prediction(model, record.id)
    if record is None or stored is None or _pixels(record) > _MOST_PIXELS or is_adapted(stored):
        return None
    again = yield from Answers(project, load_bundle(find_bundle(project, model)), PredictConfig()).of_slide(record, {})
    if again is None:
        return None
    tiles = list(layout(Region(0, 0, *record.mask_shape), _TILE))
    different = sum(
        int(np.count_nonzero(stored.read_with_glass(tile) != again.read_with_glass(tile))) for tile in tiles
    )
    hashes = {"stored": _digest(stored, tiles), "again": _digest(again, tiles)}
    facts = {"slide": record.id, "mask_pixels": _pixels(record), "stored_with": stored.settings}
    return {**facts, **hashes, "different_pixels": different}


def _pixels(record: SlideRecord) -> int:
    return record.mask_shape[0] * record.mask_shape[1]


def _digest(labels: _Labels, tiles: Sequence[Region]) -> str:
    digest = hashlib.sha256()
    for tile in tiles:
        digest.update(np.ascontiguousarray(labels.read_with_glass(tile)).data)
    return digest.hexdigest()
