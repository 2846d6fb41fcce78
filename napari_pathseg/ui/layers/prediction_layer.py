"""A layer between slide and mask with the probability of a class, or the uncertainty, of a model.

Like `mask_layer` this relies on napari's private API, and is used only where `can_paint_pyramids` is True.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image
from napari.layers.image.image import _ImageSlicingState
from napari.utils import Colormap
from napari.utils.colormaps import ensure_colormap

from napari_pathseg.ui.layers.prediction_tiles import PredictionTiles, prediction_levels
from napari_pathseg.ui.layers.read_on_screen import ReadOnScreen

_OPACITY = 0.7
_STEPS = 64


class _Slicing(_ImageSlicingState):  # type: ignore[misc]
    """Reads nothing for the thumbnail, which would take all pixels of the slide."""

    def _make_slice_request_internal(self, **parts: Any) -> Any:
        request = super()._make_slice_request_internal(**parts)
        shape = self.layer.data[request.thumbnail_level].shape
        return replace(request, data_at_thumbnail_level=np.broadcast_to(np.uint8(0), shape))


class PredictionLayer(ReadOnScreen, Image):  # type: ignore[misc]
    """An image that is transparent where the value is 0, and read where it is looked at."""

    slicing = _Slicing

    def __init__(self, tiles: PredictionTiles, **settings: Any) -> None:
        levels = prediction_levels(tiles)
        super().__init__(levels, multiscale=True, contrast_limits=(0, 255), opacity=_OPACITY, **settings)
        self._color(tiles)

    def show(self, tiles: PredictionTiles) -> None:
        """Show other values."""
        self.data = prediction_levels(tiles)
        self._color(tiles)

    @property
    def _type_string(self) -> str:
        return "image"

    def _color(self, tiles: PredictionTiles) -> None:
        self.colormap = _fading("viridis" if tiles.label else "magma")


def _fading(name: str) -> Colormap:
    """Return a perceptual colormap that begins transparent."""
    places = np.linspace(0, 1, _STEPS)
    colors = ensure_colormap(name).map(places)
    colors[:, 3] = np.minimum(1, 2 * places)
    return Colormap(colors, name=f"{name} from nothing")
