"""Brings what a running model finds into the masks, where nothing is annotated.

On the slide in view it appears tile by tile; on other slides once the model has finished with them, or was stopped.
A complete slide is compared with what the model finds, and its mask stays as it is.
"""

import time
from functools import partial
from pathlib import Path

import numpy as np

from napari_pathseg.classes import BACKGROUND, UNLABELLED
from napari_pathseg.engine.events import PreviewReady
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.masks import Mask
from napari_pathseg.masks.comparison import Opinion
from napari_pathseg.masks.edits import fill_in_run, merge_prediction
from napari_pathseg.masks.prediction import Prediction
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.storage.portable import remove
from napari_pathseg.ui.session.mask_editor import MaskEditor
from napari_pathseg.ui.session.workspace import Workspace

_AT_ONCE = 4  # tiles; more, as after another slide was in view, are merged while the window is idle
_REFRESH_S = 1.0  # between two uploads of the whole probability layer


class PredictedTiles:
    """Merges the tiles of a job, in the order in which they come; those of a slide in view are one undo step."""

    def __init__(self, workspace: Workspace, editor: MaskEditor) -> None:
        self._workspace, self._editor = workspace, editor
        self._prediction: Prediction | None = None  # that the job is writing
        self._slide = ""
        self._waiting: list[Region] = []  # tiles that are not in the mask yet
        self._opinion: Opinion | None = None  # of a complete slide
        self._refreshed = 0.0

    def add(self, model: str, slide: str, tile: Region) -> None:
        """Merge a tile that is stored in a model's prediction of a slide, or let it wait."""
        if slide != self._slide:
            self.finish()
            self._slide = slide
            self._prediction = self._workspace.require_project().find_prediction(model, slide)
        self._waiting.append(tile)
        record = self._workspace.slide
        if record is not None and record.id == slide and self._prediction is not None:
            self._show_waiting(record, self._prediction)

    def show_preview(self, preview: PreviewReady) -> None:
        """Merge a training's prediction of the view into the mask in view."""
        workspace, region = self._workspace, preview.region
        if workspace.mask is None or workspace.slide is None or workspace.slide.id != preview.slide:
            return
        path = Path(preview.path)
        try:
            classes = np.load(path, allow_pickle=False)
            remove(path)
        except FileNotFoundError:
            return  # a later preview reused the file name and was shown already
        if classes.shape != (region.height, region.width):
            return  # a later preview overwrote the file; its event follows
        if workspace.slide.complete:
            found = np.where(classes > BACKGROUND, 255, 0).astype(np.uint8)
            workspace.layers.show_probability(region, partial(_crop, found, region), visible=False)
            opinion = workspace.opinion or Opinion(workspace.slide.mask_shape)
            opinion.show_preview(region, classes)
            workspace.set_opinion(opinion)
        elif self._can_fill(workspace.mask):  # else another preview follows
            self._fill(workspace.mask, workspace.slide, region, classes)

    def finish(self) -> None:
        """Merge what still waits, and end the undo step: the job has finished with the slide, or has ended."""
        slide, waiting, prediction = self._slide, self._waiting, self._prediction
        self.drop()
        workspace, mask = self._workspace, self._workspace.mask
        in_view = mask is not None and workspace.slide is not None and workspace.slide.id == slide
        if waiting and slide == workspace.importing:
            text = f"{slide} was predicted while contours were imported into it, so its mask has only a part of it."
            workspace.message.emit(f"{text} Predict it again.", "", "warning")
        elif waiting and prediction is not None and not workspace.require_project().slide(slide).complete:
            self._merge(slide, prediction, waiting, in_view=in_view)
        if in_view and workspace.layers.probability is not None:
            workspace.layers.probability.refresh()
        if mask is not None and mask.writable:
            mask.end_run()

    def drop(self) -> None:
        """Forget what still waits: the project is closed."""
        self._slide, self._waiting, self._prediction, self._opinion = "", [], None, None

    # -- the slide in view

    def _show_waiting(self, record: SlideRecord, prediction: Prediction) -> None:
        mask, waiting = self._workspace.mask, self._waiting
        if mask is None or not (record.complete or self._can_fill(mask)):
            return
        self._waiting = []
        refresh = time.monotonic() - self._refreshed > _REFRESH_S
        self._refreshed = time.monotonic() if refresh else self._refreshed
        for tile in waiting:
            read = partial(_foreground_probability, prediction)
            self._workspace.layers.show_probability(tile, read, visible=False, refresh=refresh)
        if record.complete:
            self._compare(record, prediction, waiting)
        elif len(waiting) > _AT_ONCE:
            self._merge(record.id, prediction, waiting, in_view=True)
        else:
            for tile in waiting:
                self._fill(mask, record, tile, prediction.read(tile))

    def _can_fill(self, mask: Mask) -> bool:
        """Return whether the mask can take a tile now; an operation that runs on it comes first."""
        return mask.writable and not self._workspace.read_only and mask.operations.running is None

    def _fill(self, mask: Mask, record: SlideRecord, region: Region, classes: UInt8Array) -> None:
        changed = fill_in_run(mask, region, classes, record.complete_in(region), self._workspace.locked_classes)
        self._workspace.show_changed(changed)

    def _compare(self, record: SlideRecord, prediction: Prediction, tiles: list[Region]) -> None:
        if self._opinion is None or self._workspace.opinion is not self._opinion:
            self._opinion = Opinion(record.mask_shape, prediction)
            self._workspace.set_opinion(self._opinion)
            return
        for tile in tiles:
            self._opinion.reload(tile)
        self._workspace.mask_changed.emit()

    # -- any slide

    def _merge(self, slide: str, prediction: Prediction, tiles: list[Region], *, in_view: bool) -> None:
        """Merge tiles as one operation: in view while the window is idle, else at once."""
        project = self._workspace.require_project()
        operation = merge_prediction(
            prediction, tiles, project.slide(slide).complete_in, self._workspace.locked_classes
        )
        if in_view:
            self._editor.run(operation)
            return
        with project.open_mask(slide) as mask:
            mask.run(operation)


def _crop(pixels: UInt8Array, region: Region, part: Region) -> UInt8Array:
    """Return the pixels of a part of `region`."""
    return pixels[part.shift(-region.top, -region.left).slices]


def _foreground_probability(prediction: Prediction, region: Region) -> UInt8Array:
    """Return the probability of anything but Background in a region; 0 where nothing was predicted."""
    background = prediction.probability(BACKGROUND, region)
    return np.where(prediction.read(region) == UNLABELLED, np.uint8(0), 255 - background).astype(np.uint8)
