"""The tissue of the slides in view, detected in a background thread.

Tissue is detected once for each slide and saved in the project (`projects.tissue_masks`); its file is reloaded after
the user edits it.  The window polls for the result: the thread emits no signal.
"""

import math
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import grid_shape
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.tissue_masks import load_tissue, tissue_path
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.ui.session.workspace import Workspace

_READ = 1024**2  # pixels; no mask's coarsest level has more
_LOOKED_AT = 512**2  # of these, so that painting does not lag
_Slide = tuple[str, str, str, int]  # the project's folder; the slide's name, fingerprint and step of its mask's grid


@dataclass(frozen=True)
class _Found:
    """The number of tissue pixels on the mask, None if unknown, and when their file was written, if there is one.

    `bits` say where, of the pixels of the mask that are looked at.
    """

    written: int | None
    pixels: float | None
    bits: npt.NDArray[np.uint8] | None = None


class _Search(threading.Thread):
    """Detects the tissue of one slide; the program does not wait for it when it exits."""

    def __init__(self, project: Project, slide: _Slide, entry: SlideRecord) -> None:
        super().__init__(name="tissue", daemon=True)
        self.slide, self.path = slide, tissue_path(project, slide[1])
        self._project, self._entry = project, entry
        self.found: _Found | None = None  # napari reports an exception, as in any thread

    def run(self) -> None:
        self.found = _find(self._project, self._entry)


class TissueCache:
    """The known tissue of the slides, in pixels of their masks."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[_Slide, _Found] = {}
        self._search: _Search | None = None

    @property
    def pixel_count(self) -> float | None:
        """The tissue of the slide in view in mask pixels; None if it is unknown yet or empty."""
        slide = self._in_view()
        return None if slide is None or slide not in self._known else self._known[slide].pixels

    @property
    def bits(self) -> BoolArray | None:
        """Where tissue is, on the pixels of :func:`sampling_level`; None as in `pixel_count`."""
        slide, entry = self._in_view(), self._workspace.slide
        found = None if slide is None else self._known.get(slide)
        if entry is None or found is None or found.bits is None:
            return None
        level, every = sampling_level(entry.mask_shape)
        shape = grid_shape(entry.mask_shape, 2**level * every)
        return np.unpackbits(found.bits, count=shape[0] * shape[1]).reshape(shape).astype(bool)

    @property
    def needs_update(self) -> bool:
        """Whether the tissue of the slide in view is unknown or was changed since it was read."""
        slide, project = self._in_view(), self._workspace.project
        if slide is None or project is None:
            return False
        known = self._known.get(slide)
        return known is None or known.written != _written(tissue_path(project, slide[1]))

    def update(self) -> bool:
        """Collect a finished result or start a detection; return whether one is running."""
        if self._search is not None:
            if self._search.is_alive():
                return True
            done, self._search = self._search, None
            self._known[done.slide] = done.found or _Found(_written(done.path), None)  # a failure is not retried
        slide, project, entry = self._in_view(), self._workspace.project, self._workspace.slide
        if slide is None or project is None or entry is None or not self.needs_update:
            return False
        self._search = _Search(project, slide, entry)
        self._search.start()
        return True

    def _in_view(self) -> _Slide | None:
        entry, project = self._workspace.slide, self._workspace.project
        if entry is None or project is None:
            return None
        return str(project.folder), entry.id, entry.fingerprint, entry.downsample


def sampling_level(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the level of a mask of `shape` on which shares are counted, and the step between counted pixels.

    >>> sampling_level((256, 256)), sampling_level((60_000, 60_000))
    ((0, 1), (6, 2))
    """
    level = 0
    while math.prod(grid_shape(shape, 2**level)) > _READ:
        level += 1
    return level, 2 if math.prod(grid_shape(shape, 2**level)) > _LOOKED_AT else 1


def _find(project: Project, entry: SlideRecord) -> _Found:
    path = tissue_path(project, entry.id)
    written = _written(path)
    try:
        tissue = load_tissue(project, entry.id, may_keep=lambda: project.lock.held)
        if written is None and (written := _written(path)) is not None:
            tissue = load_tissue(project, entry.id)  # as it is on disk: it may have been edited meanwhile
    except PathsegError:  # reported when the user asks to see it
        return _Found(written, None)
    pixels = float(np.count_nonzero(tissue.pixels)) * (tissue.downsample / entry.downsample) ** 2
    return _Found(written, pixels or None, np.packbits(_on_mask(tissue, entry)) if pixels else None)


def _on_mask(tissue: TissueMask, entry: SlideRecord) -> BoolArray:
    """Return whether the centres of the counted pixels lie on tissue."""
    level, every = sampling_level(entry.mask_shape)
    at = []
    for size, most in zip(grid_shape(entry.mask_shape, 2**level), tissue.pixels.shape, strict=True):
        centres = (np.arange(0, size, every) + 0.5) * 2**level * entry.downsample
        at.append(np.minimum(centres // tissue.downsample, most - 1).astype(np.intp))
    return tissue.pixels[np.ix_(*at)]


def _written(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
