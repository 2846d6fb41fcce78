"""Superpixels in the hand: the worker cuts what is in view into patches, a stroke paints those it touches."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils import Colormap

from napari_pathseg.contours.contour import Points
from napari_pathseg.engine.events import Event
from napari_pathseg.geometry import EMPTY_REGION, Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.interactive.superpixels import Labels as Patches
from napari_pathseg.interactive.superpixels import touched
from napari_pathseg.jobs.protocol import ComputeSuperpixels, SuperpixelsFailed, SuperpixelsReady
from napari_pathseg.ui.layers.slide_layers import METADATA_KEY, layer_transform
from napari_pathseg.ui.tools.context import LONGEST, InteractiveTool, ToolContext
from napari_pathseg.ui.tools.view import current_view_transform
from napari_pathseg.ui.tools.view_snapshot import ViewTransform

MIN_PATCH, MAX_PATCH = 8, 100  # pixels on screen
_STEP = 2
_LINE = 1.5  # pixels on screen that a border is wide at most, where a pixel of the picture is wider
_BUSY = "Superpixels: looking at what is in view…"
_LINES = Colormap([[0, 0, 0, 0], [0.05, 0.1, 0.1, 1]], name="superpixels")
_NO_PATCHES = np.zeros((0, 0), np.int32)


class SuperpixelTool(InteractiveTool):
    """Paints whole superpixels; their borders are a layer of its own as long as it is in hand."""

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._asked: tuple[int, ViewTransform, int] | None = (
            None  # the number of what was asked, where, and patches how large
        )
        self._frame: ViewTransform | None = None
        self._patches: Patches = _NO_PATCHES
        self._borders: Image | None = None
        context.session.worker.event.connect(self._on_event)
        context.session.worker.died.connect(self._worker_died)

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Paint the patches that are touched until the mouse is let go; one step of undo."""
        frame, patches = self._frame, self._patches
        if event.button != 1:
            return
        if frame is None:
            self.context.show_status(_BUSY)
            return
        label, painted = self.context.label(event), np.zeros(patches.shape, bool)
        last = frame.from_mask(self.context.position(event))
        with layer.block_history():
            self._touch((last, last), painted, label)
            yield
            while event.type == "mouse_move":
                here = frame.from_mask(self.context.position(event))
                self._touch((last, here), painted, label)
                last = here
                yield

    def on_wheel(self, steps: int) -> None:
        """Make patches larger, or smaller."""
        preferences = self.context.preferences
        preferences.patch_size = min(MAX_PATCH, max(MIN_PATCH, preferences.patch_size + _STEP * steps))
        self.on_view_changed()

    def on_view_changed(self) -> None:
        """Have the worker cut what is in view now."""
        frame, slide = current_view_transform(self.context.session.layers, LONGEST), self.context.session.slide
        if frame is None or slide is None:
            return
        size = max(3, round(self.context.preferences.patch_size / frame.screen))
        number = 1 + (self._asked[0] if self._asked else 0)
        if self._asked is not None and self._asked[1:] == (frame, size):
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pathseg-")
        self._asked = number, frame, size
        self.context.session.worker.send(
            ComputeSuperpixels(
                project=str(self.context.session.require_project().folder),
                slide=slide.id,
                region=frame.box,
                downsample=frame.downsample,
                size=size,
                number=number,
                path=str(Path(self._folder.name) / f"{number}.npy"),
            )
        )
        self.context.show_status(_BUSY)

    def deactivate(self) -> None:
        """Forget the patches and take their borders away."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._asked = self._frame = None
        self._patches = _NO_PATCHES
        layers = self.context.session.layers.viewer.layers
        if self._borders is not None and self._borders in layers:
            with self.context.preserving_active_layer():
                layers.remove(self._borders)
        self._borders = None

    # -- what the worker says

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, SuperpixelsReady | SuperpixelsFailed):
            return
        if self._asked is None or event.number != self._asked[0]:
            return  # the answer for an earlier view
        if isinstance(event, SuperpixelsFailed):
            self.context.show_status(event.text)
            return
        path = Path(event.path)
        self._patches = np.load(path, allow_pickle=False)
        path.unlink()
        asked = self._asked[1]
        self._frame = ViewTransform(
            event.region, asked.downsample, asked.mask_pixels, asked.per_mask_pixel, asked.screen
        )
        self._show_borders(self._frame)
        self.context.show_status("")

    def _worker_died(self, _: str) -> None:
        if self._asked is not None:
            self._asked = self._asked[0], ViewTransform(EMPTY_REGION, 1, 1, 1, 1.0), 0
            self.on_view_changed()

    # -- what is painted and shown

    def _touch(self, way: tuple[Points, Points], painted: BoolArray, label: int) -> None:
        frame = self._frame
        if frame is None or painted.shape != self._patches.shape:
            return  # other patches have come meanwhile
        new = touched(self._patches, np.array(way), self.context.radius(frame)) & ~painted
        painted |= new
        self.context.paint(frame.area(Region(0, 0, *new.shape), new), label)

    def _show_borders(self, frame: ViewTransform) -> None:
        entry, viewer = self.context.session.slide, self.context.session.layers.viewer
        mask = self.context.layer
        if entry is None or mask is None:
            return
        places, finer = layer_transform(entry.mpp, frame.downsample), max(1, round(frame.screen / _LINE))
        scale = np.array(places["scale"])
        corner = np.array(frame.box[:2]) * scale + places["translate"] - scale * (1 - 1 / finer) / 2
        settings = places | {"scale": tuple(scale / finer), "translate": tuple(corner)}
        borders = _borders(self._patches, finer)
        if self._borders is not None and self._borders in viewer.layers:
            self._borders.data = borders
            for name, value in settings.items():
                setattr(self._borders, name, value)
            return
        layer = Image(
            borders, name=f"{entry.id} · superpixels", colormap=_LINES, contrast_limits=(0, 1), opacity=0.6, **settings
        )
        layer.metadata = {METADATA_KEY: {"slide": entry.id, "role": "superpixels"}}
        with self.context.preserving_active_layer():
            viewer.layers.insert(viewer.layers.index(mask) + 1, layer)
        self._borders = layer


def _borders(patches: Patches, finer: int = 1) -> UInt8Array:
    """Return, as 0 and 1 on a grid so many times finer, where a patch ends to the right or below."""
    patches = patches.repeat(finer, axis=0).repeat(finer, axis=1)
    borders: UInt8Array = np.zeros(patches.shape, np.uint8)
    borders[:, :-1] |= patches[:, :-1] != patches[:, 1:]
    borders[:-1] |= patches[:-1] != patches[1:]
    return borders
