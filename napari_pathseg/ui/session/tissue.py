"""The tissue of the slides in view, detected in a background thread.

Tissue is detected once for each slide and saved in the project (`projects.tissue_masks`); its file is reloaded after
the user edits it.  The window polls for the result: the thread emits no signal.
"""

import math
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import grid_shape
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.tissue_masks import forget_tissue, load_tissue, save_tissue, tissue_path
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.ui.layers.slide_layers import METADATA_KEY, layer_transform
from napari_pathseg.ui.session.workspace import Workspace

_READ = 1024**2  # pixels; no mask's coarsest level has more
_LOOKED_AT = 512**2  # of these, so that painting does not lag
_COLOR = "#3ec1d3"
_OPACITY = 0.35
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

    def __init__(self, project: Project, slide: _Slide, record: SlideRecord) -> None:
        super().__init__(name="tissue", daemon=True)
        self.slide, self.path = slide, tissue_path(project, slide[1])
        self._project, self._record = project, record
        self.found: _Found | None = None  # napari reports an exception, as in any thread

    def run(self) -> None:
        self.found = _find(self._project, self._record)


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
        slide, record = self._in_view(), self._workspace.slide
        found = None if slide is None else self._known.get(slide)
        if record is None or found is None or found.bits is None:
            return None
        level, every = sampling_level(record.mask_shape)
        shape = grid_shape(record.mask_shape, 2**level * every)
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
        slide, project, record = self._in_view(), self._workspace.project, self._workspace.slide
        if slide is None or project is None or record is None or not self.needs_update:
            return False
        self._search = _Search(project, slide, record)
        self._search.start()
        return True

    def _in_view(self) -> _Slide | None:
        record, project = self._workspace.slide, self._workspace.project
        if record is None or project is None:
            return None
        return str(project.folder), record.id, record.fingerprint, record.downsample


class TissueOverlay:
    """Shows and hides the tissue; edits are saved when the layer or the slide is closed."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._layer: Labels | None = None
        self._project: Project | None = None
        self._tissue: TissueMask | None = None
        self._slide = ""
        workspace.slide_changed.connect(self.hide)

    @property
    def shown(self) -> bool:
        """Whether the tissue is shown."""
        return self._layer is not None and self._layer in self._workspace.layers.viewer.layers

    @property
    def area_mm2(self) -> float | None:
        """The area of the tissue shown; None if the pixel size is unknown."""
        return None if self._tissue is None else self._edited(self._tissue).area_mm2

    def toggle(self) -> None:
        """Show the tissue of the slide in view, or hide it."""
        if self.shown:
            self.hide()
        else:
            self.show()

    def show(self) -> None:
        """Detect the tissue, or load the edited one, and show it."""
        self._keep()
        record = self._workspace.require_slide()
        self._project, self._slide = self._workspace.require_project(), record.id
        self._tissue = load_tissue(self._project, record.id)
        colors = DirectLabelColormap(color_dict={None: "transparent", 0: "transparent", 1: _COLOR})
        self._layer = Labels(
            self._tissue.pixels.astype(np.uint8),
            name=f"{record.id} · tissue",
            opacity=_OPACITY,
            colormap=colors,
            metadata={METADATA_KEY: {"slide": record.id, "role": "tissue"}},
            **layer_transform(record.mpp, self._tissue.downsample),
        )
        self._layer.selected_label = 1
        self._layer.brush_size = 5
        self._layer.events.paint.connect(self._keep)  # a stroke is on disk when it ends
        self._workspace.layers.viewer.add_layer(self._layer)

    def hide(self) -> None:
        """Save edits and remove the layer."""
        self._keep()
        if self.shown:
            self._workspace.layers.viewer.layers.remove(self._layer)
        self._layer = self._tissue = None

    def find_again(self) -> None:
        """Discard edits and detect the tissue again."""
        self._tissue = None
        self.hide()
        forget_tissue(self._workspace.require_project(), self._workspace.require_slide().id)
        self.show()

    def _keep(self, *_: Any) -> None:
        """Save edits."""
        if self._tissue is None or self._project is None or self._slide not in self._project.slides:
            return
        edited = self._edited(self._tissue)
        if edited is not self._tissue:
            save_tissue(self._project, self._slide, edited)
            self._tissue = edited

    def _edited(self, tissue: TissueMask) -> TissueMask:
        """Return the tissue as shown; the same object if nothing was edited."""
        painted = tissue.pixels if self._layer is None else np.asarray(self._layer.data) > 0
        return tissue if np.array_equal(painted, tissue.pixels) else tissue.edit(painted)


def sampling_level(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the level of a mask of `shape` on which shares are counted, and the step between counted pixels.

    >>> sampling_level((256, 256)), sampling_level((60_000, 60_000))
    ((0, 1), (6, 2))
    """
    level = 0
    while math.prod(grid_shape(shape, 2**level)) > _READ:
        level += 1
    return level, 2 if math.prod(grid_shape(shape, 2**level)) > _LOOKED_AT else 1


def _find(project: Project, record: SlideRecord) -> _Found:
    path = tissue_path(project, record.id)
    written = _written(path)
    try:
        tissue = load_tissue(project, record.id, may_keep=lambda: project.lock.held)
        if written is None and (written := _written(path)) is not None:
            tissue = load_tissue(project, record.id)  # as it is on disk: it may have been edited meanwhile
    except PathsegError:  # reported when the user asks to see it
        return _Found(written, None)
    pixels = float(np.count_nonzero(tissue.pixels)) * (tissue.downsample / record.downsample) ** 2
    return _Found(written, pixels or None, np.packbits(_on_mask(tissue, record)) if pixels else None)


def _on_mask(tissue: TissueMask, record: SlideRecord) -> BoolArray:
    """Return whether the centres of the counted pixels lie on tissue."""
    level, every = sampling_level(record.mask_shape)
    at = []
    for size, most in zip(grid_shape(record.mask_shape, 2**level), tissue.pixels.shape, strict=True):
        centres = (np.arange(0, size, every) + 0.5) * 2**level * record.downsample
        at.append(np.minimum(centres // tissue.downsample, most - 1).astype(np.intp))
    return tissue.pixels[np.ix_(*at)]


def _written(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
