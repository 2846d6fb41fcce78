"""The width of the brush: pixels of the screen, at any zoom."""

from napari_pathseg.ui.layers.slide_layers import SlideLayers, screen_pixels

MIN_BRUSH, MAX_BRUSH = 2, 200  # pixels on screen


def brush_on_screen(layers: SlideLayers) -> float:
    """Return the width of the brush in pixels of the screen."""
    return 0.0 if layers.mask is None else float(layers.mask.brush_size) * screen_pixels(layers)


def set_brush_on_screen(layers: SlideLayers, width: float) -> None:
    """Give the brush a width in pixels of the screen, at least one pixel of the mask."""
    if layers.mask is not None:
        layers.mask.brush_size = max(1, round(width / screen_pixels(layers)))
