"""What a network in training sees of the view on screen: tile by tile, from its centre out.

The first second of a view is given at once, then a tenth of the time, so that a large view
does not hold up the learning.  Tiles are small, so that none holds up the window.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from napari_pathseg.engine.dataset.slide_patches import SlidePatchSource
from napari_pathseg.engine.events import PreviewReady, RequestPreview
from napari_pathseg.geometry import EMPTY_REGION, Region, layout
from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.projects.project import Project
from napari_pathseg.storage.atomic import replace_file

_TILE = 256
_AT_ONCE = 1.0  # seconds
_SHARE = 0.1
_PAUSE = 3.0  # seconds between the last tile of a view and the first of the next round
_FILES = 4096  # names used in turn, so that none is overwritten before the window has read it


class LivePreview:
    """The view that is shown while a network learns.

    Parameters
    ----------
    project, folder
        Whose slides are shown, and where the tiles are laid for the window.
    predict
        Returns 8-bit probabilities, shape (classes, rows, columns), of a small box of a mask's grid.
    stain_norm
        To which staining the slides are brought first.
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
        self._waiting: list[Region] = []
        self._round_over = self._since = self._spent = 0.0
        self._written = 0

    def show(self, command: RequestPreview) -> None:
        """Preview another box from now on."""
        entry = self._project.slide(command.slide)
        if self._slide is None or self._slide.entry.id != entry.id:
            self.close()
            self._slide = SlidePatchSource(self._project, entry, stain_norm=self._stain_norm)
        self._region = command.region.clip(entry.mask_shape)
        self._waiting = _from_centre(self._region)
        self._since, self._spent = time.perf_counter(), 0.0

    def events(self) -> Iterator[PreviewReady]:
        """Predict as many tiles as are due and tell where they lie."""
        if self._slide is None:
            return
        now = time.perf_counter()
        if not self._waiting and now > self._round_over + _PAUSE:
            self._waiting = _from_centre(self._region)
        while self._waiting and self._spent < _AT_ONCE + _SHARE * (time.perf_counter() - self._since):
            start = time.perf_counter()
            yield self._tile(self._slide, self._waiting.pop(0))
            self._round_over = time.perf_counter()
            self._spent += self._round_over - start

    def close(self) -> None:
        """Let the slide's file go."""
        if self._slide is not None:
            self._slide.close()
            self._slide = None

    def _tile(self, slide: SlidePatchSource, region: Region) -> PreviewReady:
        classes = (self._predict(slide, region).argmax(axis=0) + 1).astype(np.uint8)
        path = self._folder / f"view{self._written % _FILES}.npy"
        self._written += 1
        with replace_file(path) as partial, partial.open("wb") as file:
            np.save(file, classes)
        return PreviewReady(slide.entry.id, region, str(path))


def _from_centre(region: Region) -> list[Region]:
    """Cut a box into tiles, those near its centre first."""
    row, column = region.top + region.height / 2, region.left + region.width / 2
    return sorted(
        layout(region, _TILE),
        key=lambda tile: (tile.top + tile.height / 2 - row) ** 2 + (tile.left + tile.width / 2 - column) ** 2,
    )
