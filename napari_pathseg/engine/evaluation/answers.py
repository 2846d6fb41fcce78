"""Answers of a model on whole slides that are compared and forgotten: nothing is stored in the project."""

from collections.abc import Iterable

import numpy as np

from napari_pathseg.classes import BACKGROUND
from napari_pathseg.config import PredictConfig
from napari_pathseg.engine.bundle import Bundle
from napari_pathseg.engine.cost_model import fitting_prediction_tile
from napari_pathseg.engine.events import Job, Note, Progress
from napari_pathseg.engine.inference.predict import Orders, SlidePredictor, describe_failure
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks.prediction import most_likely_classes
from napari_pathseg.projects.held_out_parts import Parts, boxes_on_mask
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.machine import memory_limit
from napari_pathseg.storage.scratch import scratch_array


class ScratchAnswer:
    """The classes that a model finds on a slide, in memory or in a temporary file; see `Prediction`."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._classes = scratch_array(shape)

    def has(self, tile: Region, *, glass: bool = False) -> bool:
        """Return False: all is computed."""
        return False

    def write(self, region: Region, probabilities: UInt8Array, disagreement: UInt8Array | None = None) -> None:
        """Keep the classes of a tile."""
        self._classes[region.slices] = most_likely_classes(probabilities)

    def leave_out(self, tiles: Iterable[Region]) -> None:
        """Note tiles without tissue: all of them is Background."""
        for tile in tiles:
            self._classes[tile.slices] = BACKGROUND

    def read_with_glass(self, region: Region) -> UInt8Array:
        """Return the class of each pixel of a box; what could not be predicted is Background."""
        return np.maximum(self._classes[region.slices], np.uint8(BACKGROUND))


class Answers:
    """Computes the answers of a project's model with settings; the network is loaded when it is needed."""

    def __init__(self, project: Project, bundle: Bundle, config: PredictConfig) -> None:
        self._project, self._bundle = project, bundle
        self._config = config.replace(tile=fitting_prediction_tile(bundle.network, config, memory_limit()))
        self._predictor: SlidePredictor | None = None
        self._notes: set[str] = set()

    def of_slide(self, record: SlideRecord, parts: Parts) -> Job[ScratchAnswer | None]:
        """Return the answer on a slide, or on its held-out parts; None after a stop."""
        if self._predictor is None:
            folder = self._project.folder / "models" / self._bundle.id
            self._predictor = SlidePredictor(self._project, self._config, self._bundle, folder, 0.0)
        predictor, orders, answer = self._predictor, Orders(), ScratchAnswer(record.mask_shape)
        note = predictor.note_of(record.id)
        if note and note not in self._notes:
            self._notes.add(note)
            yield Note(note, warning=True)
        for box in boxes_on_mask(record, parts) if parts else [Region(0, 0, *record.mask_shape)]:
            for event in predictor.compute(record, box, orders, answer):
                orders.take((yield event if isinstance(event, Note) else Progress(f"Scoring {record.id}", 0.0, 0.0)))
            if not predictor.ended:
                return None
            if predictor.failed:
                yield Note(describe_failure(record.id, predictor.failed), warning=True)
        return answer
