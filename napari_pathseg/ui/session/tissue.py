"""The tissue of the slide in view: detected in a background thread, and shown as a layer that can be edited.

Tissue is detected once for each slide and saved in the project (`projects.tissue_masks`); its file is reloaded after
the user edits it.  The window polls for the result: the thread emits no signal.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import grid_shape
from napari_pathseg.geometry.arrays import BoolArray
from napari_pathseg.projects.areas import sample_tissue, sampling_level
from napari_pathseg.projects.project import Project
from napari_pathseg.projects.slide_record import SlideRecord
from napari_pathseg.projects.tissue_masks import delete_tissue, load_tissue, save_tissue, tissue_path
from napari_pathseg.slides.tissue import TissueMask
from napari_pathseg.ui.layers.class_labels import TableColormap
from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.layers.slide_layers import layer_transform
from napari_pathseg.ui.session.workspace import Workspace

_COLOR = "#3ec1d3"
_OPACITY = 0.35
_SlideKey = tuple[str, str, str, int]  # project folder; the slide's name, fingerprint and mask downsample


@dataclass(frozen=True)
class _Tissue:
    """The tissue of a slide.

    Attributes
    ----------
    modified_ns
        When its file was last modified; None without a file.
    pixel_count
        Tissue in mask pixels; None if unknown or empty.
    packed
        The tissue mask at :func:`sampling_level`, as packed bits.
    """

    modified_ns: int | None
    pixel_count: float | None
    packed: npt.NDArray[np.uint8] | None = None


class _DetectionThread(threading.Thread):
    """Detects the tissue of one slide; as a daemon it does not delay the exit of the program."""

    def __init__(self, project: Project, slide: _SlideKey, record: SlideRecord) -> None:
        super().__init__(name="tissue", daemon=True)
        self.slide, self.path = slide, tissue_path(project, slide[1])
        self._project, self._record = project, record
        self.found: _Tissue | None = None  # stays None after an exception, which napari reports

    def run(self) -> None:
        self.found = _detect(self._project, self._record)


class TissueCache:
    """The tissue of each slide that was in view, as detected or last edited."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._known: dict[_SlideKey, _Tissue] = {}
        self._thread: _DetectionThread | None = None

    @property
    def pixel_count(self) -> float | None:
        """The tissue of the slide in view in mask pixels; None while unknown, and if empty."""
        slide = self._key_in_view()
        return None if slide is None or slide not in self._known else self._known[slide].pixel_count

    @property
    def sampled(self) -> BoolArray | None:
        """The tissue mask at :func:`sampling_level`; None whenever `pixel_count` is unknown or empty."""
        slide, record = self._key_in_view(), self._workspace.slide
        found = None if slide is None else self._known.get(slide)
        if record is None or found is None or found.packed is None:
            return None
        level, stride = sampling_level(record.mask_shape)
        shape = grid_shape(record.mask_shape, 2**level * stride)
        return np.unpackbits(found.packed, count=shape[0] * shape[1]).reshape(shape).astype(bool)

    @property
    def needs_update(self) -> bool:
        """True if the tissue of the slide in view is unknown, or was changed since it was read."""
        slide, project = self._key_in_view(), self._workspace.project
        if slide is None or project is None:
            return False
        known = self._known.get(slide)
        return known is None or known.modified_ns != _modified_ns(tissue_path(project, slide[1]))

    def update(self) -> bool:
        """Collect the result of a finished detection, or start one; return whether one is running."""
        if self._thread is not None:
            if self._thread.is_alive():
                return True
            done, self._thread = self._thread, None
            self._known[done.slide] = done.found or _Tissue(_modified_ns(done.path), None)  # no retry at every stroke
        slide, project, record = self._key_in_view(), self._workspace.project, self._workspace.slide
        if slide is None or project is None or record is None or not self.needs_update:
            return False
        self._thread = _DetectionThread(project, slide, record)
        self._thread.start()
        return True

    def _key_in_view(self) -> _SlideKey | None:
        record, project = self._workspace.slide, self._workspace.project
        if record is None or project is None:
            return None
        return str(project.folder), record.id, record.fingerprint, record.downsample


class TissueOverlay:
    """Shows the tissue as a layer; each stroke on it is saved when it ends."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._layer: Labels | None = None
        self._project: Project | None = None
        self._tissue: TissueMask | None = None
        self._slide = ""
        workspace.slide_changed.connect(self.hide)

    @property
    def shown(self) -> bool:
        """True if the tissue is shown."""
        return self._layer is not None and self._layer in self._workspace.layers.viewer.layers

    @property
    def area_mm2(self) -> float | None:
        """The area of the tissue shown; None if hidden or if the pixel size is unknown."""
        return None if self._tissue is None else self._as_shown(self._tissue).area_mm2

    def toggle(self) -> None:
        """Show the tissue of the slide in view, or hide it."""
        if self.shown:
            self.hide()
        else:
            self.show()

    def show(self) -> None:
        """Detect the tissue, or load the edited one, and show it."""
        self._save_edits()
        record = self._workspace.require_slide()
        self._project, self._slide = self._workspace.require_project(), record.id
        self._tissue = load_tissue(self._project, record.id)
        colors = TableColormap(color_dict={None: "transparent", 0: "transparent", 1: _COLOR})
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
        self._layer.events.paint.connect(self._save_edits)  # emitted at the end of a stroke
        self._workspace.layers.viewer.add_layer(self._layer)

    def hide(self) -> None:
        """Save edits and remove the layer."""
        self._save_edits()
        if self.shown:
            self._workspace.layers.viewer.layers.remove(self._layer)
        self._layer = self._tissue = None

    def detect_again(self) -> None:
        """Discard edits and detect the tissue again."""
        self._tissue = None
        self.hide()
        delete_tissue(self._workspace.require_project(), self._workspace.require_slide().id)
        self.show()

    def _save_edits(self, *_: Any) -> None:
        """Save the tissue if the user edited it."""
        if self._tissue is None or self._project is None or self._slide not in self._project.slides:
            return
        edited = self._as_shown(self._tissue)
        if edited is not self._tissue:
            save_tissue(self._project, self._slide, edited)
            self._tissue = edited

    def _as_shown(self, tissue: TissueMask) -> TissueMask:
        """Return the tissue as shown; the same object if nothing was edited."""
        painted = tissue.pixels if self._layer is None else np.asarray(self._layer.data) > 0
        return tissue if np.array_equal(painted, tissue.pixels) else tissue.edit(painted)


def _detect(project: Project, record: SlideRecord) -> _Tissue:
    path = tissue_path(project, record.id)
    modified_ns = _modified_ns(path)
    try:
        tissue = load_tissue(project, record.id, may_save=lambda: project.lock.held)
        if modified_ns is None and (modified_ns := _modified_ns(path)) is not None:
            tissue = load_tissue(project, record.id)  # again, because another program may have edited it meanwhile
    except PathsegError:  # reported when the user shows the tissue
        return _Tissue(modified_ns, None)
    pixels = float(np.count_nonzero(tissue.pixels)) * (tissue.downsample / record.downsample) ** 2
    sampled = sample_tissue(tissue, record)
    return _Tissue(modified_ns, pixels or None, None if sampled is None else np.packbits(sampled))


def _modified_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
