"""Live preview: predictions of a network in training on the view on screen, tile by tile.

A new view gets one second of computing at once and then a tenth of the time, so that a large
view does not delay training.  Tiles are small, and those near the centre come first.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.events import PreviewReady, RequestPreview
from napari_pathseg.geometry import EMPTY_REGION, Region, layout, nearest_first
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file

_TILE = 256
_INITIAL_SECONDS = 1.0  # for a new view
_TIME_FRACTION = 0.1  # after that
_REFRESH_SECONDS = 3.0  # between the last tile of a view and its next prediction
_MAX_FILES = 4096  # names are reused in turn, late enough for the window to have read the file


class LivePreview:
    """Predicts the view on screen while a network is trained.

    Parameters
    ----------
    project, folder
        The project of the slides, and where the tiles are written for the window.
    predict
        Returns the class of each pixel of a small box of a mask's grid.
    stain_norm
        Stain normalisation of the slides.
    """

    def __init__(
        self,
        project: Project,
        folder: Path,
        predict: Callable[[SlidePatchSource, Region], UInt8Array],
        stain_norm: str = "none",
    ) -> None:
        self._project, self._folder, self._predict, self._stain_norm = project, folder, predict, stain_norm
        self._slide: SlidePatchSource | None = None
        self._region = EMPTY_REGION
        self._pending: list[Region] = []
        self._finished_at = self._shown_at = self._spent = 0.0  # seconds
        self._written = 0

    def show(self, command: RequestPreview) -> None:
        """Preview another box from now on."""
        record = self._project.slide(command.slide)
        if self._slide is None or self._slide.record.id != record.id:
            self.close()
            self._slide = SlidePatchSource(self._project, record, stain_norm=self._stain_norm)
        self._region = command.region.clip(record.mask_shape)
        self._pending = nearest_first(layout(self._region, _TILE), self._region)
        self._shown_at, self._spent = time.perf_counter(), 0.0

    def events(self) -> Iterator[PreviewReady]:
        """Predict as many tiles as are due, and yield where each was written."""
        if self._slide is None:
            return
        now = time.perf_counter()
        if not self._pending and now > self._finished_at + _REFRESH_SECONDS:
            self._pending = nearest_first(layout(self._region, _TILE), self._region)
        while self._pending and self._spent < _INITIAL_SECONDS + _TIME_FRACTION * (
            time.perf_counter() - self._shown_at
        ):
            start = time.perf_counter()
            yield self._predict_tile(self._slide, self._pending.pop(0))
            self._finished_at = time.perf_counter()
            self._spent += self._finished_at - start

    def close(self) -> None:
        """Close the slide's file."""
        if self._slide is not None:
            self._slide.close()
            self._slide = None

    def _predict_tile(self, slide: SlidePatchSource, region: Region) -> PreviewReady:
        path = self._folder / f"view{self._written % _MAX_FILES}.npy"
        self._written += 1
        with replace_file(path) as partial, partial.open("wb") as file:
            np.save(file, self._predict(slide, region))
        return PreviewReady(slide.record.id, region, str(path))
