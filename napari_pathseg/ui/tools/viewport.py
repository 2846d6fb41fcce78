"""The visible part of the slide as an image, and the width of the brush on screen.

A snapshot has about one pixel per screen pixel.  Its grid and the mask's grid nest: one snapshot
pixel covers a whole number of mask pixels, or, where the mask is coarser than the slide, a whole
number of snapshot pixels covers one mask pixel.  So what a tool selects in a snapshot is a bitmap
of mask pixels without resampling.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_pathseg.contours.contour import Points
from napari_pathseg.geometry import Region, grid_shape
from napari_pathseg.geometry.arrays import BoolArray, UInt8Array
from napari_pathseg.interactive import LiveWire
from napari_pathseg.masks.shapes import BitmapShape, bounding_box
from napari_pathseg.slides.slide import Slide
from napari_pathseg.ui.layers.slide_layers import SlideLayers, probability_downsample, screen_pixels


@dataclass(frozen=True)
class ViewTransform:
    """Where a snapshot lies on the slide.

    Attributes
    ----------
    box
        The snapshot's pixels on the grid that is `downsample` times coarser than level 0.
    downsample
        Level-0 pixels per snapshot pixel.
    mask_pixels
        Mask pixels per snapshot pixel; 1 where the snapshot is finer than the mask.
    per_mask_pixel
        Snapshot pixels per mask pixel; 1 where the snapshot is coarser than the mask.
    screen
        Screen pixels per snapshot pixel.
    """

    box: Region
    downsample: int
    mask_pixels: int
    per_mask_pixel: int
    screen: float

    def from_mask(self, position: Points) -> Points:
        """Convert positions on the mask's grid, ``(..., 2)``, to positions in the snapshot."""
        return np.asarray((position + 0.5) / self._step - 0.5 - self._corner)

    def to_mask(self, position: Points) -> Points:
        """Convert positions in the snapshot to positions on the mask's grid."""
        return np.asarray((position + self._corner + 0.5) * self._step - 0.5)

    def bitmap(self, box: Region, selected: BoolArray) -> BitmapShape | None:
        """Return the selected pixels of a box of the snapshot as a bitmap on the mask; None if there are none.

        Where the mask is coarser, a mask pixel counts if at least half of it is selected.
        """
        tight = bounding_box(selected)
        if tight.empty:
            return None
        selected = selected[tight.slices]
        placed = tight.shift(box.top + self.box.top, box.left + self.box.left)
        if self.per_mask_pixel == 1:
            return BitmapShape(selected, placed, self.mask_pixels)
        count = self.per_mask_pixel
        coarse = placed.coarser(count)
        padded = np.zeros((coarse.height * count, coarse.width * count), bool)
        padded[placed.shift(-coarse.top * count, -coarse.left * count).slices] = selected
        fractions = padded.reshape(coarse.height, count, coarse.width, count).mean(axis=(1, 3))
        return BitmapShape(fractions >= 0.5, coarse, 1)

    @property
    def _step(self) -> float:
        return self.mask_pixels / self.per_mask_pixel

    @property
    def _corner(self) -> Points:
        return np.array(self.box[:2], np.float64)


@dataclass(frozen=True, eq=False)
class ViewSnapshot:
    """The visible pixels, RGB or grey, where they lie, and the model's probability there if it has one."""

    pixels: UInt8Array
    transform: ViewTransform
    probability: UInt8Array | None = None

    @cached_property
    def wire(self) -> LiveWire:
        """The live-wire on these pixels."""
        return LiveWire(self.pixels, self.probability)


def view_transform(view: Region, downsample: int, screen: float, max_side: int) -> ViewTransform:
    """Return the transform of a view.

    Parameters
    ----------
    view
        The visible box of the mask's grid.
    downsample
        Level-0 pixels per mask pixel.
    screen
        Screen pixels per mask pixel.
    max_side
        Largest side of the snapshot, in its pixels.
    """
    longest = max(view.height, view.width, 1)
    coarser = max(1, round(1 / screen), -(-longest // max_side))
    wanted = min(screen, max_side / longest)
    finer = max(count for count in range(1, downsample + 1) if downsample % count == 0 and count <= max(1, wanted))
    if coarser > 1:
        return ViewTransform(view.coarser(coarser), downsample * coarser, coarser, 1, screen * coarser)
    box = Region(*(value * finer for value in view))
    return ViewTransform(box, downsample // finer, 1, finer, screen / finer)


def current_view_transform(layers: SlideLayers, max_side: int) -> ViewTransform | None:
    """Return the transform of what is on screen; None if no part of a slide is."""
    if layers.mask is None or layers.record is None:
        return None
    view = layers.visible_region().clip(layers.record.mask_shape)
    return None if view.empty else view_transform(view, layers.record.downsample, screen_pixels(layers), max_side)


def take_snapshot(slide: Slide, layers: SlideLayers, max_side: int) -> ViewSnapshot | None:
    """Read what is on screen of a slide; None if no part of it is.

    Raises
    ------
    UnsupportedSlideError
        If the pixels cannot be decoded.
    """
    transform = current_view_transform(layers, max_side)
    if transform is None:
        return None
    box = transform.box.clip(grid_shape(slide.shape, transform.downsample))
    inside = ViewTransform(box, transform.downsample, transform.mask_pixels, transform.per_mask_pixel, transform.screen)
    return ViewSnapshot(slide.read_grid(box, inside.downsample), inside, _probability(layers, inside))


def brush_on_screen(layers: SlideLayers) -> float:
    """Return the width of the brush in screen pixels."""
    return 0.0 if layers.mask is None else float(layers.mask.brush_size) * screen_pixels(layers)


def set_brush_on_screen(layers: SlideLayers, width: float) -> None:
    """Set the width of the brush in screen pixels, at least one mask pixel."""
    if layers.mask is not None:
        layers.mask.brush_size = max(1, round(width / screen_pixels(layers)))


def _probability(layers: SlideLayers, transform: ViewTransform) -> UInt8Array | None:
    """Return the model's probability in the view; None where it predicts nothing there."""
    if layers.probability is None or layers.record is None:
        return None
    values = _sample(layers.probability.data, probability_downsample(layers.record), transform)
    return values if values.any() else None


def _sample(values: UInt8Array, step: int, transform: ViewTransform) -> UInt8Array:
    """Sample an array that is `step` times coarser than the mask at each snapshot pixel (nearest neighbour)."""
    indices = [
        ((np.arange(start, start + size) + 0.5) * transform.mask_pixels / transform.per_mask_pixel / step).astype(int)
        for start, size in ((transform.box.top, transform.box.height), (transform.box.left, transform.box.width))
    ]
    rows, columns = (np.minimum(index, size - 1) for index, size in zip(indices, values.shape, strict=True))
    return np.asarray(values[np.ix_(rows, columns)])
