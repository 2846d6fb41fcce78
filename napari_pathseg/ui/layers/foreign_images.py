"""Images that the user opened in napari itself, among the layers of the slide in view.

They never hide strokes unasked: an image that is opened while a slide is in view comes to lie between the slide's image
and its mask.
"""

from collections.abc import Sequence
from pathlib import Path

from napari.components import ViewerModel
from napari.layers import Image, Layer

from napari_pathseg.ui.layers.metadata import FILE_ROLE, METADATA_KEY

_OPAQUE = 0.99
_BLENDED = ("additive", "minimum", "multiplicative")


def foreign_images(viewer: ViewerModel) -> list[Image]:
    """Return the image layers that show no slide of the project, from bottom to top."""
    return [layer for layer in viewer.layers if isinstance(layer, Image) and _is_foreign(layer)]


def file_of(layer: Layer) -> Path | None:
    """Return the file or folder that a layer was read from, None if it has none."""
    known = layer.source.path or layer.metadata.get(METADATA_KEY, {}).get("path")
    path = Path(known).absolute() if known else None
    return path if path is not None and path.exists() else None


def hides(layer: Image) -> bool:
    """Return whether a layer hides what lies below it."""
    return bool(layer.visible and layer.opacity >= _OPAQUE and layer.blending not in _BLENDED)


def move_below(viewer: ViewerModel, layers: Sequence[Layer], anchor: Layer) -> None:
    """Move layers that lie above `anchor` to just below it, in their order."""
    for layer in layers:
        here, there = viewer.layers.index(layer), viewer.layers.index(anchor)
        if here > there:
            viewer.layers.move(here, there)


def _is_foreign(layer: Layer) -> bool:
    return bool(layer.metadata.get(METADATA_KEY, {}).get("role", FILE_ROLE) == FILE_ROLE)
