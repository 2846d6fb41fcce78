"""The picture of what is on screen now."""

from napari_pathseg.geometry.arrays import UInt8Array
from napari_pathseg.slides.slide import Slide
from napari_pathseg.ui.layers.slide_layers import SlideLayers, probability_downsample, screen_pixels
from napari_pathseg.ui.tools.view_snapshot import ViewSnapshot, ViewTransform, read_pixels, sample, view_transform


def current_view_transform(layers: SlideLayers, longest: int) -> ViewTransform | None:
    """Return where on the slide the screen looks; None where no part of a slide is on it."""
    if layers.mask is None or layers.entry is None:
        return None
    view = layers.visible_region().clip(layers.entry.mask_shape)
    return None if view.empty else view_transform(view, layers.entry.downsample, screen_pixels(layers), longest)


def view_snapshot(slide: Slide, layers: SlideLayers, longest: int) -> ViewSnapshot | None:
    """Return what is on screen of a slide, at about the screen's resolution; None where nothing is.

    Raises
    ------
    UnsupportedSlideError
        If the slide cannot be decoded there.
    """
    frame = current_view_transform(layers, longest)
    if frame is None:
        return None
    pixels, frame = read_pixels(slide, frame)
    return ViewSnapshot(pixels, frame, _probability(layers, frame))


def _probability(layers: SlideLayers, frame: ViewTransform) -> UInt8Array | None:
    """Return the model's probability in a frame, None where it says nothing there."""
    if layers.probability is None or layers.entry is None:
        return None
    found = sample(layers.probability.data, probability_downsample(layers.entry), frame)
    return found if found.any() else None
