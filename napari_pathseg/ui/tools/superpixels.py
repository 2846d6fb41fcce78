"""The superpixel tool: the worker partitions the view into superpixels, and a drag paints those it touches."""

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.utils import Colormap

from napari_pathseg.contours.contour import Points
from napari_pathseg.engine.events import Event
from napari_pathseg.geometry import Region
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.interactive.superpixels import Labels as Superpixels
from napari_pathseg.interactive.superpixels import touched
from napari_pathseg.jobs.protocol import ComputeSuperpixels, SuperpixelsFailed, SuperpixelsReady
from napari_pathseg.storage.portable import remove
from napari_pathseg.storage.scratch import scratch_folder
from napari_pathseg.ui.layers.metadata import METADATA_KEY
from napari_pathseg.ui.layers.slide_layers import layer_transform
from napari_pathseg.ui.tools.context import LEFT_BUTTON, MAX_SIDE, InteractiveTool, ToolContext
from napari_pathseg.ui.tools.preferences import PATCH_SIZE
from napari_pathseg.ui.tools.viewport import ViewTransform, current_view_transform

_MIN_SIZE = 3  # snapshot pixels
_LINE_WIDTH = 1.5  # largest width of a border on screen, where a snapshot pixel is wider
_BUSY = "Superpixels: computing them for this view…"
_COLORS = Colormap([[0, 0, 0, 0], [0.05, 0.1, 0.1, 1]], name="superpixels")
_NONE = np.zeros((0, 0), np.int32)


class SuperpixelTool(InteractiveTool):
    """Paints whole superpixels. Their borders are a layer while the tool is active."""

    def __init__(self, context: ToolContext) -> None:
        super().__init__(context)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._request_number = 0
        self._requested: tuple[ViewTransform, int] | None = None  # the view, and the size in its pixels
        self._transform: ViewTransform | None = None
        self._superpixels: Superpixels = _NONE
        self._borders: Image | None = None
        context.session.worker.event.connect(self._on_event)
        context.session.worker.died.connect(self._worker_died)

    def on_drag(self, layer: Labels, event: Any) -> Iterator[None]:
        """Paint the superpixels that the cursor touches until the button is released: one undo step."""
        transform, superpixels = self._transform, self._superpixels
        if event.button != LEFT_BUTTON:
            return
        if transform is None:
            self.context.show_status(_BUSY)
            return
        label, painted = self.context.label(event), np.zeros(superpixels.shape, bool)
        last = transform.from_mask(self.context.position(event))
        with layer.block_history():
            self._paint_touched((last, last), painted, label)
            yield
            while event.type == "mouse_move":
                here = transform.from_mask(self.context.position(event))
                self._paint_touched((last, here), painted, label)
                last = here
                yield

    def on_wheel(self, notches: int) -> None:
        """Make the superpixels larger or smaller."""
        self.context.preferences.change(PATCH_SIZE, notches)
        self.on_view_changed()

    def on_view_changed(self) -> None:
        """Request superpixels of what is on screen now."""
        transform, slide = current_view_transform(self.context.session.layers, MAX_SIDE), self.context.session.slide
        if transform is None or slide is None:
            return
        size = max(_MIN_SIZE, round(self.context.preferences.value(PATCH_SIZE) / transform.screen))
        if self._requested == (transform, size):
            return
        if self._folder is None:
            self._folder = scratch_folder()
        self._request_number += 1
        self._requested = transform, size
        self.context.session.worker.send(
            ComputeSuperpixels(
                project=str(self.context.session.require_project().folder),
                slide=slide.id,
                region=transform.box,
                downsample=transform.downsample,
                size=size,
                number=self._request_number,
                path=str(Path(self._folder.name) / f"{self._request_number}.npy"),
            )
        )
        self.context.show_status(_BUSY)

    def deactivate(self) -> None:
        """Drop the superpixels and remove their borders."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = self._requested = self._transform = None
        self._superpixels = _NONE
        layers = self.context.session.layers.viewer.layers
        if self._borders is not None and self._borders in layers:
            with self.context.preserving_active_layer():
                layers.remove(self._borders)
        self._borders = None

    # -- answers of the worker

    def _on_event(self, event: Event) -> None:
        if not isinstance(event, SuperpixelsReady | SuperpixelsFailed):
            return
        if self._requested is None or event.number != self._request_number:
            return  # the answer to an outdated request
        if isinstance(event, SuperpixelsFailed):
            self.context.show_status(event.text)
            return
        path = Path(event.path)
        self._superpixels = np.load(path, allow_pickle=False)
        remove(path)
        transform, _ = self._requested
        self._transform = dataclasses.replace(transform, box=event.region)
        self._show_borders(self._transform)
        self.context.show_status("")

    def _worker_died(self, _: str) -> None:
        """Request the superpixels again from the new worker."""
        if self._requested is not None:
            self._requested = None
            self.on_view_changed()

    # -- painting and drawing

    def _paint_touched(self, path: tuple[Points, Points], painted: BoolArray, label: int) -> None:
        transform = self._transform
        if transform is None or painted.shape != self._superpixels.shape:
            return  # other superpixels arrived during the drag
        new = touched(self._superpixels, np.array(path), self.context.radius(transform)) & ~painted
        painted |= new
        self.context.paint(transform.bitmap(Region(0, 0, *new.shape), new), label)

    def _show_borders(self, transform: ViewTransform) -> None:
        record, viewer = self.context.session.slide, self.context.session.layers.viewer
        mask = self.context.mask_layer
        if record is None or mask is None:
            return
        placed, finer = layer_transform(record.mpp, transform.downsample), max(1, round(transform.screen / _LINE_WIDTH))
        scale = np.array(placed["scale"])
        corner = np.array(transform.box[:2]) * scale + placed["translate"] - scale * (1 - 1 / finer) / 2
        settings = placed | {"scale": tuple(scale / finer), "translate": tuple(corner)}
        borders = _border_image(self._superpixels, finer)
        if self._borders is not None and self._borders in viewer.layers:
            self._borders.data = borders
            for name, value in settings.items():
                setattr(self._borders, name, value)
            return
        layer = Image(
            borders,
            name=f"{record.id} · superpixels",
            colormap=_COLORS,
            contrast_limits=(0, 1),
            opacity=0.6,
            **settings,
        )
        layer.metadata = {METADATA_KEY: {"slide": record.id, "role": "superpixels"}}
        with self.context.preserving_active_layer():
            viewer.layers.insert(viewer.layers.index(mask) + 1, layer)
        self._borders = layer


def _border_image(superpixels: Superpixels, finer: int) -> UInt8Array:
    """Return an image, `finer` times enlarged, that is 1 where a superpixel ends to the right or below."""
    superpixels = superpixels.repeat(finer, axis=0).repeat(finer, axis=1)
    borders: UInt8Array = np.zeros(superpixels.shape, np.uint8)
    borders[:, :-1] |= superpixels[:, :-1] != superpixels[:, 1:]
    borders[:-1] |= superpixels[:-1] != superpixels[1:]
    return borders
